// Gradio takes the focus from a list once something is chosen in it, and gives it to nothing: who uses a keyboard or a
// screen reader would begin again at the top. It goes to the list's own place, from which Tab goes on and Down opens it.
(() => {
  const LIST = "input[role=listbox]";
  document.addEventListener("focusout", ({ target, relatedTarget }) => {
    if (relatedTarget || !target.matches?.(LIST)) return;
    setTimeout(() => {
      const place = target.parentElement;
      if (document.activeElement !== document.body || !document.hasFocus() || !place?.isConnected) return;
      place.tabIndex = -1;
      place.focus({ preventScroll: true });
    });
  });
  document.addEventListener("keydown", (event) => {
    if (!["ArrowDown", "Enter", " "].includes(event.key)) return;
    const list = event.target.tabIndex === -1 && event.target.querySelector?.(`:scope > ${LIST}`);
    if (!list) return;
    event.preventDefault();
    list.focus();
  });
})();
