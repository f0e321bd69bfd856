"""Sealing and cooling over files that lie, and two writers of the manifest."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from aurora_es import CorruptionError, RollCycle
from aurora_es.format.names import MANIFEST_LOCK
from aurora_es.journal import background
from aurora_es.journal.manifest_file import read_manifest, update_manifest
from tests.format.test_golden_journal import constant_bytes
from tests.journal.support import (
    Call,
    ScriptedFiles,
    effects_with,
    event,
    flip,
    garbling_copies,
    open_with,
    segment_paths,
    snapshot,
    states,
)
from tests.patience import PATIENCE_SECONDS

EFFECTS = effects_with()


def write(path: Path, state: bytes) -> Path:
    """Write a journal of three segments, the first two closed; all have one genesis id."""
    effects = effects_with(random_bytes=constant_bytes)
    with open_with(path, effects, roll_cycle=RollCycle.events(4)) as journal:
        for number in range(10):
            journal.append([event("a", number, state % number)])
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal."""
    return write(tmp_path / "journal", b"%d")


def test_a_copy_that_was_written_wrong_is_not_listed(path: Path) -> None:
    """What the disk holds is read back and compared before it takes the segment's place."""
    background.seal(str(path), effects=EFFECTS)
    files = garbling_copies()
    before = read_manifest(EFFECTS.files, str(path))
    with pytest.raises(CorruptionError):
        background.cool(str(path), older_than_hours=-1, effects=effects_with(files))
    assert files.garbled
    assert read_manifest(EFFECTS.files, str(path)) == before
    assert background.cool(str(path), older_than_hours=-1, effects=EFFECTS) == 2
    with open_with(path, EFFECTS) as journal:
        assert states(journal) == [b"%d" % number for number in range(10)]


def test_a_segment_that_has_rotted_is_not_cooled(path: Path) -> None:
    """Its copy would hide the rot: it stays as it is, and so does the manifest."""
    background.seal(str(path), effects=EFFECTS)
    flip(segment_paths(path)[0], 300)
    before = snapshot(path)
    with pytest.raises(CorruptionError):
        background.cool(str(path), older_than_hours=-1, effects=EFFECTS)
    after = snapshot(path)
    assert {name: state.content for name, state in after.items()} == {
        name: state.content for name, state in before.items()
    }


def test_a_segment_that_has_rotted_is_not_sealed(path: Path) -> None:
    """Nothing is listed and nothing lost."""
    flip(segment_paths(path)[0], 300)
    before = snapshot(path)
    with pytest.raises(CorruptionError):
        background.seal(str(path), effects=EFFECTS)
    after = snapshot(path)
    assert [after[name].content for name in before] == [one.content for one in before.values()]


def test_a_segment_of_another_content_is_not_cooled(path: Path, tmp_path: Path) -> None:
    """A whole, valid segment in the place of the one that was sealed is noticed by its digest."""
    background.seal(str(path), effects=EFFECTS)
    other = write(tmp_path / "other", b"another %d")
    shutil.copy(segment_paths(other)[0], segment_paths(path)[0])
    with pytest.raises(CorruptionError, match="logical digest"):
        background.cool(str(path), older_than_hours=-1, effects=EFFECTS)


def test_two_writers_of_the_manifest(path: Path) -> None:
    """What another process has written while one waits for the lock is not lost."""
    files = ScriptedFiles()
    waited: list[str] = []
    opened: dict[int, str] = {}

    def note(call: Call, name: str, *rest: object) -> object:
        fd = call()
        opened[fd] = name
        return fd

    def come_first(call: Call, fd: int, operation: int) -> object:
        if opened.get(fd, "").endswith(MANIFEST_LOCK) and not waited:
            waited.append("once")
            update_manifest(EFFECTS, str(path), lock_timeout=1, epoch=7)
        return call()

    files.reactions.update(open=note, flock=come_first)
    assert background.seal(str(path), effects=effects_with(files)) == 2
    manifest = read_manifest(EFFECTS.files, str(path))
    assert manifest is not None
    assert (manifest.epoch, len(manifest.segments)) == (7, 2)


def test_work_over_a_damaged_run_waits_for_nobody(path: Path) -> None:
    """A damaged run is built anew under the lock that is held already, not under another."""
    with open_with(path) as journal:
        for number in range(10, 14):
            journal.append([event("a", number)])
    assert background.seal(str(path), effects=EFFECTS) == 3  # two of them in one run
    for name in os.listdir(path):
        if name.endswith(".index"):
            flip(path / name, 140)
    slept: list[float] = []
    effects = replace(
        EFFECTS, monotonic=lambda: sum(slept), sleep=lambda _: slept.append(PATIENCE_SECONDS**2)
    )
    assert background.merge(str(path), everything=True, effects=effects) == 1
    assert slept == []
