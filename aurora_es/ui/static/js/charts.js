// Charts as small SVG pictures: columns over time, bars by name, blocks along a journal.

import { h, svg } from "./dom.js";

// Columns whose links can be walked through with the arrow keys. `items`: {value, label, href}.
export function columns(items, { height = 150, label, hint, ends = [] }) {
  const highest = Math.max(...items.map((item) => item.value), 1);
  const width = 1000 / items.length;
  const caption = h("output", { class: "caption" }, hint);
  const links = items.map((item, at) => {
    const tall = item.value ? Math.max((item.value / highest) * (height - 8), 2) : 0;
    return svg("a", {
      href: item.href, class: "column", tabindex: at === 0 ? "0" : "-1", "aria-label": item.label,
      onfocus: () => { caption.textContent = item.label; },
      onpointerenter: () => { caption.textContent = item.label; },
    },
    svg("rect", { class: "ground", x: at * width, y: 0, width, height }),
    svg("rect", {
      class: "fill", x: at * width + width * 0.12, y: height - tall, width: width * 0.76, height: tall,
      rx: Math.min(3, width / 6),
    }));
  });
  const picture = svg("svg", {
    viewBox: `0 0 1000 ${height}`, preserveAspectRatio: "none", class: "columns", role: "group",
    "aria-label": label, onkeydown: walk(links),
  }, ...links);
  return h("figure", { class: "chart" }, picture,
    h("div", { class: "axis" }, ...ends.map((end) => h("span", {}, end))),
    h("figcaption", {}, caption));
}

function walk(links) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  return (event) => {
    const step = steps[event.key];
    const at = links.indexOf(document.activeElement);
    if (step === undefined || at < 0) return;
    event.preventDefault();
    const next = Math.min(Math.max(at + step, 0), links.length - 1);
    links[at].setAttribute("tabindex", "-1");
    links[next].setAttribute("tabindex", "0");
    links[next].focus();
  };
}

// A bar that is filled to `share`, 0 to 1.
export function bar(share, { kind = "", label }) {
  const filled = Math.max(0, Math.min(share, 1)) * 100;
  return svg("svg", {
    class: `bar-line ${kind}`, viewBox: "0 0 100 4", preserveAspectRatio: "none", role: "img",
    "aria-label": label,
  },
  svg("rect", { class: "ground", width: 100, height: 4 }),
  svg("rect", { class: "fill", width: filled, height: 4 }));
}

// Rows of blocks on one scale from `first` to `last`. A block: {from, to, kind, label}.
export function strips(rows, { first, last, label }) {
  const span = Math.max(last - first + 1, 1);
  const rowHeight = 26;
  const caption = h("output", { class: "caption" }, " ");
  const place = (block) => {
    const x = ((block.from - first) / span) * 1000;
    const wide = Math.max(((block.to - block.from + 1) / span) * 1000, 2.5);
    return { x, width: Math.max(wide - 1.5, 1.5) };
  };
  const picture = svg("svg", {
    class: "strips", viewBox: `0 0 1000 ${rows.length * rowHeight}`, preserveAspectRatio: "none",
    role: "img", "aria-label": label,
  },
  ...rows.flatMap((row, at) => row.blocks.map((block) => svg("rect", {
    class: `block ${block.kind}`, y: at * rowHeight + 3, height: rowHeight - 6, rx: 2, ...place(block),
    onpointerenter: () => { caption.textContent = block.label; },
  }, svg("title", {}, block.label)))));
  const names = h("div", { class: "strip-names", "aria-hidden": "true" },
    ...rows.map((row) => h("span", {}, row.name)));
  return h("figure", { class: "chart" },
    h("div", { class: "strip-box" }, names, picture), h("figcaption", {}, caption));
}

// Events as dots along time. A dot: {time, kind, label, selected, choose}.
export function dots(items, { first, last, label }) {
  const from = Date.parse(first);
  const span = Math.max(Date.parse(last) - from, 1);
  return svg("svg", { class: "dots", viewBox: "0 0 1000 36", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("line", { class: "ground", x1: 0, x2: 1000, y1: 18, y2: 18 }),
    ...items.map((item) => svg("line", {
      class: `dot ${item.kind}${item.selected ? " selected" : ""}`,
      x1: 8 + ((Date.parse(item.time) - from) / span) * 984,
      x2: 8 + ((Date.parse(item.time) - from) / span) * 984,
      y1: item.selected ? 3 : 9, y2: item.selected ? 33 : 27,
      onclick: item.choose,
    }, svg("title", {}, item.label))));
}
