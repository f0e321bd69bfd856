"""Every bit of a small journal is flipped: it is noticed, or it does not matter."""

import functools
import logging
import random
from collections.abc import Iterable, Iterator

import pytest

from aurora_es.errors import AuroraConfigurationError, CorruptionError, UnsupportedFormatError
from tests.fault.crash_states import Tree
from tests.fault.enumeration import disk_of
from tests.fault.figures import Figures
from tests.fault.small_journal import CACHES, PATH, answers, small_journal, tree_of
from tests.fault.told import ViolationError

Place = tuple[str, int, int]  # path, offset, bit
_NOTICED = (CorruptionError, UnsupportedFormatError, AuroraConfigurationError)
_SOME = 150


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@functools.cache
def original() -> tuple[Tree, list[bytes]]:
    """The journal, and what it says."""
    tree = small_journal()
    return tree, answers(disk_of(tree), read_only=True)


def kind_of(path: str) -> str:
    """What a file is."""
    name = path.removeprefix(PATH + "/")
    if name.endswith(".segment"):
        return "cooled segment" if ".r1." in name else "segment"
    return {".index": "run", ".frames": "table"}.get(name[name.rfind(".") :], name)


def places() -> Iterator[Place]:
    """Every bit of every file; lock files are empty."""
    for path, content in original()[0].items():
        for offset in range(len(content or b"")):
            for bit in range(8):
                yield path, offset, bit


def flip(place: Place, figures: Figures) -> None:
    """Flip one bit, open as a reader and as an appender, and count what came of it."""
    tree, expected = original()
    path, offset, bit = place
    content = bytearray(tree[path] or b"")
    content[offset] ^= 1 << bit
    damaged = {**tree, path: bytes(content)}
    verdicts = set()
    for read_only in (True, False):
        disk = disk_of(damaged)
        try:
            found = answers(disk, read_only=read_only)
        except _NOTICED as error:
            if path.endswith(CACHES):
                raise ViolationError(f"damage to a cache is not hidden: {error}") from error
            if tree_of(disk) != damaged:
                raise ViolationError("refused, and changed nevertheless") from None
            verdicts.add("detected")
            continue
        # Without the newer slot a reader sees the older mark, until an appender has recovered.
        is_lagging = read_only and path.endswith("/mark") and found == expected[: len(found)]
        if found != expected and not is_lagging:
            raise ViolationError(f"silent: {found}")
        verdicts.add("harmless")
    figures.trials += 1
    figures.add(detected="detected" in verdicts, harmless="detected" not in verdicts, silent=0)


def flip_all(chosen: Iterable[Place], *, is_exhaustive: bool) -> None:
    """Flip each of the bits; figures by kind of file."""
    by_kind: dict[str, list[Place]] = {}
    for place in chosen:
        by_kind.setdefault(kind_of(place[0]), []).append(place)
    for kind, own in by_kind.items():
        with Figures("E7", kind, "flipped bit") as figures:
            figures.is_exhaustive = is_exhaustive
            for place in own:
                try:
                    flip(place, figures)
                except BaseException as error:
                    error.add_note(f"path, offset, bit: {place}")
                    raise


def test_some_bits() -> None:
    """A flipped bit is refused with a typed error, or nothing that is read is different."""
    every = [*places()]
    assert {kind_of(path) for path, _, _ in every} == {
        "cooled segment", "manifest", "mark", "run", "segment", "table",
    }  # fmt: skip
    flip_all(sorted(random.Random(1).sample(every, _SOME)), is_exhaustive=False)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_every_bit() -> None:
    """The same for every single bit."""
    flip_all(places(), is_exhaustive=True)
