// Draws what app/plot.py sends. Plotly.react keeps zoom and reuses the page's elements; texts go in as text, never HTML.
const part = (name) => element.querySelector(name);
let current = null;

const row = (cells, kind) => {
  const line = document.createElement("tr");
  cells.forEach((cell, place) => {
    const box = document.createElement(kind === "th" || place === 0 ? "th" : "td");
    if (box.tagName === "TH") box.scope = kind === "th" ? "col" : "row";
    box.textContent = cell;
    line.append(box);
  });
  return line;
};

// Asked for by the first chart of a page: its megabyte and a half would hold up pages that have none.
const ready = () => (window.plotlyIsThere ??= new Promise((done) => {
  const script = document.createElement("script");
  script.src = "/static/plotly-cartesian.min.js";
  script.onload = () => done(window.Plotly);
  document.head.append(script);
}));

// On a phone long words beside a plot would be cut off: a title or a name that has room for two lines gets them.
// A legend of many names gets height of its own there, else plotly cuts it.
const NARROW = 480, LONG = 26, LEGEND_ROW = 19, ROWS_WITH_ROOM = 3;
const inTwo = (text) => {
  const places = [...(text ?? "").matchAll(/\s|(?<=：)|(?=（)/gu)].map((found) => found.index);
  if (!places.length || text.length <= LONG || text.includes("<")) return text;
  const off = (place) => Math.abs(place - text.length / 2);
  const place = places.reduce((one, other) => (off(other) < off(one) ? other : one));
  return `${text.slice(0, place)}<br>${text.slice(place).trim()}`;
};
const fitted = ({ data, layout }) => {
  if (innerWidth > NARROW) return { data, layout };
  const axes = Object.keys(layout).filter((name) => /^[xy]axis/.test(name) && layout[name].title?.text);
  const titled = axes.map((name) => {
    const { title, ...rest } = layout[name];
    return [name, { ...rest, title: { ...title, text: inTwo(title.text) } }];
  });
  const traces = data.map((trace) => (trace.name ? { ...trace, name: inTwo(trace.name) } : trace));
  const named = traces.filter((trace) => trace.name && (trace.showlegend ?? layout.showlegend ?? data.length > 1));
  const rows = named.reduce((sum, { name }) => sum + (name.includes("<br>") ? 2 : 1), 0);
  const height = layout.height + LEGEND_ROW * Math.max(0, rows - ROWS_WITH_ROOM);
  const legend = { ...layout.legend, maxheight: LEGEND_ROW * (rows + 1) };
  return { data: traces, layout: { ...layout, ...Object.fromEntries(titled), legend, height } };
};

// Thousands of cells that nobody looks at would take longer than the plot.
const tabulate = () => {
  if (!current || !part("details").open) return part(".table").replaceChildren();
  const table = document.createElement("table");
  const head = document.createElement("thead");
  head.append(row(current.header, "th"));
  const body = document.createElement("tbody");
  body.append(...current.rows.map((cells) => row(cells, "td")));
  table.append(head, body);
  part(".table").replaceChildren(table);
};

// Where a drawing says so (layout.meta.drag), what of its first trace lies nearest to the pointer is chosen for as long
// as the pointer is down: `select` as it moves, `release` at the end. A trace named "chosen" goes along at once.
const PAUSE = 80; // milliseconds between two moves that are told
const tell = (event, place) => {
  window.chosenPoint = { place, meta: current.figure.layout.meta }; // what a handler in the browser reads
  trigger(event, { index: [place] });
};
const drags = (plot) => {
  const how = () => current.figure.layout.meta?.drag;
  let down = false, place = -1, told = 0;
  const nearest = (event) => {
    const { xaxis, yaxis } = plot._fullLayout, { x, y } = plot.data[0];
    const box = plot.querySelector(".nsewdrag").getBoundingClientRect();
    const off = (point) => Math.hypot(
      xaxis.d2p(x[point]) - (event.clientX - box.left),
      how() === "both" ? yaxis.d2p(y[point]) - (event.clientY - box.top) : 0,
    );
    return x.reduce((best, _, point) => (off(point) < off(best) ? point : best), 0);
  };
  const move = (event) => {
    const found = nearest(event), { x, y } = plot.data[0];
    if (found === place) return;
    place = found;
    const mark = plot.data.findIndex((trace) => trace.meta === "chosen"), trace = plot.data[mark];
    const rest = how() === "both" ? { y: [trace.y.map(() => y[place])] } : {};
    window.Plotly.restyle(plot, { x: [trace.x.map(() => x[place])], ...rest, visible: true }, [mark]);
    const since = Date.now() - told;
    clearTimeout(plot.later);
    plot.later = setTimeout(() => {
      told = Date.now();
      tell("select", place);
    }, Math.max(0, PAUSE - since));
  };
  plot.addEventListener("pointerdown", (event) => {
    if (!how() || !event.target.closest(".nsewdrag")) return;
    down = true;
    place = -1;
    move(event);
  });
  window.addEventListener("pointermove", (event) => down && move(event));
  window.addEventListener("pointerup", () => {
    clearTimeout(plot.later);
    if (down) ["select", "release"].forEach((event) => tell(event, place));
    down = false;
  });
};

