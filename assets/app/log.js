// Shows the text of a log at its end, and stays there as it grows; who went up in it is left where they are.
const box = element.querySelector("pre"), NEAR = 24; // pixels
const toEnd = () => (box.scrollTop = box.scrollHeight);
let follows = true;
box.addEventListener("scroll", () => (follows = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR));
new ResizeObserver(() => follows && toEnd()).observe(box); // as when what it lies in is opened
const show = () => {
  box.textContent = props.value ?? "";
  if (follows) toEnd();
};
watch("value", show);
show();
