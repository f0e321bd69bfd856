"""Figures of care: ``python -m benchmarks.care``; verify, repair, rebuild, back up, restore.

Each is measured on journals of about ``--megabytes`` with commits of one and of a hundred events, raw
and cooled, and backups besides on one journal of ``--backup-events`` small events. MB are 10^6 bytes
of segments as they are on disk, and beside it of their content before any cooling; processor seconds are
those of this process and of all that it started, so that a busy machine shows. The floor is reading
the same files once, from the cache as all else does. Journals have segments of ``--segment-megabytes``
before any cooling, so that there are enough for all cores; ``--scans-only`` leaves the backups out.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter, process_time
from typing import Any
from uuid import UUID

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.care import backup, rebuild, repair, restore, verify
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away

from .machine import machine_facts, resident_bytes
from .report import write_json
from .scale_events import make_varied_state

RESULTS = Path(__file__).resolve().parent / "results" / "care.json"
VERSIONS = 100  # events of one aggregate
COPY_PAUSE = "--backup-events 10000000 takes some minutes to fill"


def fill(
    path: Path, events: int, per_commit: int, segment_bytes: int, *, small: bool = False
) -> None:
    """Append ``events``, and seal all closed segments."""
    cycle = RollCycle.bytes(segment_bytes)
    with Journal.open(path, sync=Sync.NEVER, roll_cycle=cycle, background=False) as journal:
        for begin in range(0, events, per_commit):
            journal.append(
                Record(
                    topic="bank:Account.Credited",
                    state=b"%d" % at if small else make_varied_state(at),
                    originator_id=UUID(int=at // VERSIONS),
                    originator_version=at % VERSIONS + 1,
                )
                for at in range(begin, min(begin + per_commit, events))
            )
    background.seal(str(path))
    background.merge(str(path))


def size_bytes(path: Path) -> int:
    """Bytes of all segments."""
    return sum(file.stat().st_size for file in path.glob("*.segment"))


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Wall and processor seconds of one call, those of its processes included."""
    begun, begun_cpu = perf_counter(), processor_seconds()
    work()
    return {"seconds": perf_counter() - begun, "cpu_seconds": processor_seconds() - begun_cpu}


