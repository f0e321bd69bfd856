// How far projections and receivers are behind, looked at again every few seconds.

import { ask } from "./api.js";
import { bar } from "./charts.js";
import { fill, h } from "./dom.js";
import { count } from "./format.js";
import { card, empty, problem, table } from "./parts.js";

const AGAIN_MS = 3000;

export async function render(root, { signal }) {
  const room = h("div", { class: "stack" });
  fill(root, h("h1", {}, "Lag"), h("p", { class: "note" }, "Looked at again every three seconds."), room);
  let timer = 0;
  signal.addEventListener("abort", () => clearTimeout(timer));
  const look = async () => {
    try {
      if (!document.hidden) fill(room, ...parts(await ask("lags", {}, signal)));
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(room, problem(error));
    }
    timer = setTimeout(look, AGAIN_MS);
  };
  await look();
}

function parts(found) {
  return [
    card("Projections and followers", found.projections.length
      ? table(["Follower", "Behind", "Follows", "Reached", "Of"], found.projections.map((one) => h("tr", {},
        h("th", { scope: "row" }, one.follower),
        h("td", {}, behind(one.lag, one.last)), h("td", {}, one.upstream),
        h("td", { class: "number" }, count(one.reached)),
        h("td", { class: "number" }, one.last === null ? "not below this path" : count(one.last)))), "Projections")
      : empty("No journal here records how far it has followed another.")),
    card("Receivers and groups of queues", found.receivers.length
      ? table(["Queue", "Name", "Behind", "Kind", "Reached", "Of", "Held", "Parked"], found.receivers.map((one) => h("tr", {},
        h("th", { scope: "row" }, one.queue), h("td", {}, one.name),
        h("td", {}, behind(one.lag, one.last)), h("td", {}, one.kind),
        h("td", { class: "number" }, count(one.reached)), h("td", { class: "number" }, count(one.last)),
        h("td", { class: "number" }, count(one.held)),
        h("td", { class: one.parked ? "number bad" : "number" }, count(one.parked)))), "Receivers")
      : empty("No queue here has named receivers.")),
    ...found.problems.map((text) => problem({ name: "Not looked at", message: text })),
    found.left_out > 0 && h("p", { class: "note" }, `${count(found.left_out)} journals are left out.`),
  ];
}

function behind(lag, last) {
  if (lag === null) return "unknown";
  const share = last ? 1 - lag / last : 1;
  const kind = lag === 0 ? "good" : share > 0.95 ? "" : "bad";
  return h("span", { class: "behind" }, h("span", { class: kind }, lag === 0 ? "up to date" : count(lag)),
    bar(share, { kind, label: `${Math.floor(share * 100)} percent reached` }));
}
