"""Commits that held a tracking record only: how many are lost, as verify and repair count them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_es import RollCycle
from aurora_es.care import repair, verify
from aurora_es.codecs.compression import CODEC_LZ4
from aurora_es.files.layer import Effects
from aurora_es.format.frame import HEADER_BYTES, KIND_PACKED, KIND_RECORDS
from aurora_es.journal.background import seal
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.cool import cool_segment
from aurora_es.journal.manifest_file import read_manifest
from tests.care.repairing import cut, flipped, segment_file
from tests.care.stores import frames, store_effects
from tests.journal.support import SECOND, ManualClock, effects_with, event, flip, open_with

_BARE = 3  # commits of segment 2, all of them without records


def _write(path: str, effects: Effects, *, is_sealed: bool, upstream: str = "upstream") -> str:
    """Three closed segments, the second of which holds no record, and a tail; path of the second."""
    assert isinstance(effects.clock, ManualClock)
    with open_with(path, effects, roll_cycle=RollCycle.MINUTE) as journal:
        for part in range(4):
            if part == 1:
                for number in range(_BARE):
                    journal.append([], tracking=(upstream, number + 1))
            else:
                journal.append([event("a", part + 1)])
            effects.clock.now += 60 * SECOND
    if is_sealed:
        seal(path, effects=effects)
        clear_away(effects, path, at_once=True)
    return segment_file(effects.files, path, 2)


def _costs(path: str, effects: Effects) -> tuple[int, int, int]:
    """Lost commits by a verify, a dry run, and a repair, behind which all is whole."""
    found = verify(path)
    assert not found.is_whole
    planned = repair(path, dry_run=True, effects=effects)
    done = repair(path, effects=effects)
    assert found.lost == planned.lost == done.lost
    assert verify(path).is_whole
    assert verify(path).lost_commits == repair(path, effects=effects).lost_commits == 0
    return found.lost_commits, planned.lost_commits, done.lost_commits


def _foreign(path: str, effects: Effects) -> None:
    shutil.copyfile(segment_file(effects.files, os.path.dirname(path), 1), path)


def _offsets(path: str) -> list[int]:
    """Offsets of the frames of a segment."""
    return [offset for offset, _ in frames(Path(path))]


_DAMAGES: dict[str, Callable[[str, Effects], object]] = {
    "missing": lambda path, _: os.unlink(path),
    "garbage": lambda path, _: Path(path).write_bytes(b"garbage" * 100),
    "empty": lambda path, _: Path(path).write_bytes(b""),
    "foreign": _foreign,
    "cut": lambda path, effects: cut(effects.files, path, _offsets(path)[1]),
}


@pytest.mark.parametrize("is_sealed", [True, False], ids=["sealed", "closed"])
@pytest.mark.parametrize("name", _DAMAGES)
def test_a_segment_of_tracking_records(tmp_path: Path, name: str, *, is_sealed: bool) -> None:
    """All of its commits are counted, by whatever its file has become."""
    effects, path = effects_with(clock=ManualClock()), str(tmp_path / "journal")
    _DAMAGES[name](_write(path, effects, is_sealed=is_sealed), effects)
    assert _costs(path, effects) == (_BARE, _BARE, _BARE)


def test_a_segment_of_another_history(tmp_path: Path) -> None:
    """It is valid by itself, and its commits are none of this journal."""
    path = str(tmp_path / "journal")
    ours = _write(path, store_effects(), is_sealed=True)
    other = _write(str(tmp_path / "other"), store_effects(), is_sealed=True, upstream="downstream")
    shutil.copyfile(other, ours)
    assert _costs(path, effects_with()) == (_BARE, _BARE, _BARE)


def test_a_raw_file_that_holds_them(tmp_path: Path) -> None:
    """Where the cooled file is damaged and the raw one is there, nothing is lost."""
    effects, path = effects_with(clock=ManualClock()), str(tmp_path / "journal")
    _write(path, effects, is_sealed=True)
    manifest = read_manifest(effects.files, path)
    assert manifest is not None
    assert cool_segment(effects, path, manifest.segments[1], CODEC_LZ4)
    cooled = segment_file(effects.files, path, 2)
    assert ".r1." in cooled
    (packed,) = [at for at, header in frames(Path(cooled)) if header.kind == KIND_PACKED]
    flipped(effects.files, cooled, packed + HEADER_BYTES)
    assert _costs(path, effects) == (0, 0, 0)


@pytest.mark.parametrize(
    ("number", "expected"), [(3, 1), (1, 0), (5, 0)], ids=["between", "before", "behind"]
)
def test_what_was_lost_before_is_not_counted_again(
    tmp_path: Path, number: int, expected: int
) -> None:
    """What an earlier repair has lost is told by lost frames, on both sides of a later damage."""
    effects, path = effects_with(), str(tmp_path / "journal")
    with open_with(path, effects, roll_cycle=RollCycle.events(2)) as journal:
        journal.append([event("a", 1)])
        for place in range(3):
            journal.append([], tracking=("upstream", place + 1))
        journal.append([event("a", 2)])
        journal.append([event("a", 3)])
    closed = segment_file(effects.files, path, 1)
    for offset, header in frames(Path(closed)):
        if header.kind == KIND_RECORDS and header.commit_number in {2, 4}:
            flip(closed, offset + HEADER_BYTES)
    assert _costs(path, effects) == (2, 2, 2)
    repaired = segment_file(effects.files, path, 1)
    for offset, header in frames(Path(repaired)):
        if header.kind == KIND_PACKED and header.commit_number == number:
            flip(repaired, offset + HEADER_BYTES)
    assert _costs(path, effects) == (expected, expected, expected)
