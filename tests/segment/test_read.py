"""Reading single frames: every wrong byte, and every payload that is none, is an error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aurora_es.errors import CorruptionError
from aurora_es.format.frame import HEADER_BYTES, KIND_CHECKPOINT, KIND_PACKED, frame_bytes
from aurora_es.format.payload import RecordData, encode_payload
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.read import decode_frame, read_groups, read_record, read_wanted
from tests.journal.support import QuickFiles, flip
from tests.segment.test_walk import BASE_POSITION, Segment

COMMIT_ID = bytes(16)
ROWS: list[tuple[Any, ...]] = [("a", 1, "first", b"1"), (bytes(16), -5, "second", b"22", ("tag",))]
RECORDS = [RecordData(*row) for row in ROWS]
OFFSET = SEGMENT_HEADER_BYTES + frame_bytes(len(b"payload"))


class Frame:
    """A segment file with one frame of records."""

    def __init__(self, path: Path, payload: bytes, **wrong: Any) -> None:
        """Write it."""
        path.write_bytes(Segment().add(payload=payload, **wrong).data)
        self.path = path
        self.length = frame_bytes(len(payload))
        self.file = SegmentFile(QuickFiles(), str(path), writable=False)

    def groups(self) -> Any:
        """Read all records, commit by commit; gives them or the error."""
        try:
            return read_groups(self.file, OFFSET, self.length, BASE_POSITION)
        except CorruptionError as error:
            return error

    def read(self) -> Iterator[Any]:
        """Read all records, and each alone; yields results or errors."""
        for number in range(3):
            try:
                if number == 2:
                    yield read_wanted(
                        self.file,
                        OFFSET,
                        self.length,
                        BASE_POSITION,
                        (BASE_POSITION, BASE_POSITION),
                    )[0]
                else:
                    yield read_record(self.file, OFFSET, self.length, BASE_POSITION, number)
            except CorruptionError as error:
                yield error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a segment that does not exist yet."""
    return tmp_path / "segment"


@pytest.mark.parametrize("frame_number", [1, 2])
def test_frames_and_records(path: Path, frame_number: int) -> None:
    """The first frame of a commit and further ones give the same records."""
    payload = encode_payload((COMMIT_ID, None, ROWS) if frame_number == 1 else ROWS)
    frame = Frame(path, payload, frame_number=frame_number, frames_in_commit=2)
    assert list(frame.read()) == [*RECORDS, RECORDS]


def test_every_flipped_byte_is_an_error(path: Path) -> None:
    """Whichever byte of header or payload is wrong, nothing is answered from it."""
    payload = encode_payload((COMMIT_ID, None, ROWS))
    frame = Frame(path, payload)
    for at in range(HEADER_BYTES + len(payload)):
        flip(path, OFFSET + at, 1 << at % 8)
        for outcome in frame.read():
            assert isinstance(outcome, CorruptionError)
            assert (outcome.path, outcome.offset) == (str(path), OFFSET)
        flip(path, OFFSET + at, 1 << at % 8)
    assert list(frame.read()) == [*RECORDS, RECORDS]


def test_a_file_that_ends_early_is_an_error(path: Path) -> None:
    """A file that was cut is not read beyond its end."""
    payload = encode_payload((COMMIT_ID, None, ROWS))
    frame = Frame(path, payload)
    content = path.read_bytes()
    for size in range(OFFSET, OFFSET + HEADER_BYTES + len(payload)):
        path.write_bytes(content[:size])
        assert all(isinstance(outcome, CorruptionError) for outcome in frame.read())


def test_another_position_is_an_error(path: Path) -> None:
    """A frame that is not the one the index meant is not taken for it."""
    frame = Frame(path, encode_payload((COMMIT_ID, None, ROWS)), first_position=3)
    assert all(isinstance(outcome, CorruptionError) for outcome in frame.read())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        encode_payload((COMMIT_ID, None)),
        encode_payload((COMMIT_ID, None, 5)),
        encode_payload((COMMIT_ID, None, [])),
        encode_payload((COMMIT_ID, None, [5, 6])),
        encode_payload((COMMIT_ID, None, [("a", 1, "t"), ("a", 1, "t")])),
        encode_payload((COMMIT_ID, None, [("a", 1, 5, b""), ("a", 1, b"t", b"")])),
        b"\x93\xc4\x00\xc0\x92" + b"\x94\xc0\xc0\xa1\xff\xc4\x00" * 2,
        b"\x93\xc4\x00\xc0\x92"
        + (b"\x97\xc0\xc0\xa1t\xc4\x00\x90\xc0" + b"\x81\xa1a" * 90_000) * 2,
        b"\x93\xc4\x00\xc0" + b"\xdd\xff\xff\xff\xff",
    ],
    ids=[
        "nothing",
        "unused code",
        "too few fields",
        "no records",
        "too few records",
        "numbers",
        "records too short",
        "wrong types",
        "not UTF-8",
        "nested deeply",
        "huge count",
    ],
)
def test_a_payload_that_is_none_is_an_error(path: Path, payload: bytes) -> None:
    """Bytes whose checksums hold but which are no records are named, and harm nothing."""
    frame = Frame(path, payload)
    for outcome in frame.read():
        if outcome != []:  # an array without records is one
            assert isinstance(outcome, CorruptionError)
            assert outcome.offset == OFFSET


