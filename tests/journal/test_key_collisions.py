"""Index runs hold 64-bit keys, not ids: here all originators have the same, and nobody notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from aurora_es import ConflictError, RollCycle
from aurora_es.index import collect
from aurora_es.index.keys import originator_key
from aurora_es.journal import background, by_originator, sealed_index
from tests.face.support import factory_on
from tests.journal.support import effects_with, event, open_with

IDS: list[UUID | str] = ["a", "b", UUID(int=3)]
COUNT = 24


def one_key(genesis_id: bytes, kind: str) -> Callable[[bytes | str], int]:
    """A hasher for which all ids are the same."""
    number = ("originator", "topic", "tag", "event id").index(kind)
    return lambda _: number << 62 | 5


@pytest.fixture(autouse=True)
def _collide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "key_hasher", one_key)
    monkeypatch.setattr(sealed_index, "key_hasher", one_key)


def test_a_conflict_is_one_only_if_the_record_says_so(tmp_path: Path) -> None:
    """Versions that another id has are free; those that the id itself has are taken."""
    effects, path = effects_with(), tmp_path / "journal"
    with open_with(path, effects, roll_cycle=RollCycle.events(3)) as journal:
        for number in range(COUNT):
            journal.append([event(IDS[number % 2], number)])
            background.seal(str(path), effects=effects)
        index = journal.handle.state.index
        for number in range(COUNT):
            own, other = (originator_key(IDS[(number + at) % 2]) for at in (0, 1))
            assert own is not None
            assert other is not None
            assert (index.find(own, number), index.find(other, number)) == (number + 1, 0)
        journal.append([event("a", 1), event(IDS[2], 0)])
        for originator_id, version in (("a", 1), ("b", 1), ("a", 0), (IDS[2], 0)):
            with pytest.raises(ConflictError):
                journal.append([event(originator_id, version)])


def test_events_of_other_ids_are_left_out(tmp_path: Path) -> None:
    """A recorder returns what was asked for, also where a limit would have cut it off."""
    factory = factory_on(str(tmp_path), AURORA_ROLL_CYCLE="3events", ORIGINATOR_ID_TYPE="text")
    recorder = factory.aggregate_recorder()
    events = [StoredEvent(f"id {number % 2}", number, "t", b"") for number in range(COUNT)]
    for one in events:
        recorder.insert_events([one])
    path = str(tmp_path / "App" / "events")
    background.seal(path)
    recorder.close()
    factory = factory_on(str(tmp_path), ORIGINATOR_ID_TYPE="text")
    recorder = factory.aggregate_recorder()
    for originator_id in ("id 0", "id 1", "absent"):
        own = [one for one in events if one.originator_id == originator_id]
        for desc in (False, True):
            for gt in (None, 0, 7):
                for limit in (None, 1, 2, 5):
                    found = recorder.select_events(originator_id, gt=gt, desc=desc, limit=limit)
                    expected = [one for one in own if gt is None or one.originator_version > gt]
                    assert found == expected[:: -1 if desc else 1][:limit]
    with pytest.raises(IntegrityError):
        recorder.insert_events([events[0]])
    recorder.insert_events([StoredEvent("id 1", 0, "t", b"")])
    factory.close()


@pytest.mark.parametrize("desc", [False, True])
@pytest.mark.parametrize("limit", [None, 1, 5])
def test_pages_of_versions_leave_out_other_ids(
    tmp_path: Path,
    desc: bool,  # noqa: FBT001 - parametrized
    limit: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two ids with the same versions: each has all of its own, also where a page ends between."""
    monkeypatch.setattr(by_originator, "_PAGE_RECORDS", 3)
    monkeypatch.setattr(by_originator, "_PAGE_POSITIONS", 3)
    path = tmp_path / "journal"
    with open_with(path, effects_with(), roll_cycle=RollCycle.events(6)) as journal:
        for version in range(1, COUNT + 1):
            journal.append([event("a", version), event("b", version)])
        background.seal(str(path))
        journal.renew()
        for key, first in (("a", 1), ("b", 2)):
            pages = by_originator.read_versions(
                journal.handle, key, gt=None, lte=None, desc=desc, limit=limit, until=2 * COUNT
            )
            found = [position for page in pages for position, _, _ in page]
            wanted = list(range(first, 2 * COUNT + 1, 2))
            assert found == (wanted[::-1] if desc else wanted)[:limit]
            assert set(wanted) <= set(by_originator.positions_of(journal.handle, key, 2 * COUNT))
