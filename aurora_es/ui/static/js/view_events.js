// Records page by page, with filters. Searches for text go on until a page is full.

import { ask } from "./api.js";
import { fill, h } from "./dom.js";
import { count, some } from "./format.js";
import { address, empty, eventRow, field, pager, problem } from "./parts.js";

const LIMIT = 50;
const FILTERS = ["topic", "id", "text", "start", "stop", "since", "until", "order"];
const ROUNDS_MAX = 40; // of a search that finds little, before the user is asked

export async function render(root, { journal, parameters, signal, go }) {
  const filters = Object.fromEntries(FILTERS.map((name) => [name, parameters.get(name) ?? ""]));
  const list = h("div", { class: "events", role: "group", "aria-label": "Events" });
  const status = h("p", { class: "note", role: "status" }, "Reading …");
  const foot = h("div", {});
  fill(root, h("h1", {}, "Events"), filterForm(journal, filters, go), status, list, foot);
  suggestTopics(root, journal, signal);
  const trail = []; // where the pages before this one began
  let begin = null;

  async function page() {
    fill(list);
    fill(foot);
    await more(begin, 0);
  }

  async function more(next, lookedBefore) {
    let lookedAt = lookedBefore;
    let found = null;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const missing = LIMIT - list.children.length;
      found = await ask("events", { journal, ...filters, next, limit: missing }, signal);
      list.append(...found.events.map((event) => eventRow(journal, event)));
      lookedAt += found.looked_at;
      next = found.next;
      if (next === null || list.children.length >= LIMIT) break;
      status.textContent = `${count(list.children.length)} found in ${count(lookedAt)} events looked at …`;
    }
    end(found, next, lookedAt);
  }

  function end(found, next, lookedAt) {
    const shown = list.children.length;
    const isSearch = filters.text !== "";
    status.textContent = `${some(shown, "event", "events")}${isSearch ? ` found in ${count(lookedAt)} looked at` : ""}; ${found.last_position ? `the journal holds ${count(found.first_position)} to ${count(found.last_position)}` : "the journal is empty"}.`;
    if (!shown && next === null) fill(list, empty(found.last_position ? "No event passes these filters." : "Nothing was recorded yet."));
    if (shown < LIMIT && next !== null) {
      fill(foot, h("button", { type: "button", onclick: () => attempt(more(next, lookedAt)) }, "Look further"));
      return;
    }
    const labels = filters.order === "oldest" ? ["Older", "Newer"] : ["Newer", "Older"];
    fill(foot, pager({
      labels,
      text: trail.length ? `page ${count(trail.length + 1)}` : "first page",
      newer: trail.length ? () => { begin = trail.pop(); attempt(page()); } : null,
      older: next === null ? null : () => { trail.push(begin); begin = next; attempt(page()); scrollTo(0, 0); },
    }));
  }

  async function attempt(work) {
    try {
      await work;
    } catch (error) {
      if (error.name !== "AbortError") fill(foot, problem(error));
    }
  }

  try {
    await page();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    status.textContent = "";
    fill(foot, problem(error));
  }
}

function filterForm(journal, filters, go) {
  const input = (name, more = {}) =>
    h("input", { name, value: filters[name], autocomplete: "off", spellcheck: "false", maxlength: "1000", ...more });
  const order = h("select", { name: "order" },
    h("option", { value: "" }, "newest first"), h("option", { value: "oldest" }, "oldest first"));
  order.value = filters.order === "oldest" ? "oldest" : "";
  const isNarrowed = ["id", "start", "stop", "since", "until"].some((name) => filters[name]);
  return h("form", {
    class: "filters card",
    onsubmit: (event) => {
      event.preventDefault();
      go("events", { journal, ...Object.fromEntries(new FormData(event.target)) });
    },
  },
  field("Topic", input("topic", { list: "topics", placeholder: "any" })),
  field("Text", input("text", { placeholder: "in topic or state", type: "search" })),
  field("Order", order),
  h("div", { class: "buttons" }, h("button", { type: "submit", class: "strong" }, "Show"),
    h("a", { class: "button", href: address("events", { journal }) }, "Clear")),
  h("details", { class: "more", open: isNarrowed }, h("summary", {}, "Id, positions, times"),
    h("div", { class: "filters" },
      field("Aggregate id", input("id", { placeholder: "any", maxlength: "4000" })),
      field("From position", input("start", { inputmode: "numeric", pattern: "[0-9]{1,18}" })),
      field("To position", input("stop", { inputmode: "numeric", pattern: "[0-9]{1,18}" })),
      field("Since", input("since", { placeholder: "2026-11-25T20:00:00Z" })),
      field("Until", input("until", { placeholder: "2026-11-25T21:00:00Z" })))),
  h("datalist", { id: "topics" }));
}

async function suggestTopics(root, journal, signal) {
  try {
    const found = await ask("topics", { journal }, signal);
    root.querySelector("#topics").append(...found.topics.map((one) => h("option", { value: one.topic })));
  } catch (error) {
    // Suggestions only: what is wrong with the journal is said by the list itself.
    if (error.name !== "AbortError") root.querySelector("#topics").dataset.problem = error.kind;
  }
}
