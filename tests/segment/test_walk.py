"""Walking a segment: what is a commit, and why a walk stops where it does."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    FLAG_COMPATIBLE,
    FRAME_VERSION,
    HEADER_BYTES,
    KIND_CHECKPOINT,
    KIND_END,
    KIND_PACKED,
    KIND_RECORDS,
    FrameHeader,
    encode_frame,
)
from aurora_es.format.limits import FRAME_RAW_BYTES_MAX
from aurora_es.format.segment_header import (
    NO_KEY,
    SEGMENT_HEADER_BYTES,
    SEGMENT_MAGIC,
    SegmentHeader,
    encode_segment_header,
)
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.walk import Chain, Walk, start_of
from tests.journal.support import QuickFiles

SALT = b"pepper!!"
BASE_POSITION, BASE_COMMIT = 11, 6


class Segment:
    """Builds the bytes of a segment, frame by frame; any field can be made wrong."""

    def __init__(self, checkpoint: bytes = b"payload") -> None:
        """Begin with the header and a checkpoint."""
        self.data, self._previous = encode_segment_header(
            SegmentHeader(
                SEGMENT_MAGIC,
                1,
                0,
                0,
                2,
                bytes(16),
                BASE_POSITION,
                BASE_COMMIT,
                SALT,
                0,
                0,
                0,
                NO_KEY,
                500,
                BASE_POSITION - 1,
                7,
            )
        )
        self.position, self.commit = BASE_POSITION, BASE_COMMIT - 1
        self.add(KIND_CHECKPOINT, checkpoint)

    def add(self, kind: int = KIND_RECORDS, payload: bytes = b"payload", **wrong: Any) -> Segment:
        """Add a frame; by default the only one of its commit, with two records."""
        count = wrong.get("record_count", 2 if kind == KIND_RECORDS else 0)
        if kind == KIND_RECORDS and wrong.get("frame_number", 1) == 1:
            self.commit += 1
        fields = {
            "salt": SALT,
            "kind": kind,
            "flags": 0,
            "codec": 0,
            "version": FRAME_VERSION,
            "stored_length": len(payload),
            "raw_length": len(payload),
            "record_count": count,
            "first_position": self.position,
            "commit_number": self.commit,
            "timestamp": 1000 + self.commit,
            "synced_to": 0,
            "frame_number": 1,
            "frames_in_commit": 1,
            "previous_checksum": self._previous,
            "payload_checksum": crc32c(payload),
        }
        frame, self._previous = encode_frame(FrameHeader(**{**fields, **wrong}), payload)
        self.data += frame
        self.position += count
        return self

    def walk(self, tail: bytes = b"", end: int | None = None) -> tuple[list[int], Walk]:
        """Walk; returns the numbers of frames in each commit, and the finished walk."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.data + tail)
            file.flush()
            segment = SegmentFile(QuickFiles(), file.name, writable=False)
            size = len(self.data + tail) if end is None else end
            walk = Walk(segment, start_of(segment), size)
            return [len(frames) for frames in walk], walk

    def stop(self, tail: bytes = b"", end: int | None = None) -> tuple[str, int]:
        """Reason and offset of the end of a walk."""
        stop = self.walk(tail, end)[1].stop
        return stop.reason, stop.offset


@pytest.fixture
def segment() -> Segment:
    """Give a segment with a commit of one frame and one of three."""
    built = Segment().add()
    for number in (1, 2, 3):
        built.add(frame_number=number, frames_in_commit=3)
    return built


def test_a_walk_yields_commits(segment: Segment) -> None:
    """Checkpoint, commits and end frame come one by one; the chain stands behind the last."""
    segment.add(KIND_END)
    commits, walk = segment.walk()
    assert commits == [1, 1, 3, 1]
    assert walk.stop.reason == "ended"
    chain = walk.chain
    assert chain.offset == len(segment.data)
    assert (chain.commit_number, chain.position) == (BASE_COMMIT + 1, BASE_POSITION + 7)
    assert (chain.frame_count, chain.ended, chain.timestamp) == (6, True, 1007)
    assert chain.first_timestamp == 1006


@pytest.mark.parametrize("tail", [b"", bytes(8), bytes(4096)])
def test_the_clean_ends(segment: Segment, tail: bytes) -> None:
    """The end of the file, or zeros, end a walk without any complaint."""
    assert segment.stop(tail) == ("zeros" if tail else "end", len(segment.data))


