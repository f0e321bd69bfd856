"""Damages of index runs and tables of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from aurora_es.care.findings import (
    RUN_DAMAGED,
    RUN_MISSING,
    RUN_WRONG,
    TABLE_DAMAGED,
    TABLE_MISSING,
    TABLE_WRONG,
)
from aurora_es.format.frame_table import TABLE_HEADER
from aurora_es.format.run import RUN_HEADER
from tests.care.harms import (
    Damage,
    Expected,
    cut,
    fields_of,
    flipped,
    longer,
    newer_version,
    of_another,
    removed,
    swapped,
)
from tests.care.stores import (
    COOLED,
    LAST_RUN,
    MERGED_RUN,
    SEALED,
    table,
)


def caches() -> Iterator[Damage]:
    """Index runs and tables of frames."""
    for store, is_cooled in ((SEALED, False), (COOLED, True)):
        yield from tables(store, table(1, cooled=is_cooled), table(2, cooled=is_cooled))
        yield from runs(store)


def tables(store: str, name: str, other: str) -> Iterator[Damage]:
    """Damages of the table ``name``."""

    def damage(title: str, inflict: Callable[[Path], object], *expected: Expected) -> Damage:
        return Damage(f"{store} table: {title}", store, inflict, expected)

    def damaged(offset: int | None, expected: str = "", found: str = "") -> Expected:
        return Expected(TABLE_DAMAGED, name, offset, (), expected, found)

    missing = Expected(TABLE_MISSING, name, None, (), "a table of frames", "no file")
    yield damage("missing", removed(name), missing)
    yield damage("empty", cut(name, 0), damaged(0))
    yield damage("cut", cut(name, 1000), damaged(None, "1156 bytes", "1000 bytes"))
    yield damage("overlong", longer(name, b"more"), damaged(None, "1156 bytes", "1160 bytes"))
    wrong = Expected(TABLE_WRONG, name, 0)
    yield damage("swapped", swapped(name, other), wrong, Expected(TABLE_WRONG, other, 0))
    yield damage("of another journal", of_another(store, name), wrong)
    newer = newer_version(name, 8, TABLE_HEADER.size)
    yield damage("of a newer version", newer, damaged(0, "", "version=2"))
    for at, field in (*fields_of(TABLE_HEADER, skip_zeros=False), (TABLE_HEADER.size, "I")):
        yield damage(f"{field} at {at}", flipped(name, at), damaged(0))
    for at in (128, 132, 136, 300, 640, 1151):
        yield damage(f"byte {at}", flipped(name, at), damaged(128, "block 0"))
    yield damage("fence", flipped(name, 1152), damaged(1152, "a fence"))


def runs(store: str) -> Iterator[Damage]:
    """Damages of index runs."""
    for name in (MERGED_RUN, LAST_RUN):
        yield from runs_named(store, name)
    both = (Expected(RUN_WRONG, name, 0, (), "source digest") for name in (MERGED_RUN, LAST_RUN))
    yield Damage(f"{store} runs swapped", store, swapped(MERGED_RUN, LAST_RUN), tuple(both))


def runs_named(store: str, name: str) -> Iterator[Damage]:
    """Damages of the run ``name``."""

    def damage(title: str, inflict: Callable[[Path], object], expected: Expected) -> Damage:
        return Damage(f"{store} {name}: {title}", store, inflict, (expected,))

    def damaged(offset: int | None, expected: str = "", found: str = "") -> Expected:
        return Expected(RUN_DAMAGED, name, offset, (), expected, found)

    missing = Expected(RUN_MISSING, name, None, (), "an index run", "no file")
    yield damage("missing", removed(name), missing)
    yield damage("empty", cut(name, 0), damaged(0))
    yield damage("cut", cut(name, 2000), damaged(0, "", "2000 bytes in the file"))
    foreign = Expected(RUN_WRONG, name, 0, (), "genesis id")
    yield damage("of another journal", of_another(store, name), foreign)
    newer = newer_version(name, 8, RUN_HEADER.size)
    yield damage("of a newer version", newer, damaged(0, "", "version 2"))
    for at, field in (*fields_of(RUN_HEADER, skip_zeros=False), (RUN_HEADER.size, "I")):
        yield damage(f"{field} at {at}", flipped(name, at), damaged(0))
    for at in (1024, 1028, 1032, 1040, 1500, 2047):
        yield damage(f"byte {at}", flipped(name, at), damaged(1024, "block 0"))
    yield damage("directory", flipped(name, 2050), damaged(2048, "a directory"))
    yield damage("fence", flipped(name, 2101), damaged(2094, "a fence"))
