"""Index runs and tables of frames are caches: whatever happens to one, no answer changes."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from aurora_es import Journal, RollCycle
from aurora_es.index.keys import text_key
from aurora_es.journal import background
from aurora_es.journal.logs import logger
from aurora_es.journal.reading import read_position
from tests.journal.support import effects_with, event, flip, open_with, snapshot

IDS = ("a", "b", "c")
CUTS = (0, 1, 16, 127, 128, 200, 512, 1023, 1024, 1152, 1153)
FLIPS = 10
EFFECTS = effects_with()

Damage = Callable[[str], object]
modes = pytest.mark.parametrize("read_only", [False, True], ids=["writing", "read-only"])


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger, "disabled", True)


def write(path: Path, word: str) -> str:
    """Write a journal of ten segments: two cooled ones, a merged run of four, the others single."""
    with open_with(path, EFFECTS, roll_cycle=RollCycle.events(5)) as journal:
        for number in range(50):
            version = number if number % 7 else 100 - number  # not all of them rise
            journal.append([event(IDS[number % 3], version, f"{word} {number}".encode())])
            if number == 11:
                background.seal(str(path), effects=EFFECTS)
                background.cool(str(path), older_than_hours=-1, effects=EFFECTS)
        background.seal(str(path), effects=EFFECTS)
    return str(path)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A journal that no test touches."""
    return write(tmp_path_factory.mktemp("original") / "journal", "state")


@pytest.fixture
def path(original: str, tmp_path: Path) -> str:
    """A copy of it."""
    return str(shutil.copytree(original, tmp_path / "journal"))