def test_a_walk_ends_where_it_is_told(segment: Segment) -> None:
    """Bytes at or beyond the end that was given are not looked at."""
    end = len(segment.data)
    segment.add().add()
    assert segment.stop(end=end) == ("end", end)


def test_every_cut_ends_before_the_unfinished_commit(segment: Segment) -> None:
    """Wherever a file is cut, the chain stands behind the last complete commit."""
    whole = len(segment.data)
    starts = [SEGMENT_HEADER_BYTES]
    _, walk = segment.walk()
    for frames in ([1], [1, 1], [1, 1, 3]):
        starts.append(starts[-1] + 80 * frames[-1])
    assert starts[-1] == whole == walk.chain.offset
    for size in range(SEGMENT_HEADER_BYTES, whole):
        _, walk = segment.walk(end=size)
        assert walk.chain.offset == max(start for start in starts if start <= size)
        assert walk.stop.reason in {"end", "short"}
        assert not walk.chain.ended


@pytest.mark.parametrize(
    ("wrong", "reason", "expected"),
    [
        ({"salt": b"allspice"}, "invalid", "salt and checksum"),
        ({"previous_checksum": 1}, "invalid", "previous checksum"),
        ({"first_position": 1}, "invalid", "position"),
        ({"first_position": 10**9}, "invalid", "position"),
        ({"commit_number": BASE_COMMIT + 1}, "invalid", "commit 8"),
        ({"commit_number": BASE_COMMIT + 3}, "invalid", "commit 8"),
        ({"frame_number": 0}, "invalid", "frame 1 of"),
        ({"frame_number": 2, "frames_in_commit": 2}, "invalid", "frame 1 of"),
        ({"frames_in_commit": 0}, "invalid", "of"),
        ({"payload_checksum": 0}, "invalid", "payload checksum 0x00000000"),
        ({"stored_length": FRAME_RAW_BYTES_MAX + 1}, "invalid", "at most"),
        ({"stored_length": 100}, "short", "a payload of 100 bytes"),
        ({"version": 2}, "unsupported", "frame version 1"),
        ({"codec": 3}, "unsupported", "a known codec"),
        ({"kind": KIND_CHECKPOINT}, "unsupported", "a known kind"),
        ({"kind": KIND_PACKED}, "unsupported", "a known kind"),
        ({"kind": KIND_PACKED, "codec": 3}, "unsupported", "a known kind"),
        ({"kind": 0}, "unsupported", "a known kind"),
    ],
)
def test_a_wrong_field(segment: Segment, wrong: dict[str, Any], reason: str, expected: str) -> None:
    """A frame whose checksums hold but whose fields cannot be stops the walk in front of it."""
    offset = len(segment.data)
    segment.add(**wrong)
    commits, walk = segment.walk()
    assert commits == [1, 1, 3]
    assert (walk.stop.reason, walk.stop.offset) == (reason, offset)
    assert expected in walk.stop.expected
    assert walk.chain.offset == offset


def test_an_unknown_kind_with_the_compatible_flag_is_passed_over(segment: Segment) -> None:
    """Readers that do not know such a frame go on behind it."""
    segment.add(200, flags=FLAG_COMPATIBLE, commit_number=segment.commit).add()
    commits, walk = segment.walk()
    assert commits == [1, 1, 3, 1, 1]
    assert walk.chain.commit_number == BASE_COMMIT + 2


def test_a_commit_whose_frames_differ_in_count(segment: Segment) -> None:
    """The frames of one commit agree on how many they are."""
    offset = len(segment.data)
    segment.add(frame_number=1, frames_in_commit=3).add(frame_number=2, frames_in_commit=2)
    assert segment.walk()[1].stop.reason == "invalid"
    assert segment.walk()[1].chain.offset == offset


@pytest.mark.parametrize("payload_bytes", range(1, 8))
def test_a_frame_without_all_of_its_padding_is_unfinished(payload_bytes: int) -> None:
    """What goes behind a frame begins at its end, which has to be in the file: else zeros are missing."""
    segment = Segment().add()
    whole = len(segment.data)
    segment.add(payload=bytes([7]) * payload_bytes)
    for end in range(len(segment.data) - 8 + payload_bytes, len(segment.data)):
        commits, walk = segment.walk(end=end)
        assert (commits, walk.chain.offset) == ([1, 1], whole)
        assert (walk.stop.reason, walk.stop.offset) == ("short", whole)
        assert "and its padding" in walk.stop.expected
    assert segment.walk()[0] == [1, 1, 1]


