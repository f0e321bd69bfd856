"""A write went astray: a whole frame of the segment over others. No more is lost than it covers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_es.care import repair, verify
from aurora_es.care.findings import joined
from tests.care.repairing import check_repaired
from tests.care.stores import (
    COOLED,
    LAST_POSITION,
    PLAIN,
    SEALED,
    frames,
    record,
    segment,
    write_store,
)
from tests.journal.support import effects_with

TRUTH = {position: record(position) for position in range(1, LAST_POSITION + 1)}
PLACES = ((PLAIN, 1), (SEALED, 1), (SEALED, 3), (COOLED, 3))  # store, number of the segment
SAMPLE = 13  # every so many
Case = tuple[
    str, int, int, int
]  # and numbers of the frame that is copied, and of that at the place


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write one store of each kind."""
    directory = tmp_path_factory.mktemp("stores")
    return {kind: write_store(directory / kind, kind) for kind in (PLAIN, SEALED, COOLED)}


def name_of(kind: str, number: int) -> str:
    """File name of a segment."""
    return segment(number, cooled=kind == COOLED)


def go_astray(path: Path, copied: int, place: int) -> tuple[tuple[int, int], ...]:
    """Write a frame over others; returns the positions that are nowhere then."""
    data = path.read_bytes()
    found = frames(path)
    begins = [offset for offset, _ in found]
    ends = [*begins[1:], len(data)]
    begin, end = begins[place], begins[place] + ends[copied] - begins[copied]
    written = data[:begin] + data[begins[copied] : ends[copied]] + data[end:]
    path.write_bytes(written)
    covered = [at for at in range(len(found)) if begins[at] < end and ends[at] > begin]
    return joined(
        (header.first_position, header.first_position + header.record_count - 1)
        for at, (_, header) in enumerate(found)
        if at in covered and at != copied
    )


def check(stores: dict[str, Path], case: Case, path: Path, *, to_the_end: bool) -> None:
    """Exactly what is covered is lost, by ``verify``, dry run and repair."""
    kind, number, copied, place = case
    effects = effects_with()
    shutil.copytree(stores[kind], path)
    lost = go_astray(path / name_of(kind, number), copied, place)
    found = verify(path)
    planned = repair(path, dry_run=True, effects=effects)
    assert (found.lost, found.lost_behind, found.lost_commits) == (lost, None, planned.lost_commits)
    assert (planned.lost, planned.lost_behind) == (lost, None)
    if to_the_end:
        done = repair(path, effects=effects)
        assert (done.repairs, done.lost) == (planned.repairs, lost)
        assert verify(path).is_whole
        check_repaired(effects, str(path), TRUTH, done)
    shutil.rmtree(path)


def cases(stores: dict[str, Path]) -> Iterator[Case]:
    """Each frame over each other."""
    for kind, number in PLACES:
        count = len(frames(stores[kind] / name_of(kind, number)))
        for copied in range(count):
            for place in range(count):
                if copied != place:
                    yield kind, number, copied, place


@pytest.mark.parametrize(
    "case",
    [
        pytest.param((PLAIN, 1, 8, 2), id="one of far behind"),
        pytest.param((PLAIN, 1, 4, 10), id="one of before over the last"),
        pytest.param((SEALED, 1, 4, 3), id="the end frame over the last commit"),
        pytest.param((SEALED, 3, 4, 1), id="the end frame over the first commit"),
    ],
)
def test_what_once_cost_more(stores: dict[str, Path], case: Case, tmp_path: Path) -> None:
    """All commits between the copy and the frame that was copied, or all of the segment."""
    check(stores, case, tmp_path / "journal", to_the_end=True)


def test_some_frames(stores: dict[str, Path], tmp_path: Path) -> None:
    """Some of all copies."""
    for case in [*cases(stores)][::SAMPLE]:
        check(stores, case, tmp_path / "journal", to_the_end=False)


@pytest.mark.slow
def test_every_frame(stores: dict[str, Path], tmp_path: Path) -> None:
    """All of them."""
    for number, case in enumerate(cases(stores)):
        check(stores, case, tmp_path / f"journal-{number}", to_the_end=True)
