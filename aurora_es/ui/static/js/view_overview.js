// A journal at a glance: counts, rates over time, topics; and all journals.

import { ask } from "./api.js";
import { bar, columns } from "./charts.js";
import { fill, h } from "./dom.js";
import { ago, colour, count, ends, nearly, rate, shortCount, size, some, time, topicName } from "./format.js";
import { address, card, empty, problem, table, tile } from "./parts.js";

const TOPICS_SHOWN = 12;
const STRETCHES = matchMedia("(max-width: 600px)").matches ? 40 : 84;

export async function render(root, { journal, signal, journals }) {
  const tiles = h("dl", { class: "tiles" });
  const rates = card("Events over time", h("div", { class: "chart-room" }));
  const topics = card("Topics", h("div", { class: "topics-room" }));
  fill(root, h("h1", {}, journal ?? "No journal"), tiles,
    h("div", { class: "halves" }, rates, topics), card("Journals", journalTable(journals, journal)));
  const listed = journals.journals.find((one) => one.journal === journal);
  if (listed === undefined) return;
  fill(tiles, ...summaryTiles(listed.summary));
  if (listed.summary.error) root.prepend(problem({ name: listed.summary.error.kind, ...listed.summary.error }));
  const part = async (room, name, parameters, shown) => {
    try {
      fill(room, ...[shown(await ask(name, { journal, ...parameters }, signal))].flat());
    } catch (error) {
      if (error.name !== "AbortError") fill(room, problem(error));
    }
  };
  let counted = null;
  await Promise.all([
    part(tiles, "statistics", {}, (found) => {
      const streams = h("span", {}, found.originators === null ? "…" : count(found.originators));
      // Sealed segments tell which streams they have, and not how many are in none before.
      if (found.originators === null) counted = part(streams, "stream_count", {}, streamCount);
      return statisticTiles(found, listed.summary, h("a", { href: address("streams", { journal }) }, streams));
    }),
    part(rates.lastChild, "rates", { buckets: STRETCHES }, (found) => rateChart(found, journal)),
    part(topics.lastChild, "topics", {}, (found) => topicBars(found, journal)),
  ]);
  await counted;
}

function summaryTiles(summary) {
  return [
    tile("Events", count(summary.last_position ?? 0)),
    tile("Streams", "…"),
    tile("Last commit", "…"),
    tile("On disk", size(summary.size_on_disk_bytes), ` ${some(summary.segment_count, "segment", "segments")}`),
    tile("Safe on disk", summary.durable ? "all" : "…", ` sync ${summary.sync ?? "unknown"}`),
    tile("Epoch", count(summary.epoch ?? 0), " …"),
  ];
}

function streamCount(found) {
  return found.is_exact ? count(found.count) : nearly(found.count);
}

function statisticTiles(found, summary, streams) {
  const files = [some(summary.segment_count, "segment", "segments")];
  if (found.runs) files.push(some(found.runs, "index run", "index runs"));
  return [
    tile("Events", count(found.events), ` in ${some(found.last_commit, "commit", "commits")}`),
    tile("Streams", streams),
    tile("Last commit", found.last_timestamp ? ago(found.last_timestamp) : "never",
      found.last_timestamp ? ` ${time(found.last_timestamp, { seconds: false })}` : ""),
    tile("On disk", size(summary.size_on_disk_bytes), ` ${files.join(", ")}`),
    tile("Safe on disk", found.durable ? "all" : `all but ${size(found.unsynced_bytes)}`, ` sync ${found.sync}`),
    tile("Epoch", count(found.epoch), found.recoveries ? ` ${some(found.recoveries, "recovery", "recoveries")} seen` : " no recovery seen"),
  ];
}

function rateChart(buckets, journal) {
  if (!buckets.length) return empty("Nothing was recorded yet.");
  const [first, last] = [buckets[0].start, buckets.at(-1).end];
  const bucketMs = (Date.parse(last) - Date.parse(first)) / buckets.length;
  const isSlow = bucketMs >= 1000; // a rate per second says little of what took less
  const items = buckets.map((bucket) => ({
    value: bucket.record_count,
    label: `${ends(bucket.start, bucket.end).join(" to ")}: ${some(bucket.record_count, "event", "events")}${isSlow ? `, ${rate(bucket.records_per_second)} per second` : ""}`,
    href: address("events", { journal, since: bucket.start, until: bucket.end, order: "oldest" }),
  }));
  const highest = isSlow
    ? `Up to ${rate(Math.max(...buckets.map((bucket) => bucket.records_per_second)))} events per second.`
    : `Up to ${some(Math.max(...buckets.map((bucket) => bucket.record_count)), "event", "events")} in ${bucketMs < 1 ? "less than a millisecond" : `${bucketMs.toFixed(0)} ms`}.`;
  return columns(items, {
    hint: `${highest} Choose a column to see its events.`,
    label: "Events over time; arrow keys walk, Enter shows them",
    ends: ends(first, last),
  });
}

function topicBars(found, journal) {
  if (!found.topics.length) return empty("Nothing was recorded yet.");
  const highest = found.topics[0].count;
  const rest = found.topics.slice(TOPICS_SHOWN);
  const others = found.other_topics + rest.length;
  const events = found.other_events + rest.reduce((sum, one) => sum + one.count, 0);
  return [h("ol", { class: "bars" }, ...found.topics.slice(0, TOPICS_SHOWN).map((one) =>
    h("li", {}, h("a", { href: address("events", { journal, topic: one.topic }), title: one.topic },
      h("span", { class: "name" }, topicName(one.topic)), h("span", { class: "count" }, count(one.count)),
      bar(one.count / highest, { kind: colour(one.topic), label: `${one.topic}: ${count(one.count)}` }))))),
  others > 0 && h("p", { class: "note" }, `and ${some(others, "topic", "topics")} more with ${count(events)} events`)];
}

function journalTable(journals, current) {
  const rows = journals.journals.map(({ journal, summary }) =>
    h("tr", { class: journal === current ? "current" : null },
      h("th", { scope: "row" }, h("a", { href: address("overview", { journal }) }, journal)),
      h("td", { class: "number" }, count(summary.last_position ?? 0)),
      h("td", { class: "number" }, count(summary.segment_count)),
      h("td", { class: "number" }, size(summary.size_on_disk_bytes)),
      h("td", {}, summary.sync ?? "–"),
      h("td", {}, summary.compression ?? "–"),
      h("td", {}, summary.error ? h("span", { class: "bad" }, summary.error.kind) : h("span", { class: "good" }, "readable"))));
  const parts = [table(["Journal", "Positions", "Segments", "On disk", "Sync", "Compression", "State"], rows, "All journals")];
  if (journals.left_out) parts.push(h("p", { class: "note" }, `${shortCount(journals.left_out)} more are left out.`));
  return parts;
}
