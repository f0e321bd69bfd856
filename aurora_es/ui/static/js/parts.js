// Pieces that several views have.

import { h } from "./dom.js";
import { clock, colour, count, time, topicName } from "./format.js";
import { query } from "./api.js";

export function address(view, parameters = {}) {
  const text = query(parameters);
  return `#/${view}${text ? `?${text}` : ""}`;
}

export function topicTag(topic) {
  return h("span", { class: `topic ${colour(topic)}`, title: topic }, topicName(topic));
}

export function problem(error) {
  return h("div", { class: "problem", role: "alert" },
    h("strong", {}, error.kind ?? error.name), h("p", {}, error.message));
}

export function empty(text) {
  return h("p", { class: "empty" }, text);
}

export function card(title, ...children) {
  return h("section", { class: "card" }, title && h("h2", {}, title), ...children);
}

export function tile(label, value, more = "") {
  return h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, value, more && h("small", {}, more)));
}

export function table(headings, rows, caption) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, ...headings.map((heading) => h("th", { scope: "col" }, heading)))),
      h("tbody", {}, ...rows)));
}

// A record in a list; its details open on the spot.
export function eventRow(journal, event, { timeOnly = false } = {}) {
  const summary = h("summary", {},
    h("span", { class: "position" }, count(event.position)),
    h("time", { datetime: event.time, title: event.time },
      timeOnly ? clock(event.time) : time(event.time)),
    topicTag(event.topic),
    h("span", { class: "preview" }, preview(event.state.text)));
  const row = h("details", { class: "event" }, summary);
  row.addEventListener("toggle", async () => {
    if (!row.open || row.dataset.filled) return;
    row.dataset.filled = "yes";
    const { eventDetails } = await import("./event_details.js");
    row.append(eventDetails(journal, event));
  });
  return row;
}

// What comes first in every event of the library says the least.
function preview(text) {
  return text.slice(0, 300).replace(/"timestamp":("[^"]*"|\{[^}]*\}),?/, "").slice(0, 160);
}

export function pager({ newer, older, text, labels = ["Newer", "Older"] }) {
  return h("div", { class: "pager" },
    h("button", { type: "button", disabled: !newer, onclick: newer }, `← ${labels[0]}`),
    h("span", {}, text),
    h("button", { type: "button", disabled: !older, onclick: older }, `${labels[1]} →`));
}

export function field(label, control) {
  return h("label", { class: "field" }, h("span", {}, label), control);
}
