"""Where the mark is gone, what was last has to speak for itself: what cannot be told is said so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_es.care import repair, verify
from tests.care.harms import cut, flipped, longer, removed
from tests.care.stores import (
    PLAIN,
    ROLLED,
    SEALED,
    frames,
    record,
    segment,
    write_store,
)
from tests.journal.support import effects_with, open_with

Damage = Callable[[Path], object]
TAIL = segment(4)


def _nothing(_: Path) -> None:
    """Leave the rest as it is."""


def _closed_overlong_newest(path: Path) -> None:
    """Leave a closed segment as the newest one, with bytes behind its end frame."""
    (path / TAIL).unlink()
    longer(segment(3), b"x" * 8)(path)


def _flipped_in_frame(number: int) -> Damage:
    def inflict(path: Path) -> None:
        offset, _ = frames(path / TAIL)[number]
        flipped(TAIL, offset + 80)(path)

    return inflict


@pytest.mark.parametrize(
    ("store", "inflict", "told"),
    [
        pytest.param(PLAIN, _nothing, ((), 18, 18), id="the mark alone, one segment"),
        pytest.param(ROLLED, _nothing, ((), 18, 18), id="the mark alone, nothing listed"),
        pytest.param(SEALED, _nothing, ((), 18, 18), id="the mark alone"),
        pytest.param(SEALED, cut(TAIL, 0), ((), 13, 13), id="all of the tail"),
        pytest.param(SEALED, removed(TAIL), ((), 13, 13), id="the tail's file"),
        pytest.param(ROLLED, removed(TAIL), ((), 13, 13), id="the tail's file, nothing listed"),
        pytest.param(ROLLED, _closed_overlong_newest, ((), 13, 13), id="a roll was killed, or not"),
        pytest.param(SEALED, _flipped_in_frame(1), (((14, 14),), 18, 18), id="a commit within"),
        pytest.param(
            SEALED, _flipped_in_frame(3), ((), 15, 15), id="what may be an unfinished write"
        ),
    ],
)
def test_what_is_lost_or_not_known(
    store: str,
    inflict: Damage,
    told: tuple[tuple[tuple[int, int], ...], int | None, int],
    tmp_path: Path,
) -> None:
    """``verify`` and ``repair`` say the same; then all is there that is not lost."""
    lost, lost_behind, last = told
    effects, path = effects_with(), write_store(tmp_path / "journal", store)
    (path / "mark").unlink()
    inflict(path)
    report = verify(path)
    assert report.is_damaged
    assert (report.lost, report.lost_behind, report.last_position) == (lost, lost_behind, last)
    planned = repair(path, dry_run=True, effects=effects)
    assert (planned.lost, planned.lost_behind) == (lost, lost_behind)
    done = repair(path, effects=effects)
    assert (done.lost, done.lost_behind, done.epoch) == (lost, lost_behind, 1)
    assert verify(path).is_whole
    gone = {position for one in lost for position in range(one[0], one[1] + 1)}
    with open_with(str(path), effects, read_only=True) as journal:
        found = {stored.position: stored.record for stored in journal.read()}
    assert found == {at: record(at) for at in range(1, last + 1) if at not in gone}
