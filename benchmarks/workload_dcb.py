"""The workload of dynamic consistency boundaries: decisions about courses, some of them hot.

A decision reads the events of one course and one student, and appends one on condition that no
other came meanwhile. UmaDB has a client of its own, and no recorder of the library.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from os import environ
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple

from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    DCBRecorder,
)

from .measure import run_in_turn
from .stores import Sync
from .workload_events import Events, Zipf
from .workload_kinds import SEED, ZIPF_EXPONENT, Blocks, Load, Samples
from .workload_stores import UMADB, dcb_recorders

READ, APPEND = "read what matters to a decision", "append on condition"


class School(NamedTuple):
    """How a store records and reads: data and tags; a course and a student."""

    append: Callable[[list[tuple[bytes, list[str]]], tuple[str, str] | None, int], object]
    read: Callable[[tuple[str, str]], int]  # returns the position up to which was read


def umadb_missing() -> str | None:
    """Why UmaDB cannot be measured, or None."""
    if find_spec("umadb") is None or _server() is None:
        return "the package umadb is not installed: pip install '.[bench]'"
    return None


def _server() -> str | None:
    return shutil.which("umadb", path=f"{Path(sys.executable).parent}:{environ['PATH']}")


def _of_recorder(recorder: DCBRecorder) -> School:
    def query(tags: tuple[str, str]) -> DCBQuery:
        return DCBQuery([DCBQueryItem(types=["Enrolled"], tags=[tag]) for tag in tags])

    def append(
        events: list[tuple[bytes, list[str]]], tags: tuple[str, str] | None, after: int
    ) -> None:
        condition = None if tags is None else DCBAppendCondition(query(tags), after or None)
        recorder.append([DCBEvent("Enrolled", data, list(its)) for data, its in events], condition)

    def read(tags: tuple[str, str]) -> int:
        found = recorder.read(query(tags))
        for _ in found:
            pass
        return found.head or 0

    return School(append, read)


@contextmanager
def _umadb(path: Path) -> Iterator[School]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [str(_server()), "--listen", address, "--db-path", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield _of_umadb(f"http://{address}")
    finally:
        process.terminate()
        process.wait()


def _of_umadb(url: str) -> School:
    umadb: Any = import_module("umadb")
    client = _connected(umadb, url)

    def query(tags: tuple[str, str]) -> Any:
        return umadb.Query([umadb.QueryItem(types=["Enrolled"], tags=[tag]) for tag in tags])

    def append(
        events: list[tuple[bytes, list[str]]], tags: tuple[str, str] | None, after: int
    ) -> None:
        condition = None if tags is None else umadb.AppendCondition(query(tags), after or None)
        client.append([umadb.Event("Enrolled", data, list(its)) for data, its in events], condition)

    def read(tags: tuple[str, str]) -> int:
        found = client.read(query(tags))
        for _ in found:
            pass
        return found.head() or 0

    return School(append, read)


def _connected(umadb: Any, url: str) -> Any:
    for _ in range(100):
        try:
            client = umadb.Client(url)
            client.head()
        except Exception:  # noqa: BLE001 - the server is not there yet, whatever the client says
            sleep(0.05)
        else:
            return client
    raise RuntimeError("the UmaDB server does not answer")


def decisions(directory: Path, sync: Sync, load: Load) -> Blocks:
    """Let all stores decide in turn."""
    zipf, events = Zipf(load.courses, ZIPF_EXPONENT, SEED), Events(SEED)
    students = iter(range(10**9))

    def enrolment() -> tuple[bytes, tuple[str, str]]:
        # A student takes three courses.
        student = f"student:{next(students) // 3}"
        return events.new_aggregate(1)[0].state, (f"course:{zipf.choose()}", student)

    def part(school: School, work: list[tuple[bytes, tuple[str, str]]]) -> Samples:
        samples: Samples = {READ: [], APPEND: []}
        for data, tags in work:
            begun = perf_counter()
            head = school.read(tags)
            read = perf_counter()
            school.append([(data, list(tags))], tags, head)
            samples[APPEND].append(perf_counter() - read)
            samples[READ].append(read - begun)
        return samples

    def bound(school: School) -> Callable[[Any], Samples]:
        return lambda work: part(school, work)

    with ExitStack() as stack:
        recorders = stack.enter_context(dcb_recorders(directory, sync))
        schools = {name: _of_recorder(recorder) for name, recorder in recorders.items()}
        # It always syncs, so it has no peers where nobody does.
        if sync == "durable" and umadb_missing() is None:
            schools[UMADB] = stack.enter_context(_umadb(directory / "uma.db"))
        begun = [enrolment() for _ in range(load.history_events // 5)]
        for school in schools.values():
            for at in range(0, len(begun), 100):
                school.append([(data, list(tags)) for data, tags in begun[at : at + 100]], None, 0)
        parts = {name: bound(school) for name, school in schools.items()}
        return run_in_turn(
            parts, lambda: [enrolment() for _ in range(load.decisions)], blocks=load.blocks
        )
