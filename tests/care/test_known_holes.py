"""A journal with holes is damaged again: lost is what was there before, for ``verify`` and ``repair``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_es.care import repair, verify
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.frame import KIND_RECORDS
from tests.care.repairing import cut, flipped, removed, segment_file
from tests.care.stores import COOLED, SEALED, frames, segment, write_store
from tests.journal.support import effects_with, open_with

FILES = SYSTEM_EFFECTS.files
# The store, the segment, the number of its damaged frame, and the hole that it leaves.
HOLES = {
    "first commit": (SEALED, 3, 1, {9}),
    "last commit": (SEALED, 3, 3, {10, 11, 12, 13}),
    "middle commit": (SEALED, 1, 2, {3}),
    "all of a cooled segment": (COOLED, 3, 1, {9, 10, 11, 12, 13}),
}
Store = tuple[Path, int, set[int]]


@pytest.fixture(scope="module", params=HOLES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A repaired journal, the segment that has a hole, and the hole."""
    kind, number, frame, hole = HOLES[request.param]
    path = write_store(tmp_path_factory.mktemp("holes") / "journal", kind)
    name = path / segment(number, cooled=kind == COOLED)
    assert kind == COOLED or frames(name)[frame][1].kind == KIND_RECORDS
    flipped(FILES, str(name), frames(name)[frame][0] + 80)
    done = repair(path, effects=effects_with())
    assert positions(done.lost) == hole
    return path, number, hole


def positions(ranges: tuple[tuple[int, int], ...]) -> set[int]:
    """Every position of some ranges."""
    return {position for first, last in ranges for position in range(first, last + 1)}


def readable(path: Path) -> set[int]:
    """Positions of what is there."""
    with open_with(str(path), effects_with(), read_only=True) as journal:
        return {stored.position for stored in journal.read()}


def further_damages(name: str) -> Iterator[tuple[str, int | None]]:
    """Each frame of the segment damaged, in header or payload; cut behind a frame; missing."""
    for offset, header in frames(Path(name)):
        yield "flip", offset + 20
        yield "flip", offset + 72 + header.stored_length - 1
        yield "cut", offset
    yield "missing", None


def inflict(name: str, damage: tuple[str, int | None]) -> None:
    """Damage a file."""
    what, at = damage
    if at is None:
        removed(FILES, name)
    else:
        (flipped if what == "flip" else cut)(FILES, name, at)


@pytest.mark.parametrize("has_manifest", [True, False])
def test_known_holes_are_not_lost_again(store: Store, has_manifest: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """What was readable before and is not afterwards: that is what all of them call lost."""
    original, number, hole = store
    before = readable(original)
    for count, damage in enumerate(
        further_damages(segment_file(FILES, str(original), number)), start=1
    ):
        if (damage[0], number, has_manifest) == ("missing", 1, False):
            continue  # taken for dropped by ``retain``
        effects, path = effects_with(), tmp_path / f"journal-{count}"
        shutil.copytree(original, path)
        inflict(segment_file(FILES, str(path), number), damage)
        if not has_manifest:
            (path / "manifest").unlink()
        found = verify(path)
        planned = repair(path, dry_run=True, effects=effects)
        done = repair(path, effects=effects)
        assert found.lost == planned.lost == done.lost, damage
        gone = before - readable(path)
        # Without the manifest a hole is known as long as the frame that tells of it is there.
        unknown = set() if has_manifest else hole
        assert gone <= positions(done.lost) <= gone | unknown, damage
        assert verify(path).is_whole
        assert not repair(path, dry_run=True, effects=effects).repairs


def test_holes_outlive_the_manifest(store: Store, tmp_path: Path) -> None:
    """Where nothing but the manifest is gone, nothing is lost, and the holes are as they were."""
    original, _, hole = store
    path = tmp_path / "journal"
    shutil.copytree(original, path)
    (path / "manifest").unlink()
    found = verify(path)
    assert [one.kind for one in found.findings] == ["manifest-missing"]
    done = repair(path, effects=effects_with())
    assert found.lost == done.lost == ()
    with open_with(str(path), effects_with(), read_only=True) as journal:
        assert journal.statistics().lost_positions == len(hole)
