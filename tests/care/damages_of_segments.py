"""Damages of segments: missing, swapped, cut, and each field flipped."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from aurora_es.care.findings import (
    SEGMENT_CUT,
    SEGMENT_FOREIGN,
    SEGMENT_FRAME_DAMAGED,
    SEGMENT_HEADER_DAMAGED,
    SEGMENT_MISSING,
    SEGMENT_OVERLONG,
    SEGMENT_WRONG,
    UNSUPPORTED,
)
from aurora_es.format.frame import CHECKED_BYTES, HEADER_BYTES
from aurora_es.format.segment_header import SEGMENT_HEADER
from tests.care.harms import (
    Damage,
    Expected,
    cut,
    fields_of,
    flipped,
    frame_lost,
    longer,
    newer_version,
    of_another,
    removed,
    swapped,
)
from tests.care.stores import (
    COOLED,
    PLAIN,
    ROLLED,
    SEALED,
    frames,
    segment,
)

HEADER_LAYOUT = struct.Struct("<8sBBBBIIIQQQQHHII")

MISSING_SEGMENTS = [
    Damage(
        "segment 1 missing",
        SEALED,
        removed(segment(1)),
        (Expected(SEGMENT_MISSING, segment(1), None, ((1, 4),), "segment 1", "no file"),),
    ),
    Damage(
        "segment 2 missing",
        COOLED,
        removed(segment(2, cooled=True)),
        (Expected(SEGMENT_MISSING, segment(2, cooled=True), None, ((5, 8),)),),
    ),
    Damage(
        "segment 3 missing, not sealed",
        ROLLED,
        removed(segment(3)),
        (Expected(SEGMENT_MISSING, segment(3), None, ((9, 13),)),),
    ),
    Damage(
        "tail missing",
        SEALED,
        removed(segment(4)),
        (Expected(SEGMENT_MISSING, segment(4), None, ((14, 18),)),),
    ),
    Damage(
        "tail missing, not sealed",
        ROLLED,
        removed(segment(4)),
        (Expected(SEGMENT_MISSING, segment(4), None, ((14, 18),)),),
    ),
    Damage(
        "only segment missing",
        PLAIN,
        removed(segment(1)),
        (Expected(SEGMENT_MISSING, segment(1), None, ((1, 18),)),),
    ),
    Damage(
        "segments 1 and 2 swapped",
        SEALED,
        swapped(segment(1), segment(2)),
        (
            Expected(
                SEGMENT_FOREIGN,
                segment(1),
                0,
                (),
                "segment 1, base position 1",
                f"segment 2, base position 5; {segment(2)} holds it",
            ),
            Expected(
                SEGMENT_FOREIGN,
                segment(2),
                0,
                (),
                "segment 2, base position 5",
                f"{segment(1)} holds it",
            ),
        ),
    ),
    Damage(
        "segment 2 of another journal",
        SEALED,
        of_another(SEALED, segment(2)),
        (Expected(SEGMENT_FOREIGN, segment(2), 0, ((5, 8),), "journal ", "journal "),),
    ),
    Damage(
        "tail of another journal",
        ROLLED,
        of_another(ROLLED, segment(4)),
        (Expected(SEGMENT_FOREIGN, segment(4), 0, ((14, 18),)),),
    ),
    Damage(
        "segment 1 of a newer version",
        SEALED,
        newer_version(segment(1), 8, SEGMENT_HEADER.size),
        (Expected(UNSUPPORTED, segment(1), None, (), "", "found version 2"),),
    ),
    Damage(
        "segment 2 with an unknown flag",
        COOLED,
        newer_version(segment(2, cooled=True), 12, SEGMENT_HEADER.size),
        (Expected(UNSUPPORTED, segment(2, cooled=True), None),),
    ),
]


OF_ANOTHER_HISTORY = [
    Damage(
        f"{name} of another history, {store}",
        store,
        of_another(store, name, b"seed", b"other"),
        (Expected(SEGMENT_WRONG, name, offset, lost, expected, found),),
    )
    for store, name, offset, lost, expected, found in (
        (SEALED, segment(2), None, ((5, 8),), "segment 2 with last checksum", "last checksum"),
        (COOLED, segment(1, cooled=True), None, ((1, 4),), "segment 1 with", "digest"),
        (ROLLED, segment(4), 0, ((14, 18),), "a predecessor with an end at", "an end at"),
    )
]


def cut_segments(stores: Mapping[str, Path]) -> Iterator[Damage]:
    """Segments cut at each frame, inside of each, and in the header; and segments too long."""
    for store, name, last in (
        (SEALED, segment(3), 13),
        (COOLED, segment(3, cooled=True), 13),
        (ROLLED, segment(4), 18),
    ):
        known = frames(stores[store] / name)
        lengths = {0, 127}
        for offset, _ in known:
            lengths |= {offset, offset + 7, offset + 75}
        for length in sorted(lengths):
            # What the frame at which the cut falls, or behind which it falls, begins with.
            at, header = max((one for one in known if one[0] <= length), default=known[0])
            kind, offset, first = SEGMENT_CUT, at, header.first_position
            if length < 128:
                kind, offset = SEGMENT_HEADER_DAMAGED, 0
            lost = ((first, last),) if first <= last else ()
            finding = Expected(kind, name, offset, lost)
            yield Damage(f"{name} cut to {length}, {store}", store, cut(name, length), (finding,))
    for store, name in ((SEALED, segment(1)), (COOLED, segment(1, cooled=True))):
        size = (stores[store] / name).stat().st_size
        expected = Expected(SEGMENT_OVERLONG, name, size, (), "the end of the file", "4 more bytes")
        yield Damage(f"{name} overlong", store, longer(name, b"more"), (expected,))
    zeros = longer(segment(4), bytes(500))
    yield Damage("zeros behind the tail", SEALED, zeros, (), is_harmless=True)


def flipped_segments(stores: Mapping[str, Path]) -> Iterator[Damage]:
    """Each field of each header flipped, payloads, and padding."""
    for store, name in (
        (PLAIN, segment(1)),
        (SEALED, segment(1)),
        (SEALED, segment(3)),
        (COOLED, segment(1, cooled=True)),
        (COOLED, segment(3, cooled=True)),
        (ROLLED, segment(2)),
        (ROLLED, segment(4)),
    ):
        title = f"{store} {name}"
        for at, field in (
            *fields_of(SEGMENT_HEADER, skip_zeros=False),
            (SEGMENT_HEADER.size, "I"),
        ):
            yield Damage(
                f"{title}: {field} at {at} of the header",
                store,
                flipped(name, at),
                (Expected(SEGMENT_HEADER_DAMAGED, name, 0, (), "a segment header"),),
            )
        for offset, header in frames(stores[store] / name):
            wrong = (Expected(SEGMENT_FRAME_DAMAGED, name, offset, frame_lost(header)),)
            for at, field in (*fields_of(HEADER_LAYOUT), (CHECKED_BYTES, "I")):
                yield Damage(
                    f"{title}: {field} at {at} of the frame at {offset}",
                    store,
                    flipped(name, offset + at),
                    wrong,
                )
            for at in {0, 1, header.stored_length // 2, header.stored_length - 1}:
                yield Damage(
                    f"{title}: byte {at} of the payload at {offset}",
                    store,
                    flipped(name, offset + HEADER_BYTES + at),
                    wrong,
                )
            padding = -header.stored_length % 8
            if padding:
                yield Damage(
                    f"{title}: padding of the frame at {offset}",
                    store,
                    flipped(name, offset + HEADER_BYTES + header.stored_length),
                    (),
                    is_harmless=True,
                )
