"""Interrupts wherever one can come while a group is led: others go on, and no verdict is a lie.

As in ``test_interrupted_locks``, a tracer raises at the first place, then at the second, and so on.
The thread that is interrupted leads; two more wait, and are in its group.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from aurora_es import Journal, RollCycle
from aurora_es.errors import CommitOutcomeUnknownError
from aurora_es.journal import group
from tests.journal.support import Call, ScriptedFiles, effects_with, message, open_with, states
from tests.journal.test_interrupted_locks import InterruptError, Tracer
from tests.patience import PATIENCE_SECONDS

WAITERS = (b"second", b"third")
# What a handler raises in a finalizer goes nowhere, and Python says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Waiters:
    """Threads that append once the leader has asked for the lock: it takes their commits, too."""

    def __init__(self, journal: Journal, tracer: Tracer | None = None) -> None:
        """Prepare; ``tracer`` interrupts the first of them."""
        self.told: dict[bytes, Any] = {}
        self._journal = journal
        self._tracer = tracer
        self._threads: list[Thread] = []

    def come(self, call: Call, *arguments: Any) -> Any:
        """Start them, and wait until both are in the queue, or gone."""
        if not self._threads:
            queue = self._journal._group._queue
            self._threads = [Thread(target=self._append, args=(state,)) for state in WAITERS]
            for thread in self._threads:
                known = queue.copy()  # some may leave it
                thread.start()
                while thread.is_alive() and all(one in known for one in queue.copy()):
                    pass
        return call()

    def _append(self, state: bytes) -> None:
        if self._tracer is not None and state == WAITERS[0]:
            self._tracer.begin()
            self._tracer.run(lambda: append_and_tell(self._journal, state, self.told))
        else:
            append_and_tell(self._journal, state, self.told)

    def leave(self) -> None:
        """Wait until both have their verdict."""
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


def append_and_tell(journal: Journal, state: bytes, told: dict[bytes, Any]) -> None:
    """Append one message, and note the verdict."""
    try:
        told[state] = journal.append([message(state)])
    except InterruptError:
        raise
    except BaseException as error:  # noqa: BLE001 - judged by the test
        told[state] = error


def check(journal: Journal, told: dict[bytes, Any], at: int) -> None:
    """Whoever is still there when his commit is in the journal hears so, and nobody else does."""
    found = states(journal)
    assert len(found) == len({*found}), (at, found)
    for state, verdict in told.items():
        if isinstance(verdict, range):
            assert found[verdict[0] - 1] == state, (at, verdict, found)
        else:
            assert isinstance(verdict, CommitOutcomeUnknownError), (at, verdict)
            assert state not in found, (at, verdict)


@pytest.fixture(autouse=True)
def _quick_to_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "_RECHECK_SECONDS", 0.001)


def interrupt_everywhere(
    path: Path,
    append: Callable[[Journal, ScriptedFiles, Tracer], object],
    *,
    traces_waiter: bool = False,
    roll_cycle: RollCycle | None = None,
) -> int:
    """Call ``append`` with each place to interrupt at in turn; returns how many there are.

    The first waiter is interrupted, or else whoever runs under the tracer.
    """
    count = at = 0
    while at <= count:
        at += 1
        files = ScriptedFiles()
        with open_with(path / str(at), effects_with(files), roll_cycle=roll_cycle) as journal:
            for number in range(3):
                journal.append([message(b"before %d" % number)])
            tracer = Tracer(at, group, as_signals=True)
            waiters = Waiters(journal, tracer if traces_waiter else None)
            files.reactions["flock"] = waiters.come
            append(journal, files, tracer)
            waiters.leave()
            files.obey()
            journal.append([message(b"behind")])
            count = max(count, tracer.count)
            check(journal, waiters.told, at)
            assert not waiters.told or WAITERS[1] in waiters.told
    return count


@pytest.mark.parametrize("rolled", [False, True])
def test_an_interrupt_of_a_leader_anywhere(
    tmp_path: Path,
    rolled: bool,  # noqa: FBT001 - a parameter
) -> None:
    """The others of its group get their verdicts, and whoever comes next is not kept waiting."""

    def append(journal: Journal, _: ScriptedFiles, tracer: Tracer) -> None:
        tracer.run(lambda: journal.append([message(b"first")]))

    cycle = RollCycle.events(2) if rolled else None
    assert interrupt_everywhere(tmp_path, append, roll_cycle=cycle) > 30


def test_an_interrupt_of_a_waiter_anywhere(tmp_path: Path) -> None:
    """Neither who leads nor whoever comes next waits for one that is gone; nothing is there twice."""

    def append(journal: Journal, *_: object) -> None:
        journal.append([message(b"first")])

    assert interrupt_everywhere(tmp_path, append, traces_waiter=True) > 10


@pytest.mark.parametrize("late", [False, True])
def test_an_interrupt_of_whoever_answers_an_interrupted_group(
    tmp_path: Path,
    late: bool,  # noqa: FBT001 - a parameter
) -> None:
    """The rest of that group gets true verdicts from the next one."""

    def append(journal: Journal, files: ScriptedFiles, _: Tracer) -> None:
        files.fail("fdatasync", KeyboardInterrupt(), late=late)
        with pytest.raises(KeyboardInterrupt):
            journal.append([message(b"first")])

    assert interrupt_everywhere(tmp_path, append, traces_waiter=True) > 30
