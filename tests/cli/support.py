"""Runs the command as its user does, and makes journals to look at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO
from uuid import UUID

import pytest

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.cli.commands import app
from tests.cli.prepared import Prepared, can_run
from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "aurora_es.cli")
OWNER = UUID("6f1c2f6e-89ab-4cde-8f01-23456789abcd")

# Appends one record per line of its input, and answers with the position.
WRITER = """
import sys
from aurora_es import Journal, Record
with Journal.open(sys.argv[1]) as journal:
    for line in sys.stdin:
        topic, _, state = line.rstrip("\\n").partition(" ")
        (position,) = journal.append([Record(topic=topic, state=state.encode())])
        print(position, flush=True)
"""


def environment(**more: str) -> dict[str, str]:
    """The environment of a user without settings of ours or wishes about colours."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"}
    }
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"} | more


def run(
    *arguments: object,
    prefix: Sequence[str] = (),
    directory: str | Path | None = None,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run ``aurora-es`` to its end, not at a terminal; ``prefix`` is a command that starts it.

    In a process of its own that was forked from a prepared one, if nothing asks for a new Python.
    """
    if prefix or not can_run(more):
        return run_anew(*arguments, prefix=prefix, directory=directory, **more)
    words = [str(argument) for argument in arguments]
    return _prepared().run(words, environment(**more), directory=directory)


def run_into(path: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The same with standard output into the file ``path``."""
    return _prepared().run([str(argument) for argument in arguments], environment(), stdout=path)


@cache
def _prepared() -> Prepared:
    return Prepared()


def run_anew(
    *arguments: object,
    prefix: Sequence[str] = (),
    directory: str | Path | None = None,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """The same as its user does, with the start of Python, behind pipes."""
    return subprocess.run(
        [*prefix, *COMMAND, *map(str, arguments)],
        cwd=directory,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def call(*arguments: object) -> None:
    """Run ``aurora-es`` in this process, for tests of many options; it must succeed."""
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments], prog_name="aurora-es")
    assert ended.value.code == 0


def refused(code: int, *arguments: object) -> str:
    """Run ``aurora-es``, which must fail with ``code`` and one paragraph; returns that."""
    done = run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("aurora-es: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@contextmanager
def started(*arguments: object, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``aurora-es``; what still runs at the end is killed."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Writer:
    """Another process that has a journal open for appending."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Talk to ``process``, which runs WRITER."""
        self._process = process

    def append(self, topic: str, state: str) -> int:
        """Append one record; returns its position once it is committed."""
        print(topic, state, file=opened(self._process.stdin), flush=True)
        return int(opened(self._process.stdout).readline())


@contextmanager
def writer(path: Path) -> Iterator[Writer]:
    """Start a writer on the journal ``path``."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            yield Writer(process)
        finally:
            process.kill()


def opened(stream: IO[str] | None) -> IO[str]:
    """A pipe that was asked for."""
    assert stream is not None
    return stream


def make_journal(path: Path) -> Path:
    """Make a journal of four commits with seven records of all kinds in three segments."""
    opening = [
        Record(
            topic="bank:Account.Opened",
            state=b'{"owner":"Zo\xc3\xab","limit":1.00}',
            originator_id=OWNER,
            originator_version=1,
            tags=("new",),
            metadata={"by": "import"},
        ),
        Record(
            topic="bank:Account.Deposited",
            state=b"\x80\x01pickled",
            originator_id=OWNER,
            originator_version=2,
        ),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal.open(path, roll_cycle=RollCycle.events(3), sync=Sync.NEVER) as journal:
        journal.append(opening)
        journal.append([_text_record("ship:Cargo.Booked", "cargo-7", 1)], tracking=("Bank", 42))
        journal.append([_text_record("ship:Cargo.Loaded", "cargo-7", at) for at in (2, 3, 4)])
        journal.append([Record(topic="note", state=b"a\tword\nand another")])
    return path


def _text_record(topic: str, originator_id: str, version: int) -> Record:
    return Record(
        topic=topic,
        state=f'{{\n  "leg": {version}\n}}'.encode(),
        originator_id=originator_id,
        originator_version=version,
    )


def damage(path: Path, written: bytes) -> Path:
    """Change one byte of ``written`` where it lies in a segment; returns the segment's path."""
    for segment in sorted(path.glob("*.segment")):
        data = bytearray(segment.read_bytes())
        at = data.find(written)
        if at >= 0:
            data[at] ^= 1
            segment.write_bytes(data)
            return segment
    raise LookupError(written)
