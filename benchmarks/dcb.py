"""DCB figures: ``python -m benchmarks.dcb``; conditional appends, and reads by two tags.

PostgreSQL takes part if the library's ``POSTGRES_*`` variables name a database and psycopg is
installed, UmaDB if its package and the server that comes with it are: ``pip install psycopg[binary]
psycopg-pool umadb``. All are measured in turn, block by block, on one disk. The figures are kept in
``benchmarks/results/dcb.json``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    DCBRecorder,
)
from eventsourcing.dcb.popo import InMemoryDCBRecorder
from eventsourcing.utils import Environment

from aurora_es import AuroraFactory
from aurora_es.journal import background

from .machine import machine_facts
from .measure import percentile
from .report import write_json

RESULTS = Path(__file__).resolve().parent / "results" / "dcb.json"
TARGETS = {"appends": 3.0, "read_ms": 1.0}  # times as fast as either server; at 10^6 events
_SERVERS = ("PostgreSQL (postgres_tt)", "UmaDB")
COURSES = 1_000
STUDENTS_BEFORE = 10  # enrolled in each course before anything is measured
WARM = 30
BLOCKS = 5
STATE = b'{"at":"2026-11-25T09:00:00+00:00","by":"the registrar","note":"........................"}'

Append = Callable[[str, str, int], int]  # course, student, last known position -> position


def _recorder_append(recorder: DCBRecorder) -> Append:
    def append(course: str, student: str, after: int) -> int:
        query = DCBQuery([DCBQueryItem(types=["Enrolled"], tags=[course])])
        event = DCBEvent("Enrolled", STATE, [course, student])
        return recorder.append([event], DCBAppendCondition(query, after or None))

    return append


def _fill(recorder: DCBRecorder) -> None:
    for number in range(STUDENTS_BEFORE):
        recorder.append(
            [
                DCBEvent("Enrolled", STATE, [f"course:{course}", f"student:{number}.{course}"])
                for course in range(COURSES)
            ]
        )


def _aurora(path: str, **settings: str) -> AuroraFactory:
    return AuroraFactory(Environment("School", {"AURORA_PATH": path, **settings}))


@contextmanager
def _postgres() -> Iterator[DCBRecorder | None]:
    if find_spec("psycopg") is None or "POSTGRES_DBNAME" not in os.environ:
        print("PostgreSQL: not measured (psycopg, POSTGRES_DBNAME)", file=sys.stderr)
        yield None
        return
    module: Any = import_module("eventsourcing.dcb.postgres_tt")
    factory = module.PostgresTTDCBFactory(Environment(f"bench{os.getpid()}", dict(os.environ)))
    with factory:
        yield factory.dcb_recorder()


@contextmanager
def _umadb(path: str) -> Iterator[Append | None]:
    server = shutil.which("umadb", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if find_spec("umadb") is None or server is None:
        print("UmaDB: not measured (umadb)", file=sys.stderr)
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [server, "--listen", address, "--db-path", path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        umadb: Any = import_module("umadb")
        client = _connected(umadb, f"http://{address}")
        for number in range(STUDENTS_BEFORE):
            client.append(
                [
                    umadb.Event("Enrolled", STATE, [f"course:{at}", f"student:{number}.{at}"])
                    for at in range(COURSES)
                ]
            )

        def append(course: str, student: str, after: int) -> int:
            query = umadb.Query([umadb.QueryItem(types=["Enrolled"], tags=[course])])
            condition = umadb.AppendCondition(query, after or None)
            event = umadb.Event("Enrolled", STATE, [course, student])
            position: int = client.append([event], condition)
            return position

        yield append
    finally:
        process.terminate()
        process.wait()


def _connected(umadb: Any, url: str) -> Any:
    for _ in range(100):
        try:
            client = umadb.Client(url)
            client.head()
        except Exception:  # noqa: BLE001 - the server is not there yet, whatever the client says
            sleep(0.05)
        else:
            return client
    message = "the UmaDB server does not answer"
    raise RuntimeError(message)


def conditional_appends(directory: str, count: int) -> dict[str, list[float]]:
    """Seconds per durable conditional append, p50 of each block, by subject."""
    with ExitStack() as stack:
        appends: dict[str, Append] = {}
        factory = _aurora(os.path.join(directory, "aurora"))
        stack.callback(factory.close)
        recorders: dict[str, DCBRecorder | None] = {
            "aurora_es": factory.dcb_recorder(),
            "PostgreSQL (postgres_tt)": stack.enter_context(_postgres()),
            "in-memory": InMemoryDCBRecorder(),
        }
        for name, recorder in recorders.items():
            if recorder is not None:
                _fill(recorder)
                appends[name] = _recorder_append(recorder)
        uma = stack.enter_context(_umadb(os.path.join(directory, "uma.db")))
        if uma is not None:
            appends["UmaDB"] = uma
        last = dict.fromkeys(appends, COURSES * STUDENTS_BEFORE)
        figures: dict[str, list[float]] = {name: [] for name in appends}
        number = 0
        for block in range(-1, BLOCKS):
            for name, append in appends.items():
                seconds = []
                for at in range(WARM if block < 0 else count):
                    number += 1
                    course, student = f"course:{at * 7919 % COURSES}", f"student:{number}"
                    begun = perf_counter()
                    last[name] = append(course, student, last[name])
                    seconds.append(perf_counter() - begun)
                if block >= 0:
                    figures[name].append(percentile(seconds, 50))
        return figures


def reads_by_two_tags(directory: str, size: int, count: int) -> tuple[float, float, int]:
    """Seconds per read of ten events by two tags out of ``size``: p50, p99; index runs."""
    path = os.path.join(directory, f"reads-{size}")
    factory = _aurora(path, AURORA_SYNC="never", AURORA_BACKGROUND="n")
    recorder = factory.dcb_recorder()
    students = size // 10
    for begin in range(0, size, 1_000):
        recorder.append(
            [
                DCBEvent("Enrolled", STATE, [f"course:{at % COURSES}", f"student:{at % students}"])
                for at in range(begin, begin + 1_000)
            ]
        )
    factory.close()
    while background.work(os.path.join(path, "School", "dcb")).sealed_segments:
        pass
    factory = _aurora(path, AURORA_BACKGROUND="n")
    recorder = factory.dcb_recorder()
    seconds = []
    for number in range(WARM + count):
        at = number * 7919 % students
        tags = [f"course:{at % COURSES}", f"student:{at}"]
        begun = perf_counter()
        found = list(recorder.read(DCBQuery([DCBQueryItem(tags=tags)])))
        seconds.append(perf_counter() - begun)
        if len(found) != 10:
            message = f"{len(found)} events found, expected 10"
            raise RuntimeError(message)
    runs = recorder.journal.statistics().runs
    factory.close()
    shutil.rmtree(path)
    return percentile(seconds[WARM:], 50), percentile(seconds[WARM:], 99), runs


def append_rows(directory: str, count: int) -> list[dict[str, Any]]:
    """Measure conditional appends; a row for each subject."""
    figures = conditional_appends(directory, count)
    ours = figures["aurora_es"]
    return [
        {
            "subject": name,
            "p50_seconds": median(blocks),
            "blocks": blocks,
            "against_aurora_es": median(
                theirs / mine for theirs, mine in zip(blocks, ours, strict=True)
            ),
        }
        for name, blocks in figures.items()
    ]


def read_rows(directory: str, sizes: Sequence[int], count: int) -> list[dict[str, Any]]:
    """Measure reads by two tags; a row for each size."""
    rows = []
    for size in sizes:
        half, most, runs = reads_by_two_tags(directory, size, count)
        rows.append({"events": size, "p50_ms": half * 1e3, "p99_ms": most * 1e3, "runs": runs})
    return rows


def tables(report: dict[str, Any]) -> str:
    """The report as two tables in Markdown."""
    lines = [
        f"| durable conditional append, {COURSES} courses | p50 | against aurora_es |",
        "|---|---|---|",
    ]
    for row in report["appends"]:
        microseconds = row["p50_seconds"] * 1e6
        lines.append(
            f"| {row['subject']} | {microseconds:.0f} µs | {row['against_aurora_es']:.2f} x |"
        )
    lines += [
        "",
        "| events | read of 10 events by two tags, p50 | p99 | index runs |",
        "|---|---|---|---|",
    ]
    for row in report["reads"]:
        lines.append(
            f"| {row['events']:,} | {row['p50_ms']:.2f} ms | {row['p99_ms']:.2f} ms |"
            f" {row['runs']} |"
        )
    return "\n".join(lines)


def reached(report: dict[str, Any]) -> dict[str, bool | None]:
    """Which targets are reached; None where the subject was not measured."""
    appends = {row["subject"]: row["against_aurora_es"] for row in report["appends"]}
    found: dict[str, bool | None] = {
        f"appends, against {name}": (
            appends[name] >= TARGETS["appends"] if name in appends else None
        )
        for name in _SERVERS
    }
    largest = max(report["reads"], key=lambda row: int(row["events"]), default=None)
    found["reads of the largest store, p50"] = (
        None if largest is None else largest["p50_ms"] <= TARGETS["read_ms"]
    )
    return found


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dcb", description=__doc__)
    parser.add_argument("--appends", type=int, default=200, help="per subject and block")
    parser.add_argument("--reads", type=int, default=300, help="per size")
    parser.add_argument("--sizes", default="10000,100000,1000000", help="of stores that are read")
    parser.add_argument("--directory", type=Path, help="where the stores live (default: this disk)")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where figures are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory or Path.cwd()) as directory:
        report: dict[str, Any] = {
            "command": shlex.join(["python", "-m", "benchmarks.dcb", *sys.argv[1:]]),
            "machine": machine_facts(Path(directory)),
            "targets": TARGETS,
            "appends": append_rows(directory, options.appends),
            "reads": read_rows(directory, [*map(int, options.sizes.split(","))], options.reads),
        }
    report["reached"] = reached(report)
    write_json(report, options.json)
    print(tables(report))


if __name__ == "__main__":
    main()
