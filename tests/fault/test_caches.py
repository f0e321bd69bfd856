"""Index runs and tables of frames are deleted, cut, garbled and exchanged: no answer changes."""

import functools
import logging
import random
from collections.abc import Callable, Iterator

import pytest

from tests.fault.crash_states import Tree
from tests.fault.enumeration import disk_of
from tests.fault.figures import Figures
from tests.fault.small_journal import CACHES, answers, small_journal
from tests.fault.told import ViolationError

Damage = Callable[[random.Random, Tree], None]
_SOME = 6


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


@functools.cache
def foreign() -> Tree:
    """A journal of the same form with another content."""
    return small_journal("b")


def caches(tree: Tree) -> list[str]:
    """Paths of all caches."""
    return [path for path in tree if path.endswith(CACHES)]


def some_of(rng: random.Random, tree: Tree) -> list[str]:
    """One of the caches, or some, or all."""
    paths = caches(tree)
    return rng.sample(paths, rng.choice((1, 1, 2, len(paths))))


def delete(rng: random.Random, tree: Tree) -> None:
    """Remove some."""
    for path in some_of(rng, tree):
        del tree[path]


def cut(rng: random.Random, tree: Tree) -> None:
    """Let some end anywhere."""
    for path in some_of(rng, tree):
        content = tree[path] or b""
        tree[path] = content[: rng.randrange(len(content))]


def extend(rng: random.Random, tree: Tree) -> None:
    """Let bytes follow behind some."""
    for path in some_of(rng, tree):
        tree[path] = (tree[path] or b"") + rng.randbytes(rng.choice((1, 8, 1024)))


def garble(rng: random.Random, tree: Tree) -> None:
    """Fill a stretch of some with noise or with zeros."""
    for path in some_of(rng, tree):
        content = bytearray(tree[path] or b"")
        begin = rng.randrange(len(content))
        length = min(rng.choice((1, 4, 16, 512, 4096)), len(content) - begin)
        content[begin : begin + length] = rng.choice((rng.randbytes(length), bytes(length)))
        tree[path] = bytes(content)


def exchange(rng: random.Random, tree: Tree) -> None:
    """Put files of the same ending in each other's places."""
    ending = rng.choice(CACHES)
    paths = [path for path in caches(tree) if path.endswith(ending)]
    contents = [tree[path] for path in paths]
    rng.shuffle(contents)
    tree.update(zip(paths, contents, strict=True))


def replace_by_foreign(rng: random.Random, tree: Tree) -> None:
    """Put files of another journal in the place of some."""
    for path in some_of(rng, tree):
        tree[path] = foreign()[path]


def patch_together(rng: random.Random, tree: Tree) -> None:
    """Put a stretch of another journal's file into ours, on and off block bounds."""
    for path in some_of(rng, tree):
        content, other = bytearray(tree[path] or b""), foreign()[path] or b""
        begin = rng.choice((0, 128, 1024, rng.randrange(len(content))))
        length = rng.choice((64, 512, 1024))
        content[begin : begin + length] = other[begin : begin + length]
        tree[path] = bytes(content)


DAMAGES: dict[str, Damage] = {
    "deleted": delete,
    "cut": cut,
    "extended": extend,
    "garbled": garble,
    "swapped": exchange,
    "of another journal": replace_by_foreign,
    "patched together": patch_together,
}


def damage_many(name: str, count: int) -> None:
    """Damage and ask, again and again: as a reader, as an appender, and as whoever comes next."""
    with Figures("E11", name, "damage") as figures:
        for seed in range(count):
            tree, expected = original()
            damaged = dict(tree)
            DAMAGES[name](random.Random(f"{name} {seed}"), damaged)
            disk = disk_of(damaged)
            for read_only in (True, False, True):
                if answers(disk, read_only=read_only) != expected:
                    raise ViolationError(f"{name}, seed {seed}, read_only={read_only}")
            figures.trials += 1
        figures.counts["wrong answers"] = 0


@pytest.mark.parametrize("name", DAMAGES)
def test_some_damages(name: str) -> None:
    """Whatever a cache holds, answers come from segments when it is not to be believed."""
    damage_many(name, _SOME)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("name", DAMAGES)
def test_many_damages(name: str, reliability_factor: int) -> None:
    """The same, many times."""
    damage_many(name, 100 * reliability_factor)
