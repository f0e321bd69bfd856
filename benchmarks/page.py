"""Writes docs/benchmarks.md, its pictures and the rows of README.md: ``python -m benchmarks.page``.

Nothing is measured here. Each part of the page says which command measured it, and when.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import ratio_plot
from .latency_plot import panels_of, svg
from .ratio_plot import rows_of
from .report import markdown
from .rows import Unit, format_value
from .workloads import WORKLOADS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"
README = ROOT / "README.md"
_OF_README = (
    "insert-1-durable-p50",
    "insert-1-durable-p99",
    "insert-100-durable",
    "threads-32",
    "processes-4-rate",
    "last-event",
    "aggregate-100",
    "pages-100",
    "create-save-durable",
    "read-your-writes-another",
)

_HEAD = """# Benchmarks

What aurora_es costs, beside what else could be used. This page is written by `python -m
benchmarks.page` from the files in `benchmarks/results`, which the commands below write.

## How to read it

- **Percentiles, not averages.** One call in a hundred takes as long as p99 or longer. Who makes a
  hundred calls for one page meets one of those more often than not.
- **Equal promises only.** *durable*: a call returns when its events would survive a power cut.
  *never*: nobody waits for the disk. Which setting that is in each store is said beside the figures.
  The in-memory store keeps nothing; it shows what the library and Python cost by themselves.
- **In turn.** All stores are opened in one run on one disk and work block by block, in rotating
  order, so that a machine that slows down slows down all of them.
