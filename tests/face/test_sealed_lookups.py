"""Last events, replays and conflicts are those of a list, wherever the segments have come to."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from aurora_es.factory import AuroraFactory
from aurora_es.journal import background
from tests.face.support import OpenFactory, event

_IDS = [UUID(int=number) for number in range(1, 5)]
_ABSENT = UUID(int=99)


def _opened(open_factory: OpenFactory) -> AuroraFactory:
    return open_factory(AURORA_ROLL_CYCLE="4events", AURORA_SYNC="never")


def _next_events(
    choose: random.Random, history: list[StoredEvent], *, in_order: bool
) -> list[StoredEvent]:
    """One commit: new versions of some of the originators."""
    made = []
    for originator_id in choose.sample(_IDS, choose.choice([1, 1, 2, 3])):
        taken = {one.originator_version for one in history if one.originator_id == originator_id}
        version = max(taken, default=0) + choose.choice([1, 1, 3])
        if not in_order and choose.random() < 0.4:
            version = choose.choice([free for free in range(-9, 90) if free not in taken])
        made.append(event(version, originator_id))
    return made


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_look_ups_are_those_of_a_list(
    open_factory: OpenFactory, seed: int, *, in_order: bool
) -> None:
    """Versions in order or not, tails, runs of one segment and merged ones: the same answers."""
    choose = random.Random(seed)
    recorder = _opened(open_factory).application_recorder()
    history: list[StoredEvent] = []
    for step in range(60):
        made = _next_events(choose, history, in_order=in_order)
        recorder.insert_events(made)
        history += made
        with pytest.raises(IntegrityError):
            recorder.insert_events([choose.choice(history)])
        with pytest.raises(IntegrityError):
            recorder.insert_events([event(10**6 + step, _IDS[0]), choose.choice(history)])
        if choose.random() < 0.2:
            background.seal(recorder.journal.handle.path)
            recorder = _opened(open_factory).application_recorder()
        for originator_id in _IDS:
            expected = sorted(
                (one for one in history if one.originator_id == originator_id),
                key=lambda one: one.originator_version,
            )
            found = recorder.select_events(originator_id, desc=True, limit=1)
            assert list(found) == expected[-1:]
            assert list(recorder.select_events(originator_id)) == expected
        assert not recorder.select_events(_ABSENT, desc=True, limit=1)


def test_ids_are_whole_uuids(open_factory: OpenFactory) -> None:
    """An id that is read is equal to the one written, also as a key, as text and when copied."""
    recorder = _opened(open_factory).application_recorder()
    written = UUID("0f5b7a66-9c1d-4a0e-8c1c-0d3f3f9be001")
    recorder.insert_events([event(1, written)])
    (found,) = recorder.select_notifications(1, 1)
    assert isinstance(found.originator_id, UUID)
    assert found.originator_id == written
    assert {found.originator_id: 1}[written] == 1
    assert str(found.originator_id) == str(written)
    assert found.originator_id.is_safe == written.is_safe
    assert found.originator_id.version == 4