def test_nothing_follows_an_end_frame(segment: Segment) -> None:
    """A walk stops behind the end frame, whatever is there."""
    end = len(segment.add(KIND_END).data)
    segment.add()
    assert segment.stop() == ("ended", end)


@pytest.mark.parametrize("payload_bytes", [0, 1, 7, 8, 300_000, 3 << 20])
def test_payloads_of_all_sizes(payload_bytes: int) -> None:
    """Frames that are larger than the block that is read at a time are read whole."""
    segment = Segment()
    for _ in range(3):
        segment.add(payload=bytes(payload_bytes)).add()
    commits, walk = segment.walk(bytes(100))
    assert commits == [1] * 7
    assert walk.stop.reason == "zeros"


def test_a_walk_goes_on_from_a_chain(segment: Segment) -> None:
    """A second walk that starts where the first one ended sees what was added since."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(segment.data)
        file.flush()
        opened = SegmentFile(QuickFiles(), file.name, writable=False)
        chain: Chain = start_of(opened)
        assert len(list(Walk(opened, chain, len(segment.data)))) == 3
        begin = len(segment.data)
        segment.add().add(KIND_END)
        file.write(segment.data[begin:])
        file.flush()
        assert [len(frames) for frames in Walk(opened, chain, len(segment.data))] == [1, 1]
        assert chain.ended


@given(st.binary(max_size=300), st.integers(0, 12))
def test_random_bytes_end_a_walk(tail: bytes, records: int) -> None:
    """Whatever follows the last commit, the walk ends there and raises nothing."""
    segment = Segment()
    for _ in range(records):
        segment.add()
    commits, walk = segment.walk(tail)
    assert len(commits) == records + 1
    assert walk.chain.offset == len(segment.data)


@given(st.integers(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 4 * 80 - 1), st.integers(1, 255))
def test_a_changed_byte_ends_the_walk_before_it(offset: int, mask: int) -> None:
    """No commit with a wrong byte is yielded, unless the byte is padding."""
    segment = Segment()
    for _ in range(3):
        segment.add(payload=b"eight by")
    data = bytearray(segment.data)
    data[offset] ^= mask
    segment.data = bytes(data)
    frame = (offset - SEGMENT_HEADER_BYTES) // 80
    is_padding = frame == 0 and (offset - SEGMENT_HEADER_BYTES) >= HEADER_BYTES + 7
    commits, walk = segment.walk()
    if is_padding:
        assert len(commits) == 4
    else:
        assert walk.chain.offset == SEGMENT_HEADER_BYTES + frame * 80
        assert walk.stop.reason in {"invalid", "zeros", "short"}


def test_the_salt_tells_segments_apart() -> None:
    """Frames of another segment with the same numbers are not taken for ours."""
    ours, theirs = Segment(), Segment()
    theirs.add(salt=b"allspice")
    ours.data += theirs.data[len(ours.data) :]
    assert ours.stop()[0] == "invalid"


@given(
    st.lists(st.sampled_from(["one", "two", "none", "skipped"]), max_size=12),
    st.none() | st.tuples(st.integers(0), st.integers(1, 255)),
)
def test_commits_taken_at_once(kinds: list[str], damage: tuple[int, int] | None) -> None:
    """Who takes whole commits at once gets the same commits and chain, and stops in the same place."""
    segment = Segment()
    begin = len(segment.data)
    for number, kind in enumerate(kinds):
        if kind == "two":
            segment.add(frame_number=1, frames_in_commit=2).add(frame_number=2, frames_in_commit=2)
        elif kind == "skipped":
            segment.add(99, flags=FLAG_COMPATIBLE)
        else:
            segment.add(record_count=int(kind == "one"), timestamp=5000 - number)
    if damage is not None and kinds:
        at = begin + damage[0] % (len(segment.data) - begin)
        data = bytearray(segment.data)
        data[at] ^= damage[1]
        segment.data = bytes(data)
    with tempfile.NamedTemporaryFile() as file:
        file.write(segment.data)
        file.flush()
        opened = SegmentFile(QuickFiles(), file.name, writable=False)
        walk = Walk(opened, start_of(opened), len(segment.data))
        expected = [(frames[0].offset, frames[-1].payload) for frames in walk]
        other = Walk(opened, start_of(opened), len(segment.data))
        found = []
        while True:
            found += [(offset, payload) for offset, _, payload, _ in other.take_whole()]
            frames = other.next_commit()
            if frames is None:
                break
            found.append((frames[0].offset, frames[-1].payload))
    assert (found, other.chain, other.stop) == (expected, walk.chain, walk.stop)
