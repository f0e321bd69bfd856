"""Every single system call of a group's append fails once, or is interrupted just before or after.

Three threads wait behind a leader; from there on the calls are counted, over the end of the
leader's commit, perhaps a roll, and the group's own commit, and the k-th one goes wrong, for every
k there is. Whoever got a position has its records there; whoever was refused has not, ever; and of
the others each commit is there once or not at all, never in part.
"""

import errno
import itertools
from collections.abc import Callable, Iterator
from fcntl import LOCK_UN
from pathlib import Path
from typing import Any

import pytest

from aurora_es import (
    AuroraError,
    CommitOutcomeUnknownError,
    ConflictError,
    Journal,
    PoisonedHandleError,
    RollCycle,
)
from aurora_es.journal.logs import logger
from tests.journal.support import (
    Call,
    Crowd,
    ScriptedFiles,
    effects_with,
    error_of,
    event,
    message,
    open_with,
    states,
)

WAITING = 3
CALLS_MAX = 200


def interrupt_before(call: Call) -> Any:
    """Be interrupted before the call."""
    raise KeyboardInterrupt


def interrupt_after(call: Call) -> Any:
    """Be interrupted when the call has taken effect."""
    call()
    raise KeyboardInterrupt


def fail_with(number: int) -> Callable[[Call], Any]:
    """Make a fault: an error of the operating system, with nothing done."""

    def fail(call: Call) -> Any:
        raise error_of(number)

    return fail


FAULTS: dict[str, Callable[[Call], Any]] = {
    "interrupted before": interrupt_before,
    "interrupted after": interrupt_after,
    "EIO": fail_with(errno.EIO),
    "ENOSPC": fail_with(errno.ENOSPC),
}
ERRORS = [FAULTS["EIO"], FAULTS["ENOSPC"]]


class OneFault:
    """Lets the k-th call from ``arm`` on go wrong."""

    def __init__(self, files: ScriptedFiles, at: int, fault: Callable[[Call], Any]) -> None:
        """Prepare."""
        self.struck = ""
        self._files = files
        self._counter = itertools.count()
        self._at = at
        self._fault = fault

    def arm(self) -> None:
        """Begin to count."""
        self._files.reactions["*"] = self._react

    def _react(self, call: Call, *arguments: Any) -> Any:
        if self._fault in ERRORS and arguments[1:] == (LOCK_UN,):
            return call()  # unlocking what is locked has no way to fail
        if next(self._counter) == self._at:
            self.struck = self._files.calls[-1][0]
            return self._fault(call)
        return call()


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed syncs are logged, hundreds of times here."""
    monkeypatch.setattr(logger, "disabled", True)


def present(found: list[bytes], number: int) -> bool:
    """Say whether a commit is there: whole, in one piece and once, or not at all."""
    parts = [state for state in found if state.startswith(b"%d." % number)]
    if not parts:
        return False
    assert parts == [b"%d.a" % number, b"%d.b" % number]
    assert found.index(parts[1]) == found.index(parts[0]) + 1
    return True


def check_verdicts(found: list[bytes], given: list[Any]) -> None:
    """Compare what the callers were told with what there is."""
    for number, verdict in enumerate(given):
        is_there = present(found, number)
        if isinstance(verdict, range):
            assert is_there
            assert found[verdict[0] - 1] == b"%d.a" % number
        elif isinstance(verdict, AuroraError) and not isinstance(
            verdict, CommitOutcomeUnknownError
        ):
            assert not is_there, verdict
        else:
            assert isinstance(verdict, KeyboardInterrupt | CommitOutcomeUnknownError), repr(verdict)
        assert not isinstance(verdict, ConflictError)


def run_once(path: Path, fault: OneFault, files: ScriptedFiles, roll_cycle: RollCycle) -> None:
    """Let one group meet one fault, and look at the journal with old and new handles."""
    crowd = Crowd(files, fault.arm)
    journal = open_with(path, crowd.effects(reserve_bytes=512), roll_cycle=roll_cycle)
    commits = [
        [event(str(number), 1, b"%d.a" % number), message(b"%d.b" % number)]
        for number in range(WAITING + 1)
    ]
    given = crowd.append(journal, commits)
    files.obey()
    try:
        journal.append([message(b"after")])
    except AuroraError as error:
        assert isinstance(error, PoisonedHandleError), repr(error)  # noqa: PT017
    with open_with(path, effects_with()) as second:
        second.append([message(b"second")])
        found = states(second)
        check_verdicts(found, given)
    close_quietly(journal)
    with open_with(path, effects_with()) as third:
        assert states(third) == found


def close_quietly(journal: Journal) -> None:
    """Close; a poisoned handle closes as well."""
    journal.close()
    assert journal.handle.closed


def faults(
    files: Callable[[], ScriptedFiles], kind: str
) -> Iterator[tuple[OneFault, ScriptedFiles]]:
    """Yield faults at one call after the other until one is beyond the last call."""
    for at in range(CALLS_MAX):
        scripted = files()
        fault = OneFault(scripted, at, FAULTS[kind])
        yield fault, scripted
        if not fault.struck:
            assert at > WAITING, "the scenario makes no calls"
            return
    pytest.fail("more calls than expected")


@pytest.mark.parametrize("roll_cycle", [RollCycle.DAY, RollCycle.events(2)], ids=str)
@pytest.mark.parametrize("kind", FAULTS)
def test_every_call_goes_wrong_once(tmp_path: Path, kind: str, roll_cycle: RollCycle) -> None:
    """Whichever call goes wrong, every caller is told the truth, and nobody hangs."""
    for number, (fault, files) in enumerate(faults(ScriptedFiles, kind)):
        try:
            run_once(tmp_path / str(number), fault, files, roll_cycle)
        except Exception as error:
            error.add_note(f"{kind} at call {number}, {fault.struck}")
            raise
