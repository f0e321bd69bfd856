// The frame of the page: which journal, which view, and keys.

import { ask, Problem } from "./api.js";
import { fill, h } from "./dom.js";
import { address, problem } from "./parts.js";

const main = document.getElementById("main");
const chooser = document.getElementById("journal");
const VIEWS = new Set(["overview", "events", "streams", "aggregate", "live", "storage", "lag"]);
const TAB_OF = { aggregate: "streams" };
let leave = null; // ends what the current view has going on
let known = null; // what /api/journals told

function place() {
  const [path, text = ""] = location.hash.slice(2).split(/\?(.*)/s);
  const view = VIEWS.has(path) ? path : "overview";
  return { view, parameters: new URLSearchParams(text) };
}

async function show() {
  const { view, parameters } = place();
  leave?.abort();
  leave = new AbortController();
  const { signal } = leave;
  for (const tab of document.querySelectorAll("#tabs a")) {
    if (tab.dataset.view === (TAB_OF[view] ?? view)) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  main.setAttribute("aria-busy", "true");
  const content = h("div", { class: `view view-${view}` });
  try {
    const name = parameters.get("journal");
    // Journals come and go: they are looked for anew where they are listed, or one is missing.
    if (view === "overview" || !isKnown(name)) known = await journals(signal);
    if (signal.aborted) return;
    const journal = chosenJournal(name);
    chooser.value = journal ?? "";
    for (const tab of document.querySelectorAll("#tabs a")) {
      tab.setAttribute("href", address(tab.dataset.view, { journal }));
    }
    const { render } = await import(`./view_${view}.js`);
    if (signal.aborted) return;
    const title = view[0].toUpperCase() + view.slice(1);
    document.title = `${title} – ${journal ?? ""} – aurora_es`;
    fill(main, content);
    await render(content, { journal, parameters, signal, journals: known, go });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!content.isConnected) fill(main, content);
    content.append(problem(error));
  } finally {
    if (!signal.aborted) main.removeAttribute("aria-busy");
  }
}

async function journals(signal) {
  const found = await ask("journals", {}, signal);
  fill(chooser, ...found.journals.map(({ journal }) =>
    h("option", { value: journal }, journal === "." ? found.path.split("/").pop() : journal)));
  chooser.disabled = found.journals.length < 2;
  fill(document.getElementById("about"),
    h("span", { title: found.path }, found.path),
    h("span", {}, found.app ? `decoded by ${found.app}` : "no --app: states as stored"),
    h("span", {}, `aurora_es ${found.version}, read-only`));
  return found;
}

function isKnown(name) {
  return known !== null && (!name || known.journals.some((one) => one.journal === name));
}

// The one that is asked for; else events, if there are any, of the longest journal.
function chosenJournal(name) {
  if (name && isKnown(name)) return name;
  if (name) {
    chooser.disabled = false;
    chooser.selectedIndex = -1;
    throw new Problem("PathError", `${known.path} has no journal ${name} now; choose another one above.`, 404);
  }
  const listed = known.journals;
  const length = (one) => one.summary.last_position ?? 0;
  const events = listed.filter((one) => /(^|\/)events$/.test(one.journal));
  const best = (events.length ? events : listed).toSorted((one, other) => length(other) - length(one));
  return best[0]?.journal;
}

function go(view, parameters) {
  const target = address(view, parameters);
  if (location.hash === target) show();
  else location.hash = target;
}

chooser.addEventListener("change", () => {
  const { view } = place();
  go(view === "aggregate" ? "streams" : view, { journal: chooser.value });
});

document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = document.getElementById("find-id").value.trim();
  if (id) go("streams", { journal: chooser.value, prefix: id, open: "y" });
});

document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName);
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  document.getElementById("find-id").focus();
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
show();
