"""Who waits for the append lock: how long it leaves its owner alone, and what it reads meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fcntl import LOCK_UN
from pathlib import Path

import pytest

from aurora_es import Journal, Sync
from aurora_es.errors import LockTimeoutError
from tests.journal.support import Call, ScriptedFiles, effects_with, message, open_with, states

TURN_SECONDS = 4e-3
SLACK_SECONDS = 0.3e-3  # a pause or two, and until the mark has stood still for long enough


@dataclass
class Waiter:
    """A handle that finds the lock taken, and what happens while it sleeps."""

    journal: Journal
    files: ScriptedFiles
    happen: Callable[[], object] = lambda: None
    seconds: float = 0.0
    tries: list[float] = field(default_factory=list)

    def pass_by(self, seconds: float) -> None:
        """Let time go by."""
        self.seconds += seconds
        self.happen()

    def find_taken(self) -> None:
        """Let the next try for ``lock`` be in vain, and note when the others come."""
        descriptors = self.journal.handle.attached()
        self.journal.handle.contended = 1  # so that it queues

        def flock(call: Call, fd: int, operation: int) -> None:
            if fd == descriptors.lock_fd:
                self.tries.append(self.seconds)
                if len(self.tries) == 1:
                    raise BlockingIOError
            call()

        self.files.reactions["flock"] = flock


def waiter(path: Path, sync: Sync, lock_timeout: float = 1.0) -> Waiter:
    """Make the journal, and a handle whose time is made by its sleep."""
    files = ScriptedFiles()
    effects = effects_with(files)
    effects = replace(
        effects,
        monotonic=lambda: made.seconds,
        sleep=lambda seconds: made.pass_by(seconds),  # noqa: PLW0108 - it is made below
    )
    journal = open_with(path, effects, sync=sync, lock_timeout=lock_timeout)
    made = Waiter(journal, files)
    journal.append([message(b"first")])
    return made


@pytest.mark.parametrize("busy_seconds", [0.0, 1e-3, 3e-3, 1.0])
def test_an_owner_at_its_turn_is_left_alone(tmp_path: Path, busy_seconds: float) -> None:
    """While it appends one after the other nobody takes the lock in between; for a turn, at most."""
    made = waiter(tmp_path / "j", Sync.NEVER)
    with made.journal as ours, open_with(tmp_path / "j") as owner:

        def append_if_busy() -> None:
            if made.seconds < busy_seconds:
                owner.append([message(b"owner's")])

        made.happen = append_if_busy
        made.find_taken()
        begun = made.seconds
        ours.append([message(b"ours")])
        _, taken = made.tries[:2]
        turn = min(busy_seconds, TURN_SECONDS)
        assert turn - SLACK_SECONDS <= taken - begun <= turn + SLACK_SECONDS
        assert states(ours) == states(owner)


def test_a_disk_is_not_waited_for_twice(tmp_path: Path) -> None:
    """Where every commit is synced, passing the lock costs little beside it: it is taken at once."""
    made = waiter(tmp_path / "j", Sync.ALWAYS)
    with made.journal as ours, open_with(tmp_path / "j") as owner:
        made.happen = lambda: owner.append([message(b"owner's")])
        made.find_taken()
        ours.append([message(b"ours")])
        assert made.tries[1] - made.tries[0] <= 20e-6


def test_a_wait_that_ends_within_a_turn_has_a_last_try(tmp_path: Path) -> None:
    """A time-out shorter than a turn of another one leaves that a half, and has its tries in the other."""
    made = waiter(tmp_path / "j", Sync.NEVER, lock_timeout=1e-3)
    with made.journal as ours, open_with(tmp_path / "j") as owner:
        made.happen = lambda: owner.append([message(b"owner's")])
        made.find_taken()
        ours.append([message(b"ours")])
        assert 5e-4 <= made.tries[1] - made.tries[0] <= 5e-4 + 60e-6
        made.tries.clear()
        made.files.fail("flock", BlockingIOError(), times=1000, when=lambda _, how: how != LOCK_UN)
        with pytest.raises(LockTimeoutError):
            ours.append([message(b"ours")])
        made.files.obey()


@pytest.mark.parametrize(("state_bytes", "is_read"), [(10, False), (10_000, True)])
def test_what_is_read_while_waiting(tmp_path: Path, state_bytes: int, *, is_read: bool) -> None:
    """Much is read meanwhile; a few small commits are left for when the lock is there."""
    made = waiter(tmp_path / "j", Sync.NEVER)
    with made.journal as ours, open_with(tmp_path / "j") as owner:
        known = []

        def append_and_look() -> None:
            known.append((ours.handle.state.index.position, owner.last_position))
            if len(known) < 3:
                owner.append([message(bytes(state_bytes))])

        made.happen = append_and_look
        made.find_taken()
        ours.append([message(b"ours")])
        assert known[2] == ((3 if is_read else 1), 3)
        assert states(ours) == states(owner)
