// Table of runs that app/runs_table.py sends. Sorting, filtering, ticking stay here; texts go in as text, never HTML.
const part = (name) => element.querySelector(name);
let current = null, late = false;
const sorted = { by: "made", down: true };
const ticked = [];

const make = (tag, more = {}, ...inside) => {
  const made = Object.assign(document.createElement(tag), more);
  made.append(...inside);
  return made;
};

const field = (row, column) => {
  const input = make("input", {
    type: "text", value: row.cells[column], maxLength: current.longest[column], placeholder: current.words[column],
  });
  input.setAttribute("aria-label", `${current.words[`${column}_of`]} ${row.cells.made}`);
  input.addEventListener("change", () => {
    row.cells[column] = input.value;
    trigger("edit", { run: row.run, name: row.cells.name, note: row.cells.note });
  });
  input.addEventListener("keydown", (event) => event.key === "Enter" && input.blur());
  return input;
};

const tick = (row) => {
  const box = make("input", { type: "checkbox", checked: ticked.includes(row.run) });
  box.setAttribute("aria-label", `${current.words.tick} ${row.cells.name || row.cells.made}`);
  box.addEventListener("change", () => {
    const place = ticked.indexOf(row.run);
    if (place >= 0) ticked.splice(place, 1);
    else ticked.push(row.run);
    while (ticked.length > 2) ticked.shift(); // two are compared: the newest two ticks
    trigger("like", { runs: [...ticked] });
    draw();
  });
  return box;
};

const opener = (row) => {
  const button = make("button", { type: "button", className: "open", textContent: row.cells.made });
  button.setAttribute("aria-label", `${current.words.open} ${row.cells.made}`);
  button.addEventListener("click", () => trigger("select", { run: row.run }));
  return button;
};

const line = (row) => {
  const cells = Object.keys(current.head).map((column) => {
    if (column === "name" && !row.example) return make("td", {}, field(row, "name"), field(row, "note"));
    return column === "made" ? make("th", { scope: "row" }, opener(row)) : make("td", { textContent: row.cells[column] });
  });
  const made = make("tr", {}, make("td", {}, tick(row)), ...cells);
  if (row.run === current.shown) made.setAttribute("aria-current", "true");
  return made;
};

const heading = ([column, text]) => {
  const button = make("button", { type: "button", textContent: text });
  button.addEventListener("click", () => {
    sorted.down = sorted.by === column ? !sorted.down : false;
    sorted.by = column;
    draw();
    part(`thead th[data-column=${column}] button`).focus();
  });
  const cell = make("th", { scope: "col" }, button);
  cell.dataset.column = column;
  if (sorted.by === column) cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
  return cell;
};

const compare = (one, other) => {
  if (one.example !== other.example) return one.example - other.example; // below what is the reader's own
  const exact = sorted.by in one.order; // numbers, and names of runs
  const [a, b] = [one, other].map(({ order, cells }) => (exact ? order : cells)[sorted.by]);
  const found = exact ? (a > b) - (a < b) : a.localeCompare(b, document.documentElement.lang, { numeric: true });
  return sorted.down ? -found : found;
};

const draw = () => {
  const whole = part(".runs-table");
  if (!whole) return;
  whole.hidden = !current?.rows.length;
  if (whole.hidden) return;
  const words = part("input[type=search]").value.toLowerCase().split(/\s+/);
  const seen = ({ cells }) => {
    const text = Object.values(cells).join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  part("thead").replaceChildren(make("tr", {}, make("td"), ...Object.entries(current.head).map(heading)));
  part("tbody").replaceChildren(...current.rows.filter(seen).sort(compare).map(line));
};

// What is new waits while somebody writes: a field that is drawn anew would lose what was typed.
const writing = () => part("tbody")?.contains(document.activeElement) && document.activeElement.type === "text";
const take = () => {
  late = writing();
  if (late) return;
  current = props.value ? JSON.parse(props.value) : null;
  draw();
};

element.addEventListener("focusout", () => late && setTimeout(take, 0));
element.addEventListener("input", (event) => event.target.type === "search" && draw());
watch("value", take);
take();
