"""Runs for tests: written to an imagined disk, with a plain list that knows all answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from aurora_es.files.layer import Effects, Files
from aurora_es.index.build import build_run
from aurora_es.index.keys import HASH_BITS
from aurora_es.index.run import Run
from aurora_es.index.run_writer import Coverage, publish_run
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk

if TYPE_CHECKING:
    from aurora_es.format.run import Columns, RunHeader

GENESIS_ID = bytes(range(16))
DIGEST = b"source digest 16"
DIRECTORY = "/data"
PATH = "/data/00-0000000001-0000000001.index"
Entry = tuple[int, int, int]  # key, ordinal, position

ORIGINATORS = [0, 1, 0x0123456789, (1 << HASH_BITS) - 1]
OTHERS = [1 << HASH_BITS, (1 << HASH_BITS) + 1, 3 << HASH_BITS, (1 << 64) - 1]
ABSENT = [2, (2 << HASH_BITS) + 7, (1 << 64) - 2]


def imagined_effects() -> tuple[Effects, CrashableFiles]:
    """Return effects on a new disk with a directory, whose salts are always the same."""
    disk = CrashableDisk()
    disk.make_directories(DIRECTORY)
    files = CrashableFiles(disk)
    return Effects(files, random_bytes=lambda count: b"\x07" * count), files


def columns_of(entries: Iterable[Entry]) -> Columns:
    """Put entries side by side."""
    listed = list(entries)
    return (
        np.array([key for key, _, _ in listed], np.uint64),
        np.array([ordinal for _, ordinal, _ in listed], np.int64),
        np.array([position for _, _, position in listed], np.uint64),
    )


def write_run(  # noqa: PLR0913 - as build_run
    effects: Effects,
    coverage: Coverage,
    entries: Iterable[Entry],
    *,
    path: str = PATH,
    topics: Mapping[str, int] | None = None,
    commons: Iterable[tuple[int, int, int]] = (),
) -> RunHeader:
    """Build a run and give it its name."""
    header = build_run(
        effects, path, coverage, postings=columns_of(entries), topics=topics, commons=commons
    )
    publish_run(effects.files, path)
    return header


def open_run(files: Files, path: str = PATH, digest: bytes = DIGEST) -> Run:
    """Open a run of the journal of these tests."""
    return Run(files, path, genesis_id=GENESIS_ID, source_digest=digest)


@dataclass
class Contents:
    """Entries over a stretch of positions, and the answers that a run of them has to give."""

    base_position: int
    last_position: int
    entries: list[Entry] = field(default_factory=list)  # in the order of positions

    def coverage(self, segment_number: int = 1) -> Coverage:
        """Coverage of a run of all this in one segment."""
        positions = self.base_position, self.last_position
        return Coverage(GENESIS_ID, 0, segment_number, segment_number, *positions, DIGEST)

    def of_key(self, key: int) -> list[tuple[int, int]]:
        """Ordinals and positions of a key, sorted."""
        return sorted({entry[1:] for entry in self.entries if entry[0] == key})

    def is_monotone(self) -> bool:
        """Whether no originator has an ordinal at or below an earlier one, looking at all pairs."""
        highest: dict[int, int] = {}
        for key, ordinal, _ in self.entries:
            if key >> HASH_BITS == 0:
                if key in highest and ordinal <= highest[key]:
                    return False
                highest[key] = ordinal
        return True


@st.composite
def contents(draw: st.DrawFn) -> Contents:
    """Draw entries of few keys, some of which fill several blocks, in narrow and wide columns."""
    base = draw(st.sampled_from([1, 1000, (1 << 40) + 1]))
    far = draw(st.sampled_from([0, 0, 1 << 32]))  # wide positions
    scale = draw(st.sampled_from([1, 1, 1 << 40]))  # wide ordinals
    position = base + far
    entries: dict[Entry, None] = {}
    ordinals: dict[int, int] = {}
    stretches = draw(
        st.lists(
            st.tuples(
                st.sampled_from(ORIGINATORS + OTHERS),
                st.integers(1, 4) | st.sampled_from([63, 200]),
                st.integers(-2, 3),  # step of ordinals
                st.integers(0, 2),  # step of positions
            ),
            max_size=8,
        )
    )
    for key, count, step, advance in stretches:
        for _ in range(count):
            ordinal = 0
            if key >> HASH_BITS == 0:
                ordinal = ordinals[key] = ordinals.get(key, -scale) + step * scale
            # The same originator has one entry for a position, as it has one record there.
            taken = entries and next(reversed(entries))[2] == position
            position += advance or int(bool(taken and key >> HASH_BITS == 0))
            entries[key, ordinal, position] = None
    last = position if entries else draw(st.sampled_from([base - 1, base + 5]))
    return Contents(base, max(last, position if entries else last), list(entries))


SMALL = Contents(
    10,
    200,
    [(1, version, 10 + version) for version in range(70)]
    + [(5, -3, 90), (1 << 62, 0, 91), (1 << 62, 0, 200)],
)
