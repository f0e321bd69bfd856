"""All targets for hostile bytes, and bytes that once found something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fault import hostile, hostile_parsers, hostile_records, hostile_trees

if TYPE_CHECKING:
    from collections.abc import Callable

TARGETS: dict[str, Callable[[bytes], None]] = {
    **hostile.TARGETS,
    **hostile_records.TARGETS,
    **hostile_parsers.TARGETS,
}
# Of these an execution takes tens of milliseconds, and may write files: a test module of its own.
TREES: dict[str, Callable[[bytes], None]] = {"trees": hostile_trees.attack}

# Each ended a run with an error that is none of the package's, until it was put right.
FOUND = (
    ("manifest", bytes.fromhex("46ca00ff33")),  # a revision of more than 32 bits
    ("frame header", bytes.fromhex("ffff72053b3115ff1515")),  # a time behind the year 9999
    ("checkpoint of a view", b"De\x108\xa8\x8c\x80o\xb5=V5"),  # retention looks at it, too
    ("lines of JSON", bytes.fromhex("ff80060000000040")),  # a part that is none, for a directory
    # Nested too deeply.
    ("stretch of ids", b"\x00" + b'\x01\x00\x00\x04"x":' + b"\x05\x00\x00\xff["),
    ("record of cursors", b"\x0e" + b"\x00\x00\x01\x01\x92" + b"\x03\x00\x00\xff\x91"),
)
