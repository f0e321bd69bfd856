"""Tailers: they yield what is appended, in order and without gap, and end when told."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from aurora_es import Journal, RollCycle, Tailer
from tests.journal.support import (
    event,
    message,
    open_with,
    run_threads,
)
from tests.patience import PATIENCE_SECONDS


def take(tailer: Tailer, count: int) -> list[tuple[int, bytes]]:
    """Take some records."""
    taken = [next(tailer) for _ in range(count)]
    return [(stored.position, stored.record.state) for stored in taken]


def test_a_tailer_yields_what_is_there_and_what_comes(tmp_path: Path) -> None:
    """Records from before and after the call come in order, over rolls and from other handles."""
    path = tmp_path / "journal"
    with open_with(path, roll_cycle=RollCycle.events(2)) as journal, open_with(path) as other:
        journal.append([message(b"0"), message(b"1")])
        with journal.tail() as tailer, other.tail(after=1) as second:
            assert take(tailer, 2) == [(1, b"0"), (2, b"1")]
            assert take(second, 1) == [(2, b"1")]
            for number in range(2, 10):
                (journal if number % 2 else other).append([message(b"%d" % number)])
                assert take(tailer, 1) == take(second, 1) == [(number + 1, b"%d" % number)]


@pytest.mark.parametrize("read_only", [True, False])
def test_a_tailer_waits(tmp_path: Path, *, read_only: bool) -> None:
    """At the end it waits, across commits without records, until there is a record."""
    path = tmp_path / "journal"
    with open_with(path) as writer, open_with(path, read_only=read_only) as reader:
        writer.append([message(b"0")])
        tailer = reader.tail(after=1)
        waiting = threading.Event()

        def follow() -> list[tuple[int, bytes]]:
            waiting.set()
            return take(tailer, 3)

        def write() -> None:
            assert waiting.wait(PATIENCE_SECONDS)
            writer.append([], tracking=("up", 1))
            for number in range(1, 4):
                writer.append([message(b"%d" % number)])

        followed, _ = run_threads([follow, write])
        assert followed == [(2, b"1"), (3, b"2"), (4, b"3")]
        tailer.stop()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_tailer_of_an_absent_journal_waits_for_it(tmp_path: Path, *, read_only: bool) -> None:
    """Following begins before the journal exists, and makes nothing itself."""
    path = tmp_path / "journal"
    with open_with(path, read_only=read_only) as reader:
        tailer = reader.tail()
        looked = threading.Event()

        def follow() -> list[tuple[int, bytes]]:
            assert tailer._follower.look() == 0
            looked.set()
            return take(tailer, 2)

        def write() -> None:
            assert looked.wait(PATIENCE_SECONDS)
            assert not path.exists()
            with open_with(path) as writer:
                writer.append([message(b"a")])
                writer.append([message(b"b")])

        followed, _ = run_threads([follow, write])
        assert followed == [(1, b"a"), (2, b"b")]


def test_a_position_beyond_the_head_waits(tmp_path: Path) -> None:
    """Following from a position that does not exist yet yields the one behind it."""
    with open_with(tmp_path / "journal") as journal:
        journal.append([message()] * 3)
        with journal.tail(after=5) as tailer:

            def write() -> None:
                for number in range(4, 9):
                    journal.append([message(b"%d" % number)])

            followed, _ = run_threads([partial(take, tailer, 2), write])
            assert followed == [(6, b"6"), (7, b"7")]


ENDINGS: dict[str, Callable[[Journal, Tailer], list[Callable[[], None]]]] = {
    "stopping": lambda journal, tailer: [tailer.stop],
    "stopping twice": lambda journal, tailer: [tailer.stop, tailer.stop],
    "closing the journal": lambda journal, tailer: [journal.close],
}


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_wakes_a_waiting_tailer(tmp_path: Path, ending: str, *, exists: bool) -> None:
    """Whoever ends it, from another thread: the iteration ends, without an error."""
    with open_with(tmp_path / "journal") as journal:
        if exists:
            journal.append([message()])
        tailer = journal.tail()
        waiting = threading.Event()

        def follow() -> int:
            waiting.set()
            return len(list(tailer))

        def end() -> None:
            assert waiting.wait(PATIENCE_SECONDS)
            for action in ENDINGS[ending](journal, tailer):
                action()

        followed, _ = run_threads([follow, end])
        assert followed in ({0, 1} if exists else {0})
        assert list(tailer) == []


def test_stopping_drops_what_was_read_ahead(tmp_path: Path) -> None:
    """After stop nothing more comes, though a page had been read."""
    with open_with(tmp_path / "journal") as journal:
        journal.append([message()] * 10)
        tailer = journal.tail()
        assert take(tailer, 2)
        tailer.stop()
        assert list(tailer) == []


def test_closing_again_and_again_under_tailers(tmp_path: Path) -> None:
    """A tailer that is looking, not waiting, when its journal is closed ends as quietly."""
    path = tmp_path / "journal"
    with open_with(path) as writer:
        writer.append([message()])
        for _ in range(30):
            journal = open_with(path)
            tailer = journal.tail()
            stopped = [False]

            def write(stopped: list[bool] = stopped) -> None:
                while not stopped[0]:
                    writer.append([message()])

            def follow(tailer: Tailer = tailer, stopped: list[bool] = stopped) -> list[int]:
                try:
                    return [stored.position for stored in tailer]
                finally:
                    stopped[0] = True

            followed, _, closed = run_threads([follow, write, journal.close])
            assert followed == list(range(1, len(followed) + 1))
            assert closed is None


def test_many_tailers_see_the_same(tmp_path: Path) -> None:
    """Tailers of several handles see all records of several writers in one and the same order."""
    path = tmp_path / "journal"
    handles = [open_with(path, roll_cycle=RollCycle.events(20)) for _ in range(3)]
    count = 3 * 40

    def write(number: int) -> None:
        for version in range(40):
            handles[number].append([event(str(number), version, b"%d.%d" % (number, version))])

    tailers = [handle.tail() for handle in handles for _ in range(2)]
    jobs = [partial(take, tailer, count) for tailer in tailers]
    results = run_threads([*jobs, *(partial(write, number) for number in range(3))])
    followed = results[: len(jobs)]
    assert [position for position, _ in followed[0]] == list(range(1, count + 1))
    assert all(one == followed[0] for one in followed)
    for handle in handles:
        handle.close()
