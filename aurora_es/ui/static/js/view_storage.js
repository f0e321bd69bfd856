// The files of a journal as a picture: segments by tier, index runs by level, sizes by kind.

import { ask } from "./api.js";
import { bar, strips } from "./charts.js";
import { fill, h } from "./dom.js";
import { count, size, some, time } from "./format.js";
import { address, card, empty, table } from "./parts.js";

const TIERS = {
  tail: "appended to", rolled: "closed, not sealed yet", sealed: "complete, with an index run",
  cooled: "stored again, compressed", obsolete: "replaced, to be removed", newer: "made meanwhile",
};
const ROWS_MAX = 200;

export async function render(root, { journal, signal }) {
  fill(root, h("h1", {}, "Storage"), empty("Reading …"));
  const { picture, segments_left_out: leftOut } = await ask("storage", { journal }, signal);
  const shown = picture.segments.filter((one) => (one.last_position ?? 0) >= one.base_position);
  const tiers = Object.keys(TIERS).filter((tier) => picture.segments.some((one) => one.state === tier));
  const first = Math.min(...shown.map((one) => one.base_position), picture.last_position);
  fill(root, h("h1", {}, "Storage"),
    card("Segments and index runs along the journal",
      h("ul", { class: "legend" }, ...tiers.map((tier) => h("li", {}, h("span", { class: `swatch ${tier}` }), h("strong", {}, tier), ` ${TIERS[tier]}`))),
      shown.length === 0 ? empty("Nothing was recorded yet.") : [strips([...segmentRows(shown), ...runRows(picture.runs)], {
        first, last: picture.last_position,
        label: `${some(shown.length, "segment", "segments")} and ${some(picture.runs.length, "index run", "index runs")} by position`,
      }),
      h("div", { class: "axis" }, h("span", {}, `position ${count(first)}`), h("span", {}, count(picture.last_position)))]),
    card("Size by kind", kinds(picture.size_by_kind_bytes)),
    card("Segments", segmentTable(journal, picture.segments, leftOut)));
}

function segmentRows(segments) {
  const block = (one) => ({
    from: one.base_position, to: one.last_position, kind: one.state ?? "newer",
    label: `segment ${count(one.segment_number)}, ${one.state}: ${count(one.base_position)} to ${count(one.last_position)}, ${size(one.size_bytes)}`,
  });
  const live = segments.filter((one) => one.state !== "obsolete");
  const old = segments.filter((one) => one.state === "obsolete");
  const rows = [{ name: "segments", blocks: live.map(block) }];
  if (old.length) rows.push({ name: "obsolete", blocks: old.map(block) });
  return rows;
}

function runRows(runs) {
  const levels = [...new Set(runs.map((run) => run.level))].toSorted((one, other) => other - one);
  return levels.map((level) => ({
    name: `runs, level ${level}`,
    blocks: runs.filter((run) => run.level === level).map((run) => ({
      from: run.base_position, to: run.last_position, kind: "run",
      label: `index run of level ${level}: segments ${count(run.first_segment)} to ${count(run.last_segment)}, ${size(run.size_bytes)}`,
    })),
  }));
}

function kinds(sizes) {
  const all = Object.entries(sizes).toSorted(([, one], [, other]) => other - one);
  const total = all.reduce((sum, [, bytes]) => sum + bytes, 0);
  return h("ol", { class: "bars" }, ...all.map(([kind, bytes]) => h("li", {},
    h("span", { class: "name" }, kind), h("span", { class: "count" }, size(bytes)),
    bar(bytes / Math.max(total, 1), { label: `${kind}: ${size(bytes)}` }))));
}

function segmentTable(journal, segments, leftOut) {
  const newest = segments.slice(-ROWS_MAX).reverse();
  const rows = newest.map((one) => {
    const records = Math.max((one.last_position ?? 0) - one.base_position + 1, 0);
    const range = `${count(one.base_position)} to ${count(one.last_position ?? 0)}`;
    return h("tr", {},
      h("th", { scope: "row", class: "number" }, count(one.segment_number)),
      h("td", {}, h("span", { class: `swatch ${one.state}` }), one.state ?? "unknown"),
      h("td", { class: "number" }, records ? h("a", { href: address("events", { journal, start: one.base_position, stop: one.last_position, order: "oldest" }) }, range) : "empty"),
      h("td", { class: "number" }, size(one.size_bytes)),
      h("td", { class: "number" }, records ? size(Math.round(one.size_bytes / records)) : "–"),
      h("td", {}, time(one.first_timestamp, { seconds: false })),
      h("td", {}, time(one.last_timestamp, { seconds: false })));
  });
  const more = leftOut + segments.length - newest.length;
  return [table(["Segment", "Tier", "Positions", "Size", "Per event", "From", "To"], rows, "Segments, newest first"),
    more > 0 && h("p", { class: "note" }, `${some(more, "older segment is", "older segments are")} not listed; aurora-es ls lists all.`)];
}
