"""A catalogue of damaged stores: what is done to a small store, and exactly what a check has to say.

Each ``Damage`` takes one of the stores of ``stores.py``, harms it, and says which findings there
are: kind, file, offset, lost positions, and words of what was expected and what was found. A kind of
damage for each file: missing, cut, overlong, swapped, of another journal, of a newer version; and
each field of each structure flipped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from aurora_es.care.findings import (
    MANIFEST_MISSING,
    MARK_MISSING,
    RUN_DAMAGED,
    SEGMENT_FRAME_DAMAGED,
    SEGMENT_HEADER_DAMAGED,
)
from tests.care.damages_of_caches import caches
from tests.care.damages_of_files import LOCKS, MANIFESTS, MARKS
from tests.care.damages_of_segments import (
    MISSING_SEGMENTS,
    OF_ANOTHER_HISTORY,
    cut_segments,
    flipped_segments,
)
from tests.care.harms import (
    Damage,
    Expected,
    flipped,
    removed,
)
from tests.care.stores import (
    COOLED,
    KINDS,
    LAST_RUN,
    PLAIN,
    SEALED,
    segment,
    write_store,
)


def several() -> Iterable[Damage]:
    """More than one damage at a time."""
    yield Damage(
        "two frames of one segment, not adjacent",
        PLAIN,
        flipped(segment(1), 208 + 80, 552 + 80),
        (
            Expected(SEGMENT_FRAME_DAMAGED, segment(1), 208, ((1, 2),)),
            Expected(SEGMENT_FRAME_DAMAGED, segment(1), 552, ((4, 4),)),
        ),
    )
    yield Damage(
        "two adjacent frames",
        PLAIN,
        flipped(segment(1), 392 + 80, 552 + 80),
        (Expected(SEGMENT_FRAME_DAMAGED, segment(1), 392, ((3, 4),)),),
    )
    yield Damage(
        "header and checkpoint of a segment",
        SEALED,
        flipped(segment(3), 20, 130),
        (
            Expected(SEGMENT_HEADER_DAMAGED, segment(3), 0),
            Expected(SEGMENT_FRAME_DAMAGED, segment(3), 128),
        ),
    )
    yield Damage(
        "manifest and mark missing",
        SEALED,
        removed("manifest", "mark"),
        (Expected(MANIFEST_MISSING, "manifest", None), Expected(MARK_MISSING, "mark", None)),
    )
    yield Damage(
        "a frame and the run over it",
        COOLED,
        flipped_both,
        (
            Expected(SEGMENT_FRAME_DAMAGED, segment(3, cooled=True), 224, ((9, 13),)),
            Expected(RUN_DAMAGED, LAST_RUN, 1024),
        ),
    )
    yield Damage(
        "all bytes of a segment",
        SEALED,
        lambda path: (path / segment(2)).write_bytes(b"x" * 584),
        (Expected(SEGMENT_HEADER_DAMAGED, segment(2), 0, ((5, 8),)),),
    )


def flipped_both(path: Path) -> None:
    """Damage a frame and a block of the run over it."""
    flipped(segment(3, cooled=True), 300)(path)
    flipped(LAST_RUN, 1100)(path)


def catalogue() -> Iterator[Damage]:
    """Yield all damages."""
    with tempfile.TemporaryDirectory() as directory:
        stores = {kind: write_store(Path(directory) / kind, kind) for kind in KINDS}
        yield from (*MANIFESTS, *MARKS, *LOCKS, *MISSING_SEGMENTS, *OF_ANOTHER_HISTORY)
        yield from cut_segments(stores)
        yield from flipped_segments(stores)
        yield from caches()
        yield from several()


CATALOGUE = tuple(catalogue())