def answers(journal: Journal) -> list[object]:
    """Whatever can be asked."""
    until = journal.last_position
    index = journal.handle.state.index
    found: list[object] = [(one.position, one.record) for one in journal.read()]
    found += [read_position(journal.handle, position) for position in (1, 7, until // 2, until)]
    for name in (*IDS, "absent"):
        key = text_key(name)
        found.append(index.last_version(key))
        found += [index.find(key, version) for version in range(0, 101, 4)]
        found += [
            index.select(key, gt=gt, lte=None, desc=desc, limit=limit, until=until)[0]
            for gt in (None, 30)
            for desc in (False, True)
            for limit in (None, 1, 3)
        ]
    return found


def caches(path: str) -> list[str]:
    """Paths of all index runs and tables of frames."""
    found = sorted(name for name in os.listdir(path) if name.endswith((".index", ".frames")))
    assert {name.rpartition(".")[2] for name in found} == {"index", "frames"}
    return [os.path.join(path, name) for name in found]


def check_unchanged(path: str, expected: list[object], *, read_only: bool) -> None:
    """Open the journal and ask; a reading handle must leave the directory as it is."""
    before = snapshot(path)
    with open_with(path, EFFECTS, read_only=read_only) as journal:
        assert answers(journal) == expected
    if read_only:
        assert snapshot(path) == before


@pytest.fixture(scope="module")
def expected(original: str) -> list[object]:
    """What the undamaged journal answers."""
    with open_with(original, EFFECTS, read_only=True) as journal:
        return answers(journal)


def put_directory(file: str) -> None:
    """Put a directory in the place of a file: what is built anew cannot be put there."""
    os.unlink(file)
    os.mkdir(file)


def damages(path: str, cache: str) -> Iterator[Damage]:
    """All kinds of damage to one file."""
    yield os.unlink
    size = os.path.getsize(cache)
    for length in (*[cut for cut in CUTS if cut < size], size // 2, size - 1):
        yield partial(os.truncate, length=length)
    yield partial(os.truncate, length=size + 1)
    rng = random.Random(cache.rpartition("/")[2])
    for offset in rng.sample(range(size), FLIPS):
        yield partial(flip, offset=offset, mask=1 << rng.randrange(8))
    yield put_directory


@modes
def test_any_damage_to_any_file(
    original: str, path: str, expected: list[object], *, read_only: bool
) -> None:
    """A file that is missing, cut, longer, flipped, empty or a directory changes no answer."""
    for cache in caches(path):
        name = os.path.basename(cache)
        for damage in damages(path, cache):
            damage(cache)
            check_unchanged(path, expected, read_only=read_only)
            if os.path.isdir(cache):
                os.rmdir(cache)
            shutil.copy(os.path.join(original, name), cache)


@modes
def test_all_files_at_once(path: str, expected: list[object], *, read_only: bool) -> None:
    """Without any of them all is answered from the segments."""
    for cache in caches(path):
        os.unlink(cache)
    check_unchanged(path, expected, read_only=read_only)


@modes
def test_files_of_another_journal(
    path: str, expected: list[object], tmp_path: Path, *, read_only: bool
) -> None:
    """Files of the same names and sizes, of a journal of the same form, are not believed."""
    other = write(tmp_path / "other", "stats")
    for cache in caches(path):
        shutil.copy(os.path.join(other, os.path.basename(cache)), cache)
    check_unchanged(path, expected, read_only=read_only)


@modes
def test_files_of_other_segments(path: str, expected: list[object], *, read_only: bool) -> None:
    """Files of the same journal under each other's names are not believed."""
    for suffix in (".index", ".frames"):
        files = [cache for cache in caches(path) if cache.endswith(suffix)]
        contents = [Path(file).read_bytes() for file in files]
        for file, content in zip(files, [*contents[1:], contents[0]], strict=True):
            Path(file).write_bytes(content)
    check_unchanged(path, expected, read_only=read_only)


@modes
def test_files_of_an_older_generation(
    path: str, expected: list[object], *, read_only: bool
) -> None:
    """The table of a segment as it was before it was cooled, and a run before it was merged."""
    before = {os.path.basename(cache): Path(cache).read_bytes() for cache in caches(path)}
    background.cool(path, older_than_hours=-1, effects=EFFECTS)
    background.merge(path, everything=True, effects=EFFECTS)
    for cache in caches(path):
        name = os.path.basename(cache)
        if name not in before:
            raw = name.replace(".r1", "")
            Path(cache).write_bytes(before.get(raw) or before[min(before)])
    check_unchanged(path, expected, read_only=read_only)


@modes
def test_damage_under_an_open_handle(path: str, expected: list[object], *, read_only: bool) -> None:
    """What a handle has open already may rot, be cut or vanish while it is used."""
    for damage in (
        lambda file: flip(file, 128 + 40, 0xFF),
        lambda file: os.truncate(file, 128),
        os.unlink,
    ):
        with open_with(path, EFFECTS, read_only=read_only) as journal:
            assert answers(journal) == expected
            for cache in caches(path):
                damage(cache)
            assert answers(journal) == expected
        background.seal(path, effects=EFFECTS)


def test_a_writing_handle_puts_back_what_was_damaged(path: str, expected: list[object]) -> None:
    """The next one finds runs and tables as good as new."""
    for cache in caches(path):
        os.unlink(cache)
    check_unchanged(path, expected, read_only=False)
    before = snapshot(path)
    check_unchanged(path, expected, read_only=True)
    assert caches(path)
    with open_with(path, EFFECTS) as journal:
        assert answers(journal) == expected
    after = snapshot(path)
    assert {cache: after[cache] for cache in caches(path)} == {
        cache: before[cache] for cache in caches(path)
    }


def test_work_goes_on_over_damaged_runs(path: str, expected: list[object]) -> None:
    """Sealing, merging and cooling build anew what they need, under the lock that they hold."""
    for cache in caches(path):
        flip(cache, 140)
    assert background.merge(path, everything=True, effects=EFFECTS, lock_timeout=0)
    with open_with(path, EFFECTS) as journal:
        journal.append([event("d", 0)])
        journal.append([event("a", 101)])
    for cache in caches(path):
        flip(cache, 140)
    assert background.seal(path, effects=EFFECTS, lock_timeout=0)
    assert background.cool(path, older_than_hours=-1, effects=EFFECTS, lock_timeout=0)
    with open_with(path, EFFECTS, read_only=True) as journal:
        assert answers(journal)[: len(IDS)] == expected[: len(IDS)]
