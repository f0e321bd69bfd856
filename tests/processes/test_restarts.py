"""Many processes that open one journal at the same moment, whatever the last one left behind."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from aurora_es import Journal, Record
from aurora_es.format.names import MARK
from tests.journal.support import mark_bytes, patch, segment_paths, states
from tests.processes.workers import Worker

OPENERS = 4
BLOCKED_MS_MAX = 90_000  # behind a lock that stays it is twice as much


def open_together(path: Path) -> list[list[int]]:
    """Let processes open and append at one signal; returns what each tells."""
    with ExitStack() as stack:
        openers = [
            stack.enter_context(Worker("opener", path, f"opener {number}"))
            for number in range(OPENERS)
        ]
        for opener in openers:
            assert opener.receive() == "ready"
        for opener in openers:
            opener.send("go")
        return [[int(word) for word in opener.receive().split()] for opener in openers]


@pytest.mark.parametrize(
    "left_behind", ["nothing", "a torn write", "an unpublished commit", "both"]
)
def test_a_restart_under_concurrent_openers(tmp_path: Path, left_behind: str) -> None:
    """One of them recovers, all append, and nothing is lost, doubled or recovered twice."""
    path = tmp_path / "journal"
    expected = [b"first"]
    with Journal.open(path) as journal:
        journal.append([Record(topic="t", state=b"first")])
        old_mark = mark_bytes(path)
        if left_behind in {"an unpublished commit", "both"}:
            journal.append([Record(topic="t", state=b"second")])
            expected.append(b"second")
        end = journal.statistics().tail_bytes
    patch(path / MARK, 0, old_mark)
    if left_behind in {"a torn write", "both"}:
        patch(segment_paths(path)[0], end, b"torn write")
    told = open_together(path)
    positions = sorted(position for position, *_ in told)
    assert positions == list(range(len(expected) + 1, len(expected) + 1 + OPENERS))
    _, recoveries, adopted, cut, took_ms = zip(*told, strict=True)
    assert sum(recoveries) == (0 if left_behind == "nothing" else 1)
    assert sum(adopted) == len(expected) - 1
    assert sum(cut) == (len(b"torn write") if left_behind in {"a torn write", "both"} else 0)
    assert max(took_ms) < BLOCKED_MS_MAX
    with Journal.open(path) as journal:
        found = states(journal)
        assert found[: len(expected)] == expected
        assert sorted(found[len(expected) :]) == [b"opener %d" % n for n in range(OPENERS)]
    assert os.path.exists(path / "recovered") == (sum(cut) > 0)


def test_processes_that_create_together_make_one_journal(tmp_path: Path) -> None:
    """Of many creators one makes the journal; all find it."""
    told = open_together(tmp_path / "journal")
    assert sorted(position for position, *_ in told) == list(range(1, OPENERS + 1))
    with Journal.open(tmp_path / "journal") as journal:
        assert sorted(states(journal)) == [b"opener %d" % n for n in range(OPENERS)]
        assert journal.statistics().recoveries == 0
