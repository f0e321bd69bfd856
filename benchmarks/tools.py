"""Figures of the commands that look inside: ``python -m benchmarks.tools``.

- ``info``, ``stats``, ``ls``, ``show``, ``tail`` and the first lines of ``streams`` on a journal of
  ``--events``: the whole command in a new process, interpreter and imports included; and an
  interpreter that imports the command and ends, which is the floor. Processor milliseconds are those
  of the process, so that a busy machine shows; resident memory is its highest, at least that of this
  process when it starts another.
- ``tail -f``: from the return of another process's append, one by one, to the line on the pipe.
- ``grep`` of a word that is nowhere: records per second of one process.

A journal made before is measured as it is with ``--journal``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any
from uuid import UUID

from aurora_es import Journal, Record, Sync

from .care import fill
from .machine import machine_facts
from .report import write_json

RESULTS = Path(__file__).resolve().parent / "results" / "tools.json"
COMMAND = (sys.executable, "-m", "aurora_es.cli")
TARGETS_MS = {"info": 500.0, "tail -f": 50.0}
PER_COMMIT = 1_000
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
# Appends one record per line of its input, and answers with the time at which it was committed.
WRITER = """
import sys, time
from aurora_es import Journal, Record, Sync
with Journal.open(sys.argv[1], background=False) as journal:
    for line in sys.stdin:
        journal.append([Record(topic="tick", state=line.strip().encode())])
        print(time.perf_counter_ns(), flush=True)
"""


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share / 100), len(ordered) - 1)]


def row(what: str, milliseconds: Sequence[float], **facts: Any) -> dict[str, Any]:
    """A row of the table."""
    return {
        "what": what,
        "count": len(milliseconds),
        "p50_ms": statistics.median(milliseconds),
        "p99_ms": percentile(milliseconds, 99),
        "min_ms": min(milliseconds),
        **facts,
    }


def whole_process(what: str, *arguments: str, times: int, **facts: Any) -> dict[str, Any]:
    """The time of a command from its start to its end, once its modules are compiled."""
    environment = {key: value for key, value in os.environ.items() if key != _NO_BYTECODE}
    taken, processor, resident = [], [], 0
    for number in range(times + 1):
        begun = perf_counter()
        with subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode in facts.get("exit_codes", (0,)), arguments
        if number:
            taken.append(1_000 * (perf_counter() - begun))
            processor.append(1_000 * (usage.ru_utime + usage.ru_stime))
            resident = max(resident, usage.ru_maxrss << 10)
    facts.pop("exit_codes", None)
    used = {"processor_p50_ms": statistics.median(processor), "resident_bytes": resident}
    return row(what, taken, **used, **facts)


def looks(path: Path, times: int) -> list[dict[str, Any]]:
    """The commands that a person waits for."""
    originator = str(UUID(int=7))

    def of(*arguments: str) -> dict[str, Any]:
        return whole_process(arguments[0], *COMMAND, *arguments, times=times)

    floor = "import aurora_es.cli.commands"
    return [
        whole_process("python -c pass", sys.executable, "-c", "pass", times=times),
        whole_process(f"python -c '{floor}'", sys.executable, "-c", floor, times=times),
        of("info", str(path)),
        of("ls", str(path)),
        of("stats", str(path)),
        of("streams", str(path), "--limit", "100"),
        of("show", str(path), originator),
        of("tail", str(path)),
    ]


def follow(directory: Path, count: int) -> dict[str, Any]:
    """The delay from another process's append to the line that ``tail -f`` prints."""
    path = directory / "followed"
    with Journal.open(path, sync=Sync.NEVER) as journal:
        journal.append([Record(topic="tick", state=b"first")])
    with (
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer,
        subprocess.Popen(
            [*COMMAND, "tail", "-f", "-n", "1", str(path)], stdout=subprocess.PIPE, text=True
        ) as tail,
    ):
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert tail.stdout is not None
        tail.stdout.readline()
        taken = []
        for at in range(count):
            print(at, file=writer.stdin, flush=True)
            shown = tail.stdout.readline()
            seen = perf_counter_ns()
            assert shown.rstrip().endswith(f"\t{at}")
            taken.append(max(seen - int(writer.stdout.readline()), 0) / 1e6)
        tail.kill()
        writer.kill()
    return row("tail -f", taken)


def search(path: Path, events: int) -> dict[str, Any]:
    """Records per second of ``grep``, by the processor time of the command."""
    arguments = [*COMMAND, "grep", str(path), "nowhere", "--stop", str(events)]
    found = whole_process("grep", *arguments, times=1, records=events, exit_codes=(1,))
    rate = 1_000 * events / found["processor_p50_ms"]
    return {**found, "records_per_processor_second": rate}


def line(found: dict[str, Any]) -> str:
    """One row of the table."""
    target = TARGETS_MS.get(found["what"])
    rate = found.get("records_per_processor_second")
    resident = found.get("resident_bytes")
    cells = (
        found["what"],
        str(found["count"]),
        *(f"{found[name]:.1f}" for name in ("min_ms", "p50_ms", "p99_ms")),
        f"{found['processor_p50_ms']:.0f}" if "processor_p50_ms" in found else "",
        "" if target is None else f"{target:.0f}",
        "" if resident is None else f"{resident / 1e6:.0f}",
        "" if rate is None else f"{rate:,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def measure(path: Path, directory: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows, printed as they come."""
    with Journal.open(path, read_only=True) as journal:
        events = journal.last_position
    rows = []
    for found in looks(path, options.times):
        rows.append({**found, "events": events})
        print(line(found), flush=True)
    for found in (follow(directory, options.follows), search(path, min(events, 10**6))):
        rows.append(found)
        print(line(found), flush=True)
    return rows


def main() -> None:
    """Measure, print, and keep the JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tools",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--events", type=int, default=10**7, help="of the journal that is made (takes minutes)")
    add("--journal", type=Path, help="a journal that exists, which is only read")
    add("--times", type=int, default=20, help="runs of each command")
    add("--follows", type=int, default=1_000, help="events that tail -f is to show")
    add("--directory", type=Path, help="where the stores live (default: this disk)")
    add("--json", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    options = parser.parse_args()
    print(
        "| what | runs | min ms | p50 ms | p99 ms | processor ms | target ms | resident MB |"
        " records/processor second |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.directory or Path.cwd()) as name:
        directory = Path(name)
        path = options.journal
        if path is None:
            path = directory / "journal"
            fill(path, options.events, PER_COMMIT, 32 << 20, small=True)
        rows = measure(path, directory, options)
        facts = machine_facts(directory)
    load = os.getloadavg()[0]
    write_json({"machine": facts, "load": load, "rows": rows}, options.json)


if __name__ == "__main__":
    main()
