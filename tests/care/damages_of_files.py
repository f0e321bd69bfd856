"""Damages of the manifest, the mark and the lock files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from aurora_es.care.findings import (
    FILE_STRANGE,
    MANIFEST_DAMAGED,
    MANIFEST_MISSING,
    MANIFEST_WRONG,
    MARK_DAMAGED,
    MARK_MISSING,
    MARK_SLOT_DAMAGED,
    MARK_WRONG,
    RECOVERY_DUE,
    SEGMENT_MISSING,
    UNSUPPORTED,
)
from aurora_es.format.mark import SLOT_OFFSETS
from tests.care.harms import (
    Damage,
    Expected,
    changed_manifest,
    changed_mark,
    cut,
    flipped,
    in_the_place_of,
    longer,
    newer_version,
    of_another,
    removed,
)
from tests.care.stores import (
    COOLED,
    PLAIN,
    ROLLED,
    SEALED,
    segment,
)

MANIFESTS = [
    Damage(
        "manifest missing",
        SEALED,
        removed("manifest"),
        (Expected(MANIFEST_MISSING, "manifest", None, (), "a manifest", "no file"),),
    ),
    Damage(
        "manifest missing, cooled",
        COOLED,
        removed("manifest"),
        (Expected(MANIFEST_MISSING, "manifest", None),),
    ),
    Damage(
        "manifest cut",
        SEALED,
        cut("manifest", 700),
        (Expected(MANIFEST_DAMAGED, "manifest", 0, (), "valid checksums", "700 other bytes"),),
    ),
    Damage(
        "manifest empty", PLAIN, cut("manifest", 0), (Expected(MANIFEST_DAMAGED, "manifest", 0),)
    ),
    Damage(
        "manifest overlong",
        SEALED,
        longer("manifest", b" "),
        (Expected(MANIFEST_DAMAGED, "manifest", 0),),
    ),
    Damage(
        "manifest of another journal",
        SEALED,
        of_another(SEALED, "manifest"),
        (
            Expected(
                MANIFEST_WRONG, "manifest", 0, (), "the manifest of journal", "that of journal"
            ),
        ),
    ),
    Damage(
        "manifest of a newer version",
        SEALED,
        newer_version("manifest", 8, 28),
        (Expected(UNSUPPORTED, "manifest", 0, (), "", "found version 2"),),
    ),
    Damage(
        "manifest with an unknown flag",
        SEALED,
        newer_version("manifest", 12, 28, 0x40),
        (Expected(UNSUPPORTED, "manifest", 0, (), "", "flags 0x40"),),
    ),
    *(
        Damage(
            f"manifest, byte {at} flipped",
            COOLED,
            flipped("manifest", at),
            (Expected(MANIFEST_DAMAGED, "manifest", 0),),
        )
        for at in (0, 8, 12, 16, 20, 24, 28, 40, 1000)
    ),
    Damage(
        "manifest with another digest",
        SEALED,
        changed_manifest(
            lambda manifest: msgspec.structs.replace(
                manifest,
                segments=[
                    msgspec.structs.replace(manifest.segments[0], digest="00" * 32),
                    *manifest.segments[1:],
                ],
            )
        ),
        (Expected(MANIFEST_WRONG, "manifest", None, (), "segment 1 with digest", "digest 00"),),
    ),
    Damage(
        "manifest without its last run",
        SEALED,
        changed_manifest(
            lambda manifest: msgspec.structs.replace(
                manifest, runs=[run for run in manifest.runs if run.last_segment != 3]
            )
        ),
        # A reader by topics would look for the run for ever: such a list is not believed at all.
        (Expected(MANIFEST_DAMAGED, "manifest", 0, (), "valid checksums", "other bytes"),),
    ),
    Damage(
        "manifest retained from elsewhere",
        SEALED,
        changed_manifest(lambda manifest: msgspec.structs.replace(manifest, retained_from=5)),
        (Expected(MANIFEST_WRONG, "manifest", None, (), "retained from position 1", "5"),),
    ),
    Damage(
        "manifest of before the cooling",
        COOLED,
        changed_manifest(
            lambda manifest: msgspec.structs.replace(
                manifest,
                segments=[
                    msgspec.structs.replace(
                        manifest.segments[0],
                        revision=0,
                        size_bytes=768,
                        file_checksum=manifest.segments[0].last_checksum,
                    ),
                    *manifest.segments[1:],
                ],
            )
        ),
        (Expected(SEGMENT_MISSING, segment(1), None, (), "segment 1", segment(1, cooled=True)),),
    ),
]

MARKS = [
    *(
        Damage(
            f"mark missing, {store}",
            store,
            removed("mark"),
            (Expected(MARK_MISSING, "mark", None, (), "the mark", "no file"),),
        )
        for store in (PLAIN, ROLLED, SEALED, COOLED)
    ),
    Damage(
        "mark empty",
        SEALED,
        cut("mark", 0),
        (Expected(MARK_DAMAGED, "mark", 0, (), "a valid slot", "none"),),
    ),
    Damage(
        "mark cut to one slot",
        SEALED,
        cut("mark", 4096),
        (Expected(MARK_SLOT_DAMAGED, "mark", 4096),),
    ),
    Damage(
        "both slots damaged",
        SEALED,
        flipped("mark", 20, 4096 + 20),
        (Expected(MARK_DAMAGED, "mark", 0),),
    ),
    *(
        Damage(
            f"mark, byte {at} of the slot at {slot} flipped",
            SEALED,
            flipped("mark", slot + at),
            (Expected(MARK_SLOT_DAMAGED, "mark", slot),),
        )
        for slot in SLOT_OFFSETS
        for at in (0, 4, 8, 16, 24, 32, 36, 40, 48, 56)
    ),
    Damage(
        "mark, a byte that nobody reads",
        SEALED,
        flipped("mark", 64, 4000, 4160, 8191),
        (),
        is_harmless=True,
    ),
    Damage(
        "mark inside a frame",
        PLAIN,
        changed_mark(visible_offset=1600, durable_offset=1600),
        (Expected(MARK_WRONG, "mark", None, (), "between two frames", "offset 1600"),),
    ),
    Damage(
        "mark with another commit",
        PLAIN,
        changed_mark(visible_commit=9),
        (
            Expected(
                MARK_WRONG,
                "mark",
                None,
                (),
                "commit 10 and position 18",
                "commit 9 and position 18",
            ),
        ),
    ),
    Damage(
        "mark of another journal, far ahead",
        ROLLED,
        changed_mark(segment_number=9),
        (Expected(MARK_WRONG, "mark", None, (), "a mark in segment 4", "one in segment 9"),),
    ),
    Damage(
        "mark of before two rolls",
        ROLLED,
        changed_mark(
            segment_number=1,
            visible_offset=688,
            durable_offset=688,
            visible_commit=3,
            visible_position=4,
        ),
        (Expected(MARK_WRONG, "mark", None, (), "a mark in segment 4", "one in segment 1"),),
    ),
    Damage(
        "mark of before a sealing",
        SEALED,
        changed_mark(
            segment_number=3,
            visible_offset=768,
            durable_offset=768,
            visible_commit=7,
            visible_position=13,
        ),
        (Expected(RECOVERY_DUE, "mark", None, (), "a mark behind segment 3", "one in segment 3"),),
    ),
]

LOCKS = [
    Damage(
        "lock files missing",
        SEALED,
        removed("lock", "turn", "background.lock", "manifest.lock"),
        (),
        is_harmless=True,
    ),
    *(
        Damage(
            f"{what} in the place of {name}",
            SEALED,
            in_the_place_of(name, make),
            (Expected(FILE_STRANGE, name, None, (), expected, what),),
        )
        for name, what, make, expected in (
            ("lock", "a directory", Path.mkdir, "a lock file"),
            ("turn", "a link", lambda place: place.symlink_to("elsewhere"), "a lock file"),
            ("background.lock", "a directory", Path.mkdir, "a lock file"),
            ("manifest.lock", "a link", lambda place: place.symlink_to("mark"), "a lock file"),
            ("manifest.new", "a directory", Path.mkdir, "a file that is being written"),
            ("recovered", "a file", Path.touch, "a directory, for bytes that recovery cuts"),
        )
    ),
]
