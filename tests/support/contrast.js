// Text of a page that is read less well than it must be: (least contrast) => ["2.56 ..."], WCAG 2.2, 1.4.3. Disabled
// controls are left out, as there, and numbers in cells of heatmaps, which tests/figures judges against their cells.
(least) => {
  const rgba = (colour) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const drawn = canvas.getContext("2d");
    drawn.fillStyle = colour;
    drawn.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = drawn.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((part) => linear(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [darker, lighter] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (lighter + 0.05) / (darker + 0.05);
  };
  const above = (element) => (element ? [element, ...above(element.parentElement)] : []);
  const behind = (element) => {
    const layers = above(element).map((each) => rgba(getComputedStyle(each).backgroundColor));
    const page = matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0, 1] : [255, 255, 255, 1];
    return layers.reverse().reduce((below, layer) => over(layer, below), page);
  };
  const found = [];
  const judge = (element, text, colour) => {
    const back = behind(element), ink = rgba(colour);
    ink[3] *= above(element).reduce((product, each) => product * Number(getComputedStyle(each).opacity), 1);
    const ratio = contrast(over(ink, back), back);
    if (ratio < least) found.push(`${ratio.toFixed(2)} "${text.slice(0, 40)}" ${colour} <${element.tagName}>`);
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim(), element = walk.currentNode.parentElement;
    if (!text || element.closest("script, style, :disabled, .textpoint")) continue;
    const { width, height } = element.getBoundingClientRect();
    if (Math.min(width, height) < 2 || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) {
      continue;
    }
    const style = getComputedStyle(element);
    judge(element, text, element instanceof SVGElement ? style.fill : style.color);
  }
  for (const box of document.querySelectorAll("input, textarea")) {
    if (box.placeholder && box.checkVisibility()) {
      judge(box, box.placeholder, getComputedStyle(box, "::placeholder").color);
    }
  }
  return found;
}
