"""``version_at``: an aggregate as it was at a time of recording."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import ProgrammingError
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import AuroraApplicationRecorder
from aurora_es.journal.background import cool, merge, seal
from aurora_es.journal.generation import renew_manifest
from tests.face.support import SCRATCH, UUID_1, UUID_2, OpenFactory, events, factory_on

IDS: list[UUID | str] = [UUID_1, str(UUID_2).upper(), "a"]

BESIDE = [timedelta(microseconds=beside) for beside in (-1, 0, 1)]
WORKS: dict[str, Callable[[str], object]] = {"seal": seal, "cool": cool, "merge": merge}

commits = st.tuples(st.sampled_from(IDS), st.integers(1, 5))
works = st.sampled_from([*WORKS])


@given(
    history=st.lists(commits, min_size=1, max_size=25),
    work_at=st.dictionaries(st.integers(0, 24), works, max_size=5),
)
def test_the_version_at_any_time(
    history: list[tuple[UUID | str, int]], work_at: dict[int, str]
) -> None:
    """Of every aggregate, before, at and behind every commit, however it is stored by then."""
    recorded: list[tuple[datetime, UUID | str, int]] = []
    last = dict.fromkeys(IDS, 0)
    with (
        TemporaryDirectory(dir=SCRATCH) as directory,
        factory_on(directory, AURORA_ROLL_CYCLE="6events", AURORA_SYNC="never") as factory,
    ):
        recorder = factory.application_recorder()
        for number, (originator_id, count) in enumerate(history):
            recorder.insert_events(events(count, originator_id, first=last[originator_id] + 1))
            last[originator_id] += count
            time = recorder.journal.statistics().last_timestamp
            assert time is not None
            recorded.append((time, originator_id, last[originator_id]))
            if work := work_at.get(number):
                WORKS[work](recorder.journal.handle.path)
                renew_manifest(recorder.journal.handle)
        for time in {at + beside for at, _, _ in recorded for beside in BESIDE}:
            for originator_id in IDS:
                expected = [v for at, one, v in recorded if one == originator_id and at <= time]
                assert recorder.version_at(originator_id, time) == max(expected, default=None)


class Note(Aggregate):
    """A text that changes."""

    @event("Written")
    def __init__(self, text: str) -> None:
        """Write the first text."""
        self.text = text

    @event("Changed")
    def change(self, text: str) -> None:
        """Write another text."""
        self.text = text


class Notes(Application[UUID]):
    """An application with snapshots."""

    is_snapshotting_enabled = True


def test_an_aggregate_as_of_a_time(tmp_path: Path) -> None:
    """The repository gives what a reader would have found then, snapshots or not."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path)}
    with Notes(env=env) as notes:
        recorder = notes.recorder
        assert isinstance(recorder, AuroraApplicationRecorder)
        note = Note("first")
        times = []
        for number in range(6):
            notes.save(note)
            times.append(recorder.journal.statistics().last_timestamp)
            note.change(f"text {number}")
            if number == 3:
                notes.take_snapshot(note.id)
        for at, time in enumerate(times):
            assert time is not None
            version = recorder.version_at(note.id, time)
            assert version == at + 1
            found: Note = notes.repository.get(note.id, version=version)
            assert found.text == ("first" if at == 0 else f"text {at - 1}")
        assert times[0] is not None
        assert recorder.version_at(note.id, times[0] - timedelta(microseconds=1)) is None


def test_what_is_no_time_and_what_is_no_aggregate(open_factory: OpenFactory) -> None:
    """A naive time is an error of the library's kind, too; an unknown id has no version."""
    recorder = open_factory().aggregate_recorder()
    assert recorder.version_at(UUID_1, datetime.now(UTC)) is None
    recorder.insert_events(events(3))
    assert recorder.version_at(UUID_1, datetime.now(UTC)) == 3
    assert recorder.version_at(UUID_2, datetime.now(UTC)) is None
    with pytest.raises(ProgrammingError, match="expected a datetime with a time zone"):
        recorder.version_at(UUID_1, datetime(2026, 1, 1))  # noqa: DTZ001
