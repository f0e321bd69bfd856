// Follows a journal: events as they are committed, by whichever part of the system.

import { ask, follow } from "./api.js";
import { fill, h } from "./dom.js";
import { count, some } from "./format.js";
import { address, eventRow, field } from "./parts.js";

const ROWS_AT_FIRST = 15;
const ROWS_MAX = 200;
const SECONDS = 60;

export async function render(root, { journal, parameters, signal, go }) {
  const filters = Object.fromEntries(["topic", "id", "text"].map((name) => [name, parameters.get(name) ?? ""]));
  const list = h("div", { class: "events", role: "log", "aria-live": "off", "aria-label": "Live events" });
  const status = h("p", { class: "live-status", role: "status" }, "Connecting …");
  const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
  const counts = new Array(SECONDS).fill(0);
  const spark = h("canvas", { class: "spark", width: 600, height: 60, role: "img", "aria-label": "Events per second in the last minute" });
  fill(root, h("h1", {}, "Live"), form(journal, filters, go),
    h("div", { class: "live-bar" }, status, spark, pause), list);
  let seen = 0;
  let skipped = 0;
  let waiting = [];
  let isPaused = false;
  // Begins with the newest ones, and follows from where these were read.
  const newest = await ask("events", { journal, ...filters, limit: ROWS_AT_FIRST }, signal);
  list.append(...newest.events.map((event) => eventRow(journal, event, { timeOnly: true })));
  let position = newest.last_position;
  let source = null;
  const told = (text, isGood) => {
    status.textContent = text;
    status.dataset.good = isGood ? "y" : "n";
  };
  const tell = () => told(`Following: ${some(seen, "event", "events")} since you came${skipped ? `, ${count(skipped)} skipped: faster than a page can show` : ""}.`, true);
  // Browsers allow six connections to one address, over all tabs: a hidden one lets go of its own,
  // and goes on where it was when somebody looks at it again.
  const connect = () => {
    source?.close();
    source = null;
    if (document.hidden || signal.aborted) return;
    source = follow({ journal, ...filters, after: position });
    source.addEventListener("open", tell);
    source.addEventListener("error", lost);
    source.addEventListener("problem", refuse);
    source.addEventListener("events", take);
  };
  document.addEventListener("visibilitychange", connect, { signal });

  function lost(event) {
    if (event.target !== source) return;
    if (source.readyState === EventSource.CLOSED) told("Ended: aurora-es ui refuses, or has ended. Reload to try again.", false);
    else told("Connection lost, trying again …", false);
  }

  function refuse(message) {
    const found = JSON.parse(message.data);
    source?.close();
    told(`${found.kind}: ${found.message}`, false);
  }

  function take(message) {
    const found = JSON.parse(message.data);
    position = found.position;
    seen += found.events.length;
    skipped += found.skipped;
    counts[SECONDS - 1] += found.events.length + found.skipped;
    waiting = [...waiting, ...found.events].slice(-ROWS_MAX);
    if (!isPaused) requestAnimationFrame(flush);
    tell();
  }

  function flush() {
    if (isPaused || !waiting.length) return;
    const rows = waiting.map((event) => eventRow(journal, event, { timeOnly: true })).reverse();
    waiting = [];
    list.prepend(...rows);
    while (list.children.length > ROWS_MAX) list.lastChild.remove();
  }

  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Go on" : "Pause";
    flush();
  });
  const timer = setInterval(() => {
    draw(spark, counts);
    counts.push(0);
    counts.shift();
  }, 1000);
  draw(spark, counts);
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    source?.close();
  });
  connect();
}

function draw(canvas, counts) {
  const context = canvas.getContext("2d");
  const highest = Math.max(...counts, 5);
  const step = canvas.width / counts.length;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(canvas).color;
  counts.forEach((value, at) => {
    const tall = Math.max((value / highest) * canvas.height, value ? 3 : 1);
    context.fillRect(at * step, canvas.height - tall, step - 2, tall);
  });
}

function form(journal, filters, go) {
  const input = (name, placeholder) =>
    h("input", { name, value: filters[name], placeholder, autocomplete: "off", spellcheck: "false", maxlength: "1000" });
  return h("form", {
    class: "filters card",
    onsubmit: (event) => {
      event.preventDefault();
      go("live", { journal, ...Object.fromEntries(new FormData(event.target)) });
    },
  },
  field("Topic", input("topic", "any")), field("Aggregate id", input("id", "any")),
  field("Text", input("text", "in topic or state")),
  h("div", { class: "buttons" }, h("button", { type: "submit", class: "strong" }, "Follow"),
    h("a", { class: "button", href: address("live", { journal }) }, "Clear")));
}
