// Aggregates, page by page, or those whose id begins with something.

import { ask } from "./api.js";
import { fill, h } from "./dom.js";
import { count, some } from "./format.js";
import { address, card, empty, field, pager, problem, table, topicTag } from "./parts.js";

const LIMIT = 50;
const ROUNDS_MAX = 25; // of a search that finds little, before the user is asked

export async function render(root, { journal, parameters, signal, go }) {
  const prefix = parameters.get("prefix") ?? "";
  const firstTopic = parameters.get("first_topic") ?? "";
  const room = h("div", {});
  const status = h("p", { class: "note", role: "status" }, "Reading …");
  fill(root, h("h1", {}, "Streams"), form(journal, prefix, firstTopic, go), status, room);
  const trail = [];
  let after = null;

  async function page(streams = [], next = after, lookedBefore = 0) {
    let lookedAt = lookedBefore;
    let rounds = 0;
    do { // ids that begin with something are looked for from page to page
      const found = await ask("streams", { journal, prefix, first_topic: firstTopic, after: next, limit: LIMIT - streams.length }, signal);
      streams.push(...found.streams);
      lookedAt += found.looked_at;
      next = found.next;
      status.textContent = `${some(streams.length, "stream", "streams")} found in ${count(lookedAt)} looked at${next === null ? "" : " …"}`;
      rounds += 1;
    } while (next !== null && streams.length < LIMIT && rounds < ROUNDS_MAX);
    if (parameters.get("open") && streams.length === 1 && next === null) {
      location.replace(address("aggregate", { journal, id: streams[0].id }));
      return;
    }
    status.textContent = prefix || firstTopic
      ? `${some(streams.length, "stream", "streams")} found in ${count(lookedAt)} looked at.`
      : `${some(streams.length, "stream", "streams")} on this page.`;
    if (next !== null && streams.length < LIMIT) {
      fill(room, streams.length > 0 && card("", list(journal, streams)),
        h("button", { type: "button", onclick: () => attempt(page(streams, next, lookedAt)) }, "Look further"));
      return;
    }
    fill(room, streams.length ? card("", list(journal, streams)) : empty(prefix || firstTopic ? "No stream passes these filters." : "No stream was recorded yet."), pager({
      labels: ["Back", "On"],
      text: `page ${count(trail.length + 1)}`,
      newer: trail.length ? () => { after = trail.pop(); attempt(page()); } : null,
      older: next === null ? null : () => { trail.push(after); after = next; attempt(page()); scrollTo(0, 0); },
    }));
  }

  async function attempt(work) {
    try {
      await work;
    } catch (error) {
      if (error.name !== "AbortError") fill(room, problem(error));
    }
  }

  await page();
}

function form(journal, prefix, firstTopic, go) {
  return h("form", {
    class: "filters card",
    onsubmit: (event) => {
      event.preventDefault();
      go("streams", { journal, ...Object.fromEntries(new FormData(event.target)) });
    },
  },
  field("Id, or how it begins", h("input", { name: "prefix", value: prefix, type: "search", autocomplete: "off", spellcheck: "false", maxlength: "4000" })),
  field("First topic", h("input", { name: "first_topic", value: firstTopic, placeholder: "any", autocomplete: "off", spellcheck: "false", maxlength: "1000" })),
  h("div", { class: "buttons" }, h("button", { type: "submit", class: "strong" }, "Find"),
    h("a", { class: "button", href: address("streams", { journal }) }, "Clear")));
}

function list(journal, streams) {
  return table(["Id", "Events", "Last version", "First topic"], streams.map((one) => h("tr", {},
    h("th", { scope: "row" }, h("a", { class: "id", href: address("aggregate", { journal, id: one.id }) }, one.id)),
    h("td", { class: "number" }, count(one.event_count)),
    h("td", { class: "number" }, count(one.last_version)),
    h("td", {}, topicTag(one.first_topic)))), "Streams");
}