def processor_seconds() -> float:
    """Of this process and of all of its own that have ended."""
    children = getrusage(RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def read_all(path: Path) -> None:
    """The floor: every byte, once."""
    for file in path.glob("*.segment"):
        with file.open("rb", buffering=0) as opened:
            while opened.read(1 << 20):
                pass


def damage(path: Path) -> None:
    """Flip a byte in the middle of the second segment."""
    segment = sorted(path.glob("*.segment"))[1]
    with segment.open("r+b") as file:
        file.seek(segment.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


def scans(
    directory: Path, megabytes: int, per_commit: int, segment_bytes: int, *, cooled: bool
) -> list[dict[str, Any]]:
    """Verify, repair and rebuild one journal."""
    path = directory / "journal"
    probe = directory / "probe"
    fill(probe, 2_000, per_commit, segment_bytes)
    bytes_per_event = size_bytes(probe) / 2_000
    shutil.rmtree(probe)
    fill(path, int(megabytes * 1e6 / bytes_per_event), per_commit, segment_bytes)
    raw_bytes = size_bytes(path)
    if cooled:
        background.cool(str(path), older_than_hours=-1)
        with BackgroundLock(SYSTEM_EFFECTS, str(path), timeout=60):
            clear_away(SYSTEM_EFFECTS, str(path), at_once=True)
    size = size_bytes(path)
    coding = f"lz4, {raw_bytes / 1e6:.0f} MB raw" if cooled else "raw"
    facts = {
        "commit": per_commit,
        "coding": coding,
        "bytes": size,
        "raw_bytes": raw_bytes,
        "segments": len(list(path.glob("*.segment"))),
    }
    rows = []

    def add(what: str, work: Callable[[], object], times: int = 3) -> None:
        best = min((measured(work) for _ in range(times)), key=lambda one: one["seconds"])
        rows.append({"what": what, **facts, **best})

    add("read the files (floor)", lambda: read_all(path))
    add("verify --digest --processes 1", lambda: verify(path, digest=True, processes=1))
    add("verify --digest, all cores", lambda: verify(path, digest=True))
    add("rebuild --indexes", lambda: rebuild(path), 1)
    damage(path)
    add("verify, damaged", lambda: verify(path))
    add("repair --dry-run, one frame damaged", lambda: repair(path, dry_run=True), 1)
    add("repair, one frame damaged", lambda: repair(path), 1)
    shutil.rmtree(path)
    for left in directory.glob("journal.broken-*"):
        shutil.rmtree(left)
    return rows


def backups(directory: Path, events: int, segment_bytes: int) -> list[dict[str, Any]]:
    """Back up and restore one large journal."""
    path, target = directory / "large", directory / "backup"
    fill(path, events, 1_000, segment_bytes, small=True)
    facts = {"events": events, "bytes": size_bytes(path)}
    rows = []

    def add(what: str, work: Callable[[], object]) -> None:
        rows.append({"what": what, **facts, **measured(work)})

    add("first backup", lambda: backup(path, target))
    add("backup, nothing changed", lambda: backup(path, target))
    with Journal.open(path, background=False) as journal:
        first = journal.statistics().segments
        while journal.statistics().segments == first:
            journal.append(Record(topic="t", state=b"%1000d" % at) for at in range(1_000))
    background.seal(str(path))
    add("backup, one new segment", lambda: backup(path, target))
    add("backup --verify", lambda: backup(path, target, verify=True))
    add("restore", lambda: restore(target, directory / "restored"))
    return rows


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    megabytes = row["bytes"] / 1e6
    raw = row.get("raw_bytes", row["bytes"]) / 1e6
    shape = f"{row['events']:,} events" if "events" in row else f"{row['commit']}/{row['coding']}"
    return (
        f"| {row['what']} | {shape} | {megabytes:.0f} | {row['seconds']:.2f} |"
        f" {row['cpu_seconds']:.2f} | {megabytes / row['seconds']:.0f} | {raw / row['seconds']:.0f} |"
        f" {raw / row['cpu_seconds']:.0f} |"
    )


def main() -> None:
    """Measure, print, and keep the JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.care",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--megabytes", type=int, default=400, help="size of a journal to verify")
    parser.add_argument("--backup-events", type=int, default=10**6, help=COPY_PAUSE)
    parser.add_argument(
        "--segment-megabytes", type=int, default=32, help="size of a raw segment (MiB)"
    )
    parser.add_argument("--scans-only", action="store_true", help="measure no backups")
    parser.add_argument("--directory", type=Path, help="where the stores live (default: this disk)")
    parser.add_argument("--json", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    options = parser.parse_args()
    segment_bytes = options.segment_megabytes << 20
    print(
        "| work | commits/coding | MB | seconds | processor | MB/s | raw MB/s"
        " | raw MB/processor second |"
    )
    print("|---|---|---|---|---|---|---|---|")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=options.directory or Path.cwd()) as name:
        directory = Path(name)
        for per_commit in (1, 100):
            for cooled in (False, True):
                for row in scans(
                    directory, options.megabytes, per_commit, segment_bytes, cooled=cooled
                ):
                    rows.append(row)
                    print(line(row), flush=True)
        resident = resident_bytes()
        events = 0 if options.scans_only else options.backup_events
        for row in backups(directory, events, segment_bytes) if events else ():
            rows.append(row)
            print(line(row), flush=True)
        facts = machine_facts(directory)
    print(f"\nresident memory behind the scans: {resident / 1e6:.0f} MB", file=sys.stderr)
    write_json({"machine": facts, "resident_bytes": resident, "rows": rows}, options.json)


if __name__ == "__main__":
    main()
