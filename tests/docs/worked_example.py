"""The worked example of docs/format/example.md: a small journal, and its bytes with annotations.

``python -m tests.docs.worked_example`` writes its generated parts into the page again.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.files.layer import Effects, SystemFiles
from aurora_es.journal.creation import Settings
from tests.docs.pages import FORMAT_PAGES, Field, field_tables

PAGE = FORMAT_PAGES / "example.md"
GENERATED = re.compile(
    r"(?<=<!-- bytes: )(?P<name>[a-z0-9 ]+)(?: -->\n)(?P<text>.*?)(?=<!-- /bytes -->)", re.DOTALL
)
START = 1_793_523_600_000_000  # 2026-11-01 09:00:00 UTC
SECOND = 1_000_000
GENESIS_ID = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
ALICE = UUID("a11ce000-0000-4000-8000-000000000001")
FIRST_SEGMENT = "0000000001-00000000000000000001.segment"
SECOND_SEGMENT = "0000000002-00000000000000000004.segment"

COMMITS: list[tuple[list[Record], tuple[str, int] | None]] = [
    ([Record(topic="Opened", state=b"{}", originator_id=ALICE, originator_version=1)], None),
    (
        [
            Record(
                topic="Deposited",
                state=b'{"amount":5}',
                originator_id=ALICE,
                originator_version=2,
                tags=("cash",),
                uuid=UUID(int=0xE1),
                metadata={"till": 3},
            ),
            Record(topic="Note", state=b"closed at noon"),
        ],
        ("orders", 7),
    ),
    ([Record(topic="Opened", state=b"{}", originator_id="bob", originator_version=1)], None),
]


class FixedRandomness:
    """Stands for ``os.urandom``: salts, a genesis id; commit ids come in blocks."""

    def __init__(self) -> None:
        """Start anew."""
        self._salts = 0

    def __call__(self, count: int) -> bytes:
        """Give ``count`` bytes."""
        if count == 8:
            self._salts += 1
            return b"SALT-%03d" % self._salts
        if count == len(GENESIS_ID):
            return GENESIS_ID
        # Ids are used up from the end of a block: whatever its length, they begin with 1.
        return b"".join(b"commit id %06d" % number for number in range(count // 16, 0, -1))


class FixedClock:
    """Stands for the clock; moved by hand."""

    now = START

    def __call__(self) -> int:
        """Tell the time in microseconds."""
        return self.now


def write_journal(path: Path) -> None:
    """Write the example's journal."""
    clock = FixedClock()
    effects = Effects(SystemFiles(), clock=clock, random_bytes=FixedRandomness())
    settings = Settings(sync=Sync.ALWAYS, roll_cycle=RollCycle.events(3))
    with Journal(effects, str(path), settings) as journal:
        for records, tracking in COMMITS:
            clock.now += SECOND
            journal.append(records, tracking=tracking)


def hex_lines(data: bytes, offset: int) -> Iterator[str]:
    """16 bytes a line: offset, bytes, text."""
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{offset + at:06x}  {row.hex(' '):47}  {text}"


def value_text(field: Field, data: bytes) -> str:
    """What a field's bytes mean."""
    word = field.kind.partition(" ")[0]
    if word in {"bytes", "zero"}:
        return "zeros" if not any(data) else data.hex(" ")
    number = int.from_bytes(data, "little")
    if "checksum" in field.name or field.name == "magic":
        return f"0x{number:08x}"
    if number and field.name in {"timestamp", "created at"}:
        time = datetime.fromtimestamp(number / SECOND, UTC)
        return f"{number}: {time:%Y-%m-%d %H:%M:%S} UTC"
    return str(number)


def table(name: str, data: bytes, offset: int) -> list[str]:
    """A structure's fields with their values, after the field table of its page."""
    lines = ["| at | bytes | field | value |", "|---|---|---|---|"]
    for field in field_tables()[name]:
        part = data[offset + field.offset : offset + field.offset + field.size]
        label = field.name or "zero"
        value = value_text(field, part)
        lines.append(f"| {offset + field.offset:#06x} | {field.size} | {label} | {value} |")
    return lines


def msgpack_text(value: object) -> str:
    """A decoded MessagePack value in the form in which the page shows it."""
    if isinstance(value, list):
        return f"[{', '.join(msgpack_text(item) for item in value)}]"
    if isinstance(value, dict):
        items = (f"{msgpack_text(key)}: {msgpack_text(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, bytes):
        text = value.decode("ascii", "replace")
        shown = f"'{text}'" if text.isprintable() and text.isascii() else value.hex(" ")
        return f"bin({shown})"
    return "nil" if value is None else json.dumps(value)


def payload_lines(payload: object) -> Iterator[str]:
    """A payload, with each record on a line of its own."""
    assert isinstance(payload, list)
    *fields, last = payload
    if not isinstance(last, list) or not last:
        yield msgpack_text(payload)
        return
    yield f"[ {', '.join(msgpack_text(field) for field in fields)},"
    for index, item in enumerate(last):
        start, end = ("[" if index == 0 else " "), ("," if item is not last[-1] else "] ]")
        yield f"  {start} {msgpack_text(item)}{end}"


def fence(lines: Iterator[str] | list[str]) -> list[str]:
    """A block of text."""
    return ["```text", *(line.rstrip() for line in lines), "```"]


def structure(name: str, data: bytes, offset: int, size: int) -> list[str]:
    """Bytes and fields of a structure."""
    dump = fence(hex_lines(data[offset : offset + size], offset))
    return [*dump, "", *table(name, data, offset)]


def frame_ends(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset, payload's end and end of every frame of a segment."""
    offset = 128
    while data[offset : offset + 8] == data[56:64]:
        end = offset + 72 + int.from_bytes(data[offset + 12 : offset + 16], "little")
        yield offset, end, (end + 7) & ~7
        offset = (end + 7) & ~7


def frame_text(data: bytes, offset: int, payload_end: int, end: int) -> list[str]:
    """Bytes, fields and decoded payload of a frame."""
    payload = msgspec.msgpack.decode(data[offset + 72 : payload_end])
    return [
        *structure("frame header", data, offset, end - offset),
        "",
        f"Payload of {payload_end - offset - 72} bytes, and {end - payload_end} zeros:",
        "",
        *fence(payload_lines(payload)),
    ]


def parts(path: Path) -> dict[str, str]:
    """The generated parts of the page, by name."""
    files = {file.name: file.read_bytes() for file in sorted(path.iterdir())}
    first, second = files[FIRST_SEGMENT], files[SECOND_SEGMENT]
    mark, manifest = files["mark"], files["manifest"]
    found = {
        "files": fence([f"{len(data):>9}  {name}" for name, data in files.items()]),
        "manifest": structure("manifest header", manifest, 0, 32),
        "manifest payload": fence([manifest[32:].decode()]),
        "mark 0": structure("mark slot", mark, 0, 64),
        "mark 1": structure("mark slot", mark, 4096, 64),
        "segment 1 header": structure("segment header", first, 0, 128),
        "segment 2 header": structure("segment header", second, 0, 128),
    }
    for number, data in ((1, first), (2, second)):
        for index, (offset, payload_end, end) in enumerate(frame_ends(data), 1):
            name = f"segment {number} frame {index}"
            found[name] = frame_text(data, offset, payload_end, end)
    return {name: "\n" + "\n".join(lines) + "\n\n" for name, lines in found.items()}


def main() -> int:
    """Write the parts into the page."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        write_journal(path)
        found = parts(path)
    text = PAGE.read_text("utf-8")
    text = GENERATED.sub(lambda match: f"{match['name']} -->\n{found[match['name']]}", text)
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
