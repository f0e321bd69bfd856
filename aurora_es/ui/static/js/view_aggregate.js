// The time line of an aggregate: its events, and its state at the version that a slider is at.

import { ask } from "./api.js";
import { dots } from "./charts.js";
import { fill, h } from "./dom.js";
import { colour, count, ends, some, time } from "./format.js";
import { shownBlock } from "./json_text.js";
import { address, card, empty, problem, topicTag } from "./parts.js";

const LIMIT = 100;
const QUIET = new Set(["version", "modified_on"]); // of every event
const PAUSE_MS = 60; // while the slider is dragged
const LONG_ID = 100; // may be taller than its room, which then can be scrolled with keys

export async function render(root, { journal, parameters, signal, journals }) {
  const id = parameters.get("id") ?? "";
  const asked = parameters.get("version");
  const line = await ask("aggregate", { journal, id, until: null, limit: 1 }, signal);
  const state = { version: asked === null ? line.last_version : Number(asked), events: [], next: null };
  const slider = h("input", {
    type: "range", min: line.first_version, max: line.last_version, value: String(state.version),
    "aria-label": "Version",
  });
  slider.value = String(state.version);
  const number = h("output", { class: "version" });
  const picture = h("div", { class: "dots-room" });
  const list = h("ol", { class: "versions", "aria-label": "Events by version" });
  const shown = h("div", { class: "state", "aria-live": "polite" });
  const step = (by) => choose(Math.min(Math.max(state.version + by, line.first_version), line.last_version));
  fill(root,
    h("p", { class: "crumb" }, h("a", { href: address("streams", { journal }) }, "Streams")),
    h("h1", { class: "id", tabindex: id.length > LONG_ID ? "0" : null }, id),
    h("p", { class: "note" }, `${some(line.last_version - line.first_version + 1, "version", "versions")}, ${ends(line.first_time, line.last_time).join(" to ")}. `,
      h("a", { href: address("events", { journal, id }) }, "Its events in the journal"), ", ",
      h("a", { href: address("live", { journal, id }) }, "live")),
    h("section", { class: "card slider" },
      h("div", { class: "slider-row" },
        h("button", { type: "button", "aria-label": "Previous version", onclick: () => step(-1) }, "←"),
        slider,
        h("button", { type: "button", "aria-label": "Next version", onclick: () => step(1) }, "→"),
        number),
      picture),
    h("div", { class: "timeline" }, card("Events", list), shown));

  let timer = 0;
  let asking = false;
  signal.addEventListener("abort", () => clearTimeout(timer));
  slider.addEventListener("input", () => {
    state.version = Number(slider.value);
    mark();
    clearTimeout(timer);
    timer = setTimeout(() => choose(state.version), PAUSE_MS);
  });

  async function choose(version) {
    state.version = version;
    slider.value = String(version);
    mark();
    history.replaceState(null, "", address("aggregate", { journal, id, version }));
    // One at a time, then the one that is wanted by then: a long life takes long to replay, and a
    // request that is no longer wanted would be answered all the same.
    if (asking) return;
    asking = true;
    shown.setAttribute("aria-busy", "true");
    try {
      let wanted;
      do {
        wanted = state.version;
        await look(wanted);
      } while (wanted !== state.version && !signal.aborted);
    } finally {
      asking = false;
      shown.removeAttribute("aria-busy");
    }
  }

  async function look(version) {
    try {
      const found = await ask("state", { journal, id, version }, signal);
      fill(shown, ...stateParts(found, journals.app));
      if (!state.events.some((event) => event.version === version)) await load(version);
      mark();
    } catch (error) {
      if (error.name !== "AbortError") fill(shown, problem(error));
    }
  }

  // Events around a version: half a page of newer ones, then older ones.
  async function load(version) {
    const until = Math.min(version + LIMIT / 2, line.last_version);
    const page = await ask("aggregate", { journal, id, until, limit: LIMIT }, signal);
    state.events = page.events;
    fill(list, ...page.events.map((event) => h("li", {}, h("button", {
      type: "button", "data-version": event.version, onclick: () => choose(event.version),
    }, h("span", { class: "position" }, count(event.version)), topicTag(event.topic),
    h("time", { datetime: event.time }, time(event.time, { seconds: false }))))));
    if (page.next !== null || until < line.last_version) {
      list.append(h("li", { class: "note" }, `${count(page.events.length)} of ${count(line.last_version - line.first_version + 1)} versions: the slider leads to the others.`));
    }
  }

  function mark() {
    number.textContent = `version ${count(state.version)} of ${count(line.last_version)}`;
    for (const button of list.querySelectorAll("button")) {
      const isCurrent = Number(button.dataset.version) === state.version;
      if (isCurrent) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      if (isCurrent && list.scrollHeight > list.clientHeight) {
        list.scrollTop = button.offsetTop - list.offsetTop - list.clientHeight / 2;
      }
    }
    if (!state.events.length) return;
    const all = state.events;
    fill(picture, dots(all.map((event) => ({
      time: event.time, kind: colour(event.topic), selected: event.version === state.version,
      label: `${event.version}: ${event.topic} ${event.time}`, choose: () => choose(event.version),
    })), { first: all.at(-1).time, last: all[0].time, label: "When these events were recorded" }),
    h("div", { class: "axis" }, ...ends(all.at(-1).time, all[0].time).map((end) => h("span", {}, end))));
  }

  await load(state.version);
  await choose(state.version);
}

function stateParts(found, app) {
  const parts = [];
  if (found.attributes === null) {
    if (found.kind === null && app) parts.push(card("State", empty("Discarded by this event.")));
    else parts.push(h("p", { class: "note" }, "Start aurora-es ui with --app MODULE:CLASS to see the aggregate's state at each version, and what changed."));
  } else {
    const paths = new Set(found.changes.map((change) => JSON.stringify(change.path)));
    parts.push(card("What changed", changeTable(found)));
    parts.push(card(found.kind ?? "Discarded", shownBlock(found.attributes, paths)));
  }
  parts.push(card("The event", h("p", { class: "made-by" }, topicTag(found.event.topic), " ",
    h("time", { datetime: found.event.time }, time(found.event.time)), ` at position ${count(found.event.position)}`),
  shownBlock(found.event.state)));
  return parts;
}

function changeTable(found) {
  if (!found.changes.length) return empty("Nothing but the version.");
  const value = (one, kind) => h("span", { class: kind }, one === null ? "–" : one.text.slice(0, 300));
  const isQuiet = (change) => change.path.length === 1 && QUIET.has(change.path[0]);
  const ordered = found.changes.toSorted((one, other) => isQuiet(one) - isQuiet(other));
  return [h("dl", { class: "changes" }, ...ordered.flatMap((change) => [
    h("dt", { class: isQuiet(change) && "quiet" }, change.path.join(" › ")),
    h("dd", { class: isQuiet(change) && "quiet" }, change.before !== null && value(change.before, "before"),
      change.before !== null && change.after !== null && h("span", { class: "arrow", "aria-label": "became" }, " → "),
      change.after !== null && value(change.after, "after"),
      change.after === null && h("span", { class: "note" }, " removed")),
  ])), found.changes_left_out > 0 && h("p", { class: "note" }, `and ${count(found.changes_left_out)} more`)];
}
