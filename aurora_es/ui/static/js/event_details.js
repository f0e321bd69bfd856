// A record as a whole: what it is, and its state.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { size } from "./format.js";
import { shownBlock } from "./json_text.js";
import { address, problem } from "./parts.js";

export function eventDetails(journal, event) {
  const body = h("div", { class: "details" },
    h("dl", { class: "facts" }, ...facts(journal, event)),
    shownBlock(event.state), ...metadata(event));
  if (event.state.is_cut || event.metadata?.is_cut) {
    ask("event", { journal, position: event.position }).then(
      (whole) => body.replaceChildren(
        h("dl", { class: "facts" }, ...facts(journal, whole)),
        shownBlock(whole.state), ...metadata(whole)),
      (error) => body.append(problem(error)));
  }
  return body;
}

function* facts(journal, event) {
  yield* fact("Topic", h("code", {}, event.topic));
  if (event.id !== null) {
    const link = h("a", {
      href: address("aggregate", { journal, id: event.id, version: event.version }),
    }, event.id);
    yield* fact("Aggregate", link, ` version ${event.version}`);
  }
  yield* fact("Recorded", event.time);
  yield* fact("State", `${size(event.state_bytes)}, ${event.state.coding}`);
  if (event.tags.length) yield* fact("Tags", event.tags.map((tag) => h("span", { class: "tag" }, tag)));
}

function fact(label, ...value) {
  return [h("dt", {}, label), h("dd", {}, ...value)];
}

function metadata(event) {
  return event.metadata === null ? [] : [h("h3", {}, "Metadata"), shownBlock(event.metadata)];
}
