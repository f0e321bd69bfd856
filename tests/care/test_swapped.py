"""Files of one journal in each other's places, or as they were earlier: one law for all pairs.

Theory of operation: what ``verify`` calls lost is what a dry run announces, what a repair then does,
and what is not there afterwards; the journal opens, is whole, and nothing else is gone.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aurora_es import RollCycle
from aurora_es.care import repair, verify
from aurora_es.codecs.compression import CODEC_LZ4
from aurora_es.format.names import LOCK_FILES
from aurora_es.journal import background
from aurora_es.journal.cool import cool_segment
from aurora_es.journal.manifest_file import read_manifest
from tests.care.stores import record, segment, store_effects
from tests.journal.support import effects_with, open_with

# Records of each commit, and whether it tracks something; four records make a segment.
COMMITS = ((2, 0), (1, 1), (1, 0), (4, 1), (1, 0), (0, 1), (3, 0), (2, 1), (2, 0), (1, 1), (2, 0))
EARLIER = 8  # commits
LAST_POSITION = 19
SAMPLE = 61  # every so many
TAIL = "0000000005-00000000000000000017.segment"
MARK, MANIFEST = "mark", "manifest"


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small journal: one segment cooled with its raw file left, one sealed, two rolled, and a tail.

    Beside it is what it was some commits earlier.
    """
    effects, path = store_effects(), tmp_path_factory.mktemp("swapped") / "journal"
    files, position = effects.files, 1
    with open_with(str(path), effects, roll_cycle=RollCycle.events(4)) as one:
        for number, (count, is_tracking) in enumerate(COMMITS):
            if number == EARLIER:
                background.seal(str(path), effects=effects)
                shutil.copytree(path, path.parent / "earlier")
                manifest = read_manifest(files, str(path))
                assert manifest is not None
                assert cool_segment(effects, str(path), manifest.segments[0], CODEC_LZ4)
            records = [record(at) for at in range(position, position + count)]
            one.append(records, tracking=("upstream", number + 1) if is_tracking else None)
            position += count
    return path


Change = Callable[[Path], object]


def swapped(first: str, second: str) -> Change:
    """Give two files each other's names."""

    def change(path: Path) -> None:
        between = path / "between"
        (path / first).rename(between)
        (path / second).rename(path / first)
        between.rename(path / second)

    return change


def copied(first: str, second: str) -> Change:
    """Put a copy of one in the place of another."""
    return lambda path: shutil.copyfile(path / first, path / second)


def taken_from(other: Path, names: tuple[str, ...]) -> Change:
    """Put files of another directory in the place of those of the same names."""

    def change(path: Path) -> None:
        for name in names:
            shutil.copy(other / name, path)

    return change


def every_pair(names: list[str]) -> Iterator[tuple[str, Change]]:
    """All swaps and all copies, each with a name."""
    for first, second in itertools.combinations(names, 2):
        yield f"{first} and {second} swapped", swapped(first, second)
    for first, second in itertools.permutations(names, 2):
        yield f"{first} copied over {second}", copied(first, second)


def check(original: Path, path: Path, change: Change, removed: tuple[str, ...] = ()) -> None:
    """Change a copy, and see that the law holds."""
    effects = effects_with()
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(original, path)
    change(path)
    for name in removed:
        (path / name).unlink()
    found = verify(path, effects=effects)
    planned = repair(path, dry_run=True, effects=effects)
    assert found.is_damaged == bool(planned.repairs)
    done = repair(path, effects=effects)
    assert (done.repairs, done.lost) == (planned.repairs, planned.lost)
    told = [(one.lost, one.lost_behind, one.lost_commits) for one in (found, planned, done)]
    assert told[0] == told[1] == told[2]
    assert verify(path, effects=effects).is_whole
    lost = {position for first, last in done.lost for position in range(first, last + 1)}
    last = LAST_POSITION if done.lost_behind is None else done.lost_behind
    with open_with(str(path), effects) as one:
        left = {stored.position: stored.record for stored in one.read()}
        assert left == {at: record(at) for at in range(1, last + 1) if at not in lost}
        one.append([record(99)])
    shutil.rmtree(path)
    for kept in path.parent.glob("*.broken-*"):
        shutil.rmtree(kept)


def names_of(journal: Path) -> list[str]:
    """Names of all files."""
    return sorted(one.name for one in journal.iterdir())


@pytest.mark.parametrize("removed", [(), (MARK,), (MANIFEST,), (MARK, MANIFEST)], ids=str)
def test_some_pairs(journal: Path, removed: tuple[str, ...], tmp_path: Path) -> None:
    """A few of all pairs, also without manifest or mark."""
    pairs = [*every_pair([one for one in names_of(journal) if one not in removed])]
    for _, change in pairs[len(removed) :: SAMPLE]:
        check(journal, tmp_path / "journal", change, removed)


@pytest.mark.parametrize(
    ("change", "removed"),
    [
        pytest.param(copied(segment(2), segment(1)), (), id="a raw file that nobody reads"),
        pytest.param(swapped(segment(2), TAIL), (MARK,), id="a tail that nobody vouches for"),
    ],
)
def test_pairs_that_once_found_something(
    journal: Path, change: Change, removed: tuple[str, ...], tmp_path: Path
) -> None:
    """What was put right stays so."""
    check(journal, tmp_path / "journal", change, removed)


@pytest.mark.parametrize("name", [MANIFEST, MARK, segment(1), segment(3)])
def test_one_file_as_it_was_earlier(journal: Path, name: str, tmp_path: Path) -> None:
    """It is found out by those beside it."""
    earlier = journal.parent / "earlier"
    check(journal, tmp_path / "journal", taken_from(earlier, (name,)))


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("removed", [(), (MARK,), (MANIFEST,), (MARK, MANIFEST)], ids=str)
def test_every_pair(journal: Path, removed: tuple[str, ...], tmp_path: Path) -> None:
    """All of them."""
    names = [one for one in names_of(journal) if one not in {*removed, *LOCK_FILES[1:]}]
    for what, change in every_pair(names):
        try:
            check(journal, tmp_path / "journal", change, removed)
        except BaseException as error:
            error.add_note(what)
            raise


@pytest.mark.slow
def test_every_two_files_as_they_were_earlier(journal: Path, tmp_path: Path) -> None:
    """The same for each file of an older copy, and each two."""
    earlier = journal.parent / "earlier"
    for chosen in itertools.combinations_with_replacement(names_of(earlier), 2):
        try:
            check(journal, tmp_path / "journal", taken_from(earlier, chosen))
        except BaseException as error:
            error.add_note(str(chosen))
            raise
