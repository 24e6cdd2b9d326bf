// A command to be copied, which app/command.py sends. Where a page may not write the clipboard the text is selected.
const part = (name) => element.querySelector(name);

const show = () => {
  const whole = part(".command");
  if (!whole) return;
  whole.hidden = !props.value;
  part("code").textContent = props.value ?? "";
};

element.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  getSelection().selectAllChildren(part("code"));
  try {
    await navigator.clipboard.writeText(part("code").textContent);
    part("output").textContent = button.dataset.done;
  } catch {
    part("code").focus();
  }
});

watch("value", () => {
  if (part("output")) part("output").textContent = "";
  show();
});
show();
