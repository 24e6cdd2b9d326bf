// Gradio writes some labels in English whatever the language of the page is. WORDS: [English beginning, text in the
// page's language, in which {label} stands for the rest].
(() => {
  const words = WORDS;
  const names = ["aria-label", "title"];
  const put = (element) => {
    for (const name of names) {
      const said = element.getAttribute(name) ?? "";
      const found = words.find(([english]) => said.startsWith(english));
      const text = found && found[1].replace("{label}", said.slice(found[0].length));
      if (found && text !== said) element.setAttribute(name, text); // each write is seen again: the same one, for ever
    }
  };
  const read = (text) => { // what is read out: a text of its own, which must be one of WORDS whole
    const found = words.find(([english]) => text.nodeValue.trim() === english);
    if (found) text.nodeValue = found[1];
  };
  const all = (root) => root.querySelectorAll?.(names.map((name) => `[${name}]`).join()).forEach(put);
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === "attributes") put(target);
      if (type === "characterData") read(target);
      for (const node of addedNodes) {
        if (node.nodeType === Node.TEXT_NODE) read(node);
        if (node.getAttribute) put(node);
        all(node);
      }
    }
  }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true, attributeFilter: names });
  // It also says that the page is in the browser's language; a voice that reads a page out goes by its own.
  const page = document.documentElement;
  const language = LANGUAGE;
  const stay = () => {
    if (page.lang !== language) page.lang = language;
  };
  stay();
  new MutationObserver(stay).observe(page, { attributeFilter: ["lang"] });
})();