const draw = async () => {
  current = props.value ? JSON.parse(props.value) : null;
  if (current) current.figure = JSON.parse(current.figure);
  const figure = part("figure.chart");
  if (!figure) return;
  figure.hidden = !current;
  if (!current) return;
  part("figcaption").textContent = current.title;
  part(".summary").textContent = current.summary;
  part(".limits").textContent = current.limits;
  tabulate();
  const plot = part(".plot");
  plot.setAttribute("aria-label", `${current.title}. ${current.summary}`);
  plot.setAttribute("aria-busy", "true");
  const { data, layout } = fitted(current.figure);
  plot.style.minHeight = `${layout.height || 320}px`;
  const Plotly = await ready();
  if (layout.meta?.drag) Object.assign(layout, { dragmode: false });
  plot.style.touchAction = layout.meta?.drag ? "none" : ""; // else a finger would scroll the page
  await Plotly.react(plot, data, layout, { responsive: true, displayModeBar: false });
  plot.removeAttribute("aria-busy");
  if (!plot.dataset.listens) {
    plot.dataset.listens = "yes";
    drags(plot);
    plot.on("plotly_click", (event) => {
      if (current.figure.layout.meta?.drag) return;
      const point = event.points[0];
      const index = Array.isArray(point.pointNumber) ? point.pointNumber : [point.pointNumber];
      trigger("select", { x: point.x, y: point.y, z: point.z ?? null, index, curve: point.curveNumber });
    });
  }
};

// What a figure draws, for programs: a row a point or a cell, every digit, names that no language changes. An axis of
// names has one at each whole number, with the lanes of its methods around it. What nobody can point at is decoration.
const points = ({ data, layout }, axes) => {
  const named = (axis, value) => layout[axis]?.ticktext?.[layout[axis].tickvals?.indexOf(Math.round(value))] ?? value;
  const axis = (trace, which) => (trace[`${which}axis`] ?? which).replace(/^(.)/, "$1axis");
  const name = (which) => Object.entries(axes).find(([key]) => key.startsWith(which))?.[1] ?? which;
  const header = ["series", name("x"), name("y"), "value", "low", "high"];
  const rows = [];
  for (const trace of data.filter(({ hoverinfo }) => hoverinfo !== "skip")) {
    const series = trace.meta ?? trace.legendgroup ?? trace.name ?? "";
    const across = (value) => named(axis(trace, "x"), value), down = (value) => named(axis(trace, "y"), value);
    if (trace.z) {
      trace.z.forEach((cells, row) => cells.forEach((cell, column) => {
        rows.push([series, across(trace.x?.[column] ?? column), down(trace.y?.[row] ?? row), cell, null, null]);
      }));
      continue;
    }
    const bars = trace.error_x?.array ? ["error_x", "x"] : ["error_y", "y"];
    for (let place = 0; place < (trace.x?.length ?? 0); place++) {
      if (trace.x[place] === null) continue; // between two strokes of one line
      const { array, arrayminus } = trace[bars[0]] ?? {}, value = trace[bars[1]]?.[place];
      const [low, high] = array ? [value - (arrayminus ?? array)[place], value + array[place]] : [null, null];
      const stated = trace.customdata?.[place] ?? null; // what the place of a mark does not say by itself
      rows.push([series, across(trace.x[place]), stated === null ? down(trace.y?.[place]) : null, stated, low, high]);
    }
  }
  const filled = header.map((_, place) => rows.some((row) => (row[place] ?? "") !== ""));
  return [header, ...rows].map((row) => row.filter((_, place) => filled[place]));
};

const save = (name, href) => {
  const link = document.createElement("a");
  link.download = name;
  link.href = href;
  link.click();
};

element.addEventListener("click", (event) => {
  const kind = event.target.dataset?.save;
  if (!kind || !current) return;
  const name = current.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  if (kind === "csv") {
    // A cell that a spreadsheet would take for a formula is quoted as text; a negative number is none.
    const formula = /^([=+@\t\r]|-(?!$|\d[\d.,]*(e[-+]?\d+)?( ?%)?$))/i;
    const cell = (text) => `"${(formula.test(text) ? "'" : "") + String(text ?? "").replaceAll('"', '""')}"`;
    const lines = points(current.figure, current.axes).map((cells) => cells.map(cell).join(","));
    const address = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n")], { type: "text/csv" }));
    save(`${name}.csv`, address);
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  } else {
    window.Plotly.downloadImage(part(".plot"), { format: kind, filename: name, scale: 2 });
  }
});

element.addEventListener("toggle", tabulate, true); // it does not bubble
ready();
watch("value", draw);
draw();