- **One machine.** A small virtual one here. Ratios carry over better than times. Measure on yours.
- **Misses are shown.** Where a target of our own is not reached, the table says so. See also
  [why, and when not](why.md#what-it-is-bad-at).

## How to repeat it

```console
$ make bench                        # one row per operation, targets: benchmarks/results/latest.json
$ python -m benchmarks.workloads    # workloads below: benchmarks/results/workloads.json
$ python -m benchmarks --growth-max # costs up to 10^7 events: see Scale
$ python -m benchmarks.queue        # the queue, beside others
$ python -m benchmarks.care         # verify, repair, back up, restore
$ python -m benchmarks.dcb          # dynamic consistency boundaries, sizes up to 10^6
$ python -m benchmarks.page         # this page
```

Each has `--help`; `--quick`, where there is one, shows in a minute that it runs. Peers take part if they
are installed: `pip install '.[bench]'` from a clone, and a PostgreSQL server whose database, user and
password the library's `POSTGRES_*` variables give (`eventsourcing` for all three if not).
Costs from 10^4 to 10^7 events have a page of their own: [scale](internals/scale.md).
"""

_TEXTS = {
    "small-streams": "Orders, sessions, carts: most aggregates get a few events and are never seen"
    " again. Six in ten appends begin a new aggregate with one to three events, the others go on with"
    " any that is there.",
    "hot-streams": "Aggregates are chosen by Zipf's law (exponent 1.1): the hottest gets about"
    " every seventh event, thousands get one. Loading takes the newest events only, as with a"
    " snapshot.",
    "mixed": "Four threads, aggregates chosen by Zipf's law. Seven in ten calls load, two are"
    " commands (load the last event, append the next one, and again if somebody was faster), one"
    " looks at the newest events of all. The time of a command is that of all its tries.",
    "catch-up": "A projection that starts from the beginning reads as fast as it can, while events"
    " are appended at a steady pace. The reader is another process (for the in-memory store, which"
    " no other process can open, a thread, which competes for the interpreter). The time of an append"
    " counts from when it was due, so that a slow one is counted by those that it delays.",
    "sizes": "One event to a commit, ten to an aggregate. States are text that a compressor can"
    " halve; none of the stores was told to compress (PostgreSQL does, from 2 kB on).",
    "dcb": "A decision reads the events of one course, chosen by Zipf's law, and of one student, and"
    " appends one on condition that no other came meanwhile. SQLite has no such recorder in the"
    " library. UmaDB is a server with a client of its own; it always syncs.",
}


def load(name: str) -> dict[str, Any] | None:
    """The kept figures of that name, or None."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text("utf-8")) if path.exists() else None
    return found


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A table of Markdown, whose first columns are texts and the others numbers."""
    rule = ["---" if at < texts else "---:" for at in range(len(headings))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, rule, *rows])


def machine_line(report: dict[str, Any]) -> str:
    """What was measured on, when, and with what."""
    machine = report["machine"]
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    postgres = machine.get("postgresql") or {}
    server = ", PostgreSQL " + postgres["server_version"].split()[0] if postgres else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']},"
        f" {machine['file_system']['type']}, {machine['python']}, SQLite {machine['sqlite']}{server},"
        f" {packages}; revision {machine['revision']}, {machine['date'][:10]}."
    )


def workloads_part(report: dict[str, Any] | None) -> Iterator[str]:
    """The workloads, each with its picture and its table."""
    yield "## Workloads\n"
    if report is None:
        yield "No run is kept at present: `python -m benchmarks.workloads` makes one.\n"
        return
    if report["quick"]:
        yield "**A quick run, which shows that it runs. These figures say nothing.**\n"
    yield machine_line(report) + f" Command: `{report['command']}`.\n"
    measured = {row["store"] for row in report["rows"]}
    for sync, words in report["sync_words"].items():
        told = ", ".join(f"{name} {word}" for name, word in words.items() if name in measured)
        yield f"- *{sync}*: {told}."
    for name, why in report["missing"].items():
        yield f"- {name} was not measured: {why}."
    yield ""
    for key, (title, _) in WORKLOADS.items():
        rows = [row for row in report["rows"] if row["workload"] == key]
        if rows:
            yield f"### {title}\n"
            yield _TEXTS[key] + "\n"
            yield f"![{title}: percentiles of each store](images/workload-{key}.svg)\n"
            yield _workload_table(rows) + "\n"


def _workload_table(rows: Sequence[dict[str, Any]]) -> str:
    percents = list(rows[0]["percentiles"])
    headings = ["operation", "sync", "store", *(f"p{it}" for it in percents), "longest", "calls"]
    cells = []
    before = ("", "")
    for row in rows:
        shown = (row["operation"], row["sync"])
        found = [format_value(row["percentiles"][it], "seconds") for it in percents]
        cells.append(
            [
                *(("", "") if shown == before else shown),
                row["store"],
                *found,
                format_value(row["max"], "seconds"),
                f"{row['calls']:,}",
            ]
        )
        before = shown
    return table(headings, cells, 3)


def operations_part(report: dict[str, Any] | None) -> Iterator[str]:
    """The table of ``make bench``."""
    yield "## Single operations\n"
    if report is None:
        yield "No run is kept at present: `make bench` makes one.\n"
        return
    yield (
        "What limits a single durable insert is the disk: the rows *over floor* compare with the bare"
        " write and sync of as many bytes. With 32 threads most of the time goes into waking them."
        " Among four processes SQLite lets one go on and starves the others, so that its p99 of all"
        " calls is small; the row *waits met at any moment* is what a caller meets.\n"
    )
    yield "![How many times as fast as SQLite each operation is](images/operations.svg)\n"
    yield markdown(report) + "\n"


def scale_part(report: dict[str, Any] | None) -> Iterator[str]:
    """Cost against size, which has a page of its own."""
    if report is not None:
        yield "## Scale\n"
        yield (
            "Cost against the number of events, both axes logarithmic. [Scale](internals/scale.md)"
            " has the figures and what limits them."
            f" {machine_line(report)} Command: `{report['command']}`.\n"
        )
        yield "![Cost of operations against size](../benchmarks/results/scale.svg)\n"


def queue_part(report: dict[str, Any] | None) -> Iterator[str]:
    """The queue beside others."""
    yield "## The queue\n"
    if report is None:
        yield "No run is kept at present: `python -m benchmarks.queue` makes one.\n"
        return
    names = list(dict.fromkeys(name for row in report["rows"] for name in row["medians"]))
    cells = []
    for row in report["rows"]:
        unit: Unit = row["unit"] or "per_second"
        found = [format_value(row["medians"].get(name), unit) for name in names]
        reached = "" if not row["target"] else "yes" if row["reached"] else "no"
        cells.append([row["work"], row["sync"], *found, row["target"] or "", reached])
    yield machine_line(report) + " Command: `python -m benchmarks.queue`. Medians.\n"
    yield table(["work", "sync", *names, "target", "reached"], cells, 2) + "\n"


def care_part(report: dict[str, Any] | None) -> Iterator[str]:
    """Verify, repair, back up, restore."""
    yield "## Care\n"
    if report is None:
        yield "No run is kept at present: `python -m benchmarks.care` makes one.\n"
        return
    cells = []
    for row in report["rows"]:
        size = row["bytes"] / 1e6
        events = f"{row['events']:,} events" if "events" in row else ""
        shape = events or f"{row['commit']} to a commit, {row['coding']}"
        seconds = row["seconds"]
        # What is linked is not read, so it has no rate.
        is_linked = "backup" in row["what"] and "verify" not in row["what"]
        rate = "linked" if is_linked else f"{size / seconds:.0f}"
        raw = f"{row['raw_bytes'] / 1e6 / seconds:.0f}" if "raw_bytes" in row else ""
        cells.append([row["what"], shape, f"{size:.0f}", f"{seconds:.2f}", rate, raw])
    yield machine_line(report) + " Command: `python -m benchmarks.care`.\n"
    yield table(["work", "journal", "MB", "seconds", "MB/s", "of raw content"], cells, 2) + "\n"


def readme_table() -> str:
    """The rows for who has a minute; all others are on the page."""
    report = load("latest")
    rows = report["rows"] if report else []
    cells = [row["cells"][:6] for key in _OF_README for row in rows if row["key"] == key]
    told = f"\n\n{machine_line(report)} Measured by `make bench`." if report else ""
    headings = ["work", "sync", "SQLite", "in-memory", "aurora_es", "ratio"]
    return table(headings, cells, 2) + told


def readme() -> str:
    """README.md with the rows of today's figures."""
    begin, end = "<!-- benchmarks -->\n", "<!-- /benchmarks -->"
    text = README.read_text("utf-8")
    before, after = text[: text.index(begin)], text[text.index(end) :]
    return f"{before}{begin}{readme_table()}\n{after}"


def render() -> str:
    """The page."""
    parts = [
        _HEAD,
        *workloads_part(load("workloads")),
        *operations_part(load("latest")),
        *scale_part(load("scale")),
        *queue_part(load("queue")),
        *care_part(load("care")),
    ]
    return "\n".join(parts).rstrip() + "\n"


def pictures() -> dict[str, str]:
    """The pictures of the page, by file name."""
    report, operations = load("workloads"), load("latest")
    drawn = {} if operations is None else {"operations.svg": ratio_plot.svg(rows_of(operations))}
    for key, (title, _) in WORKLOADS.items():
        rows = [row for row in report["rows"] if row["workload"] == key] if report else []
        if rows:
            drawn[f"workload-{key}.svg"] = svg(title, panels_of(rows))
    return drawn


def main() -> None:
    """Write the page and its pictures."""
    PAGE.write_text(render(), "utf-8")
    README.write_text(readme(), "utf-8")
    IMAGES.mkdir(exist_ok=True)
    for name, text in pictures().items():
        (IMAGES / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
