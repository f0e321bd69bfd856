"""The commands that show what a journal consists of and how much is in it: ls, stats."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from aurora_es.cli.arguments import AsJson, AsJsonLines, PathToRead, Since, Until
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import find_journal, open_to_read
from aurora_es.cli.rendering import console_of, print_all, table_of
from aurora_es.cli.text import encodable, json_bytes, printable, size_text, time_text
from aurora_es.inspection.picture import Picture, RunPicture, SegmentPicture, read_picture
from aurora_es.inspection.rates import BUCKETS_MAX, Bucket, read_rates
from aurora_es.journal.statistics import Statistics

_BAR_COLUMNS = 20
_WIDE_COLUMNS = 140  # a terminal of less has no room for names of files
_TOPICS_DEFAULT = 20


def ls(path: PathToRead, *, as_json: AsJsonLines = False) -> None:
    """List the segments and index runs of a journal: positions, times, sizes and tiers.

    Tiers: tail (appended to), rolled (closed, not sealed yet), sealed, cooled (stored again,
    compressed), obsolete (to be removed). The times are those of the first and last commit.
    """
    with errors_told(), open_to_read(find_journal(os.path.abspath(path))) as journal:
        picture = read_picture(journal)
    if as_json:
        for line in _file_lines(picture):
            sys.stdout.buffer.write(line)
        return
    is_wide = not sys.stdout.isatty() or console_of().width >= _WIDE_COLUMNS
    runs = (Text("\nindex runs", "dim"), _run_table(picture)) if picture.runs else ()
    print_all(_segment_table(picture, is_wide=is_wide), *runs)


def _segment_table(picture: Picture, *, is_wide: bool) -> Table:
    columns = [("segment", "right"), ("first", "right"), ("last", "right"), ("size", "right")]
    columns += [("tier", "left"), ("from", "left"), ("to", "left"), ("file", "left")]
    table = table_of(*(columns if is_wide else columns[:-1]))
    for one in picture.segments:
        cells = [f"{one.segment_number:,}", *_extent(one), *_times(one), one.file_name]
        table.add_row(*(cells if is_wide else cells[:-1]))
    return table


def _run_table(picture: Picture) -> Table:
    table = table_of(
        ("level", "right"),
        ("first", "right"),
        ("last", "right"),
        ("size", "right"),
        ("segments", "left"),
        ("file", "left"),
    )
    for run in picture.runs:
        table.add_row(
            str(run.level),
            f"{run.base_position:,}",
            f"{run.last_position:,}",
            size_text(run.size_bytes),
            f"{run.first_segment:,} to {run.last_segment:,}",
            run.file_name,
        )
    return table


def _file_lines(picture: Picture) -> Iterator[bytes]:
    """Segments and runs as lines of JSON; ``kind`` tells them apart."""
    for one in (*picture.segments, *picture.runs):
        shown = msgspec.structs.asdict(one)
        shown["tier"] = shown.pop("state", None)
        kind = "segment" if isinstance(one, SegmentPicture) else "run"
        if isinstance(one, RunPicture):
            del shown["tier"]
        yield json_bytes({"kind": kind, **shown})


def _extent(segment: SegmentPicture) -> tuple[str, str, str, str]:
    last = segment.last_position
    is_empty = last is not None and last < segment.base_position
    return (
        "-" if is_empty else f"{segment.base_position:,}",
        "-" if is_empty else "unknown" if last is None else f"{last:,}",
        size_text(segment.size_bytes),
        segment.state or "unknown",
    )


def _times(segment: SegmentPicture) -> tuple[str, str]:
    first, last = segment.first_timestamp, segment.last_timestamp
    return _second(first), _second(last)


def _second(time: datetime | None) -> str:
    """To the second, which is enough to see; --json has the rest."""
    return "" if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"


class _Stats(msgspec.Struct, kw_only=True):
    """What ``stats --json`` prints."""

    path: str
    counts: Statistics
    since: datetime | None
    until: datetime | None
    rates: list[Bucket]
    topics: dict[str, int]
    size_by_kind_bytes: dict[str, int]


def stats(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToRead,
    *,
    since: Since = None,
    until: Until = None,
    buckets: Annotated[
        int,
        typer.Option(min=1, max=BUCKETS_MAX, help="Stretches of time to count records in."),
    ] = 16,
    topics_max: Annotated[
        int, typer.Option("--topics", metavar="COUNT", min=0, help="Print so many topics.")
    ] = _TOPICS_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show counts, rates over time, the most frequent topics, and sizes.

    Rates are of the time between the first record and the last, or --since and --until; topics and
    sizes are of the whole journal.
    """
    with errors_told(), open_to_read(find_journal(os.path.abspath(path))) as journal:
        rates = read_rates(journal, since=since, until=until, buckets=buckets)
        counted = sorted(journal.topics().items(), key=lambda item: (-item[1], item[0]))
        found = _Stats(
            path=encodable(journal.handle.path),
            counts=msgspec.structs.replace(
                journal.statistics(), path=encodable(journal.handle.path)
            ),
            since=rates[0].start if rates else since,
            until=rates[-1].end if rates else until,
            rates=rates,
            topics=dict(counted[:topics_max]),
            size_by_kind_bytes=read_picture(journal).size_by_kind_bytes,
        )
    if as_json:
        sys.stdout.buffer.write(json_bytes(found))
        return
    facts = table_of(("", "left"), ("", "left"), header=False)
    for label, value in _facts(found):
        facts.add_row(Text(label, "dim"), Text(value))
    print_all(facts, *_rate_table(rates), *_topic_table(found, more=len(counted) > topics_max))


def _facts(found: _Stats) -> Iterator[tuple[str, str]]:
    counts = found.counts
    yield "path", printable(found.path)
    yield "records", f"{counts.events:,}"
    yield "commits", f"{counts.last_commit:,}"
    if counts.originators is not None:
        yield "originators", f"{counts.originators:,}"
    segments = f"{counts.segments:,}: {counts.sealed_segments:,} sealed, {counts.cooled_segments:,}"
    yield "segments", f"{segments} cooled; {counts.runs:,} index runs"
    if counts.events:
        yield "bytes per record", f"{counts.segment_bytes / counts.events:.1f}"
        yield "index per record", f"{counts.run_bytes / counts.events:.1f}"
    for kind, size in sorted(found.size_by_kind_bytes.items()):
        yield f"{kind} on disk", size_text(size)


def _rate_table(rates: list[Bucket]) -> Iterable[Text]:
    if not rates:
        return
    highest = max(bucket.record_count for bucket in rates)
    yield Text("\nrecords from, count, per second", "dim")
    for bucket in rates:
        columns = -(-bucket.record_count * _BAR_COLUMNS // highest) if highest else 0
        line = Text(f"{time_text(bucket.start)}  {bucket.record_count:>10,}")
        line.append(f"  {bucket.records_per_second:>10,.1f}  ")
        yield line.append("█" * columns, "green")


def _topic_table(found: _Stats, *, more: bool) -> Iterable[Text]:
    if not found.topics:
        return
    yield Text("\ntopics, most frequent first", "dim")
    for topic, count in found.topics.items():
        share = 100 * count / max(found.counts.events, 1)
        yield Text(f"{count:>12,}  {share:>5.1f} %  ").append(printable(topic), "green")
    if more:
        yield Text("... more: see aurora-es topics", "dim")