@pytest.mark.parametrize(
    ("codec", "raw_length"), [(1, 100), (2, 100), (1, 1 << 31), (2, 1 << 31), (9, 10)]
)
def test_a_payload_that_cannot_be_decompressed_is_an_error(
    path: Path, codec: int, raw_length: int
) -> None:
    """A wrong raw length, wrong bytes or an unknown codec are named."""
    frame = Frame(path, b"not compressed at all", codec=codec, raw_length=raw_length)
    for outcome in frame.read():
        assert isinstance(outcome, CorruptionError)
        assert "after decompression" in str(outcome)


TABLE = [[6, COMMIT_ID, 1, 50, None], [7, COMMIT_ID, 0, 60, None], [8, COMMIT_ID, 1, 70, None]]


def packed(path: Path, payload: bytes, **wrong: Any) -> Frame:
    """Write a packed frame."""
    fields = {"kind": KIND_PACKED, "record_count": 2, "commit_number": 6, "timestamp": 70}
    return Frame(path, payload, **{**fields, **wrong})


def test_packed_frames(path: Path) -> None:
    """Records of a packed frame come alone, all together, or by commit; each has its own time."""
    frame = packed(path, encode_payload((TABLE, ROWS)))
    assert list(frame.read()) == [*RECORDS, RECORDS]
    assert frame.groups() == [
        (BASE_POSITION, 50, RECORDS[:1]),
        (BASE_POSITION + 1, 70, RECORDS[1:]),
    ]
    assert decode_frame(frame.file, path.read_bytes()[OFFSET:], 0, OFFSET, BASE_POSITION)[1] == 70


@pytest.mark.parametrize("frame_number", [1, 2])
def test_groups_of_a_records_frame(path: Path, frame_number: int) -> None:
    """A frame of a raw segment is one group, with the time of its header."""
    payload = encode_payload((COMMIT_ID, None, ROWS) if frame_number == 1 else ROWS)
    frame = Frame(path, payload, frame_number=frame_number, frames_in_commit=2, timestamp=44)
    assert frame.groups() == [(BASE_POSITION, 44, RECORDS)]


def test_every_flipped_byte_of_a_packed_frame_is_an_error(path: Path) -> None:
    """Whichever byte is wrong, in a table or a record, nothing is answered from it."""
    payload = encode_payload((TABLE, ROWS))
    frame = packed(path, payload)
    for at in range(HEADER_BYTES + len(payload)):
        flip(path, OFFSET + at, 1 << at % 8)
        for outcome in (*frame.read(), frame.groups()):
            assert isinstance(outcome, CorruptionError)
            assert (outcome.path, outcome.offset) == (str(path), OFFSET)
        flip(path, OFFSET + at, 1 << at % 8)
    assert list(frame.read()) == [*RECORDS, RECORDS]


@pytest.mark.parametrize(
    ("payload", "wrong"),
    [
        (b"", {}),
        (b"\xc1", {}),
        (encode_payload(TABLE), {}),
        (encode_payload((5, 5)), {}),
        (encode_payload((5, [5, 5])), {}),
        (encode_payload(([], [])), {}),
        (encode_payload((TABLE, ROWS[:1], ROWS)), {}),
        (encode_payload(([[6, COMMIT_ID, 1]], ROWS)), {"record_count": 1}),
        (encode_payload(([[6, COMMIT_ID, -1, 5, None]], [5, 5])), {}),
        (encode_payload((TABLE, [5, 5])), {}),
        (encode_payload((TABLE[:2], ROWS)), {"record_count": 1}),
        (b"\x92\xdd\xff\xff\xff\xff", {}),
        (encode_payload((TABLE, ROWS)), {"codec": 3, "raw_length": 1 << 24}),
        (encode_payload((TABLE, ROWS)), {"kind": KIND_CHECKPOINT}),
        (encode_payload((70, [])), {"kind": KIND_CHECKPOINT, "record_count": 0}),
        (encode_payload((TABLE, ROWS)), {"kind": 99}),
    ],
)
def test_a_packed_payload_that_is_none_is_an_error(
    path: Path, payload: bytes, wrong: dict[str, Any]
) -> None:
    """Bytes whose checksums hold but which are no packed records are named, and harm nothing."""
    frame = packed(path, payload, **wrong)
    outcomes = [*frame.read(), frame.groups()]
    assert isinstance(frame.groups(), CorruptionError)
    for outcome in outcomes:
        # One reader may pass over what another one needs; what it answers is right then.
        assert isinstance(outcome, CorruptionError) or outcome in [*RECORDS, RECORDS]
