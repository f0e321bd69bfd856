"""Bytes that changed under us: found, named, and never skipped, cut or served."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aurora_es import AuroraError, CorruptionError, Journal, RollCycle, UnsupportedFormatError
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import HEADER_BYTES, decode_header, encode_frame
from aurora_es.format.mark import (
    MARK_BYTES,
    SLOT_BYTES,
    SLOT_OFFSETS,
    Mark,
    encode_slot,
    slot_offset,
)
from aurora_es.format.names import MANIFEST, MARK, segment_name
from aurora_es.journal.logs import logger
from tests.format.test_golden_journal import write
from tests.journal.support import (
    Crowd,
    ScriptedFiles,
    effects_with,
    event,
    flip,
    mark_bytes,
    message,
    open_with,
    patch,
    segment_paths,
    snapshot,
    states,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a journal of three segments, with five records and tracking."""
    with open_with(tmp_path / "journal", roll_cycle=RollCycle.events(2)) as journal:
        for number in range(4):
            journal.append([event("a", number, b"%d" % number)])
        journal.append([event("a", 4, b"4")], tracking=("up", 5))
    assert len(segment_paths(tmp_path / "journal")) == 3
    return tmp_path / "journal"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recoveries are logged, thousands of times here."""
    monkeypatch.setattr(logger, "disabled", True)


def facts(journal: Journal) -> tuple[list[Any], dict[str, Any]]:
    """All that a journal holds."""
    return list(journal.read()), dict(journal.handle.state.index.tracking)


class Original:
    """The files of a journal, to be put back after each damage."""

    def __init__(self, path: Path) -> None:
        """Remember them."""
        self.path = path
        self.contents = {file.name: file.read_bytes() for file in path.iterdir()}
        with open_with(path, read_only=True) as journal:
            self.facts = facts(journal)

    def restore(self, *names: str) -> None:
        """Put them back, in place; those with ``names`` only, if there are any."""
        for name in names or self.contents:
            (self.path / name).write_bytes(self.contents[name])
        if not names:
            for file in self.path.iterdir():
                if file.name not in self.contents:
                    file.unlink()

    def outcome(self, *, read_only: bool) -> AuroraError | tuple[list[Any], dict[str, Any]]:
        """Open and read everything."""
        try:
            with open_with(
                self.path, effects_with(reserve_bytes=0), read_only=read_only
            ) as journal:
                return facts(journal)
        except AuroraError as error:
            return error


def check_damage(original: Original, name: str, offset: int) -> str:
    """Look at a damaged journal in both ways, restore it, and return "found" or "harmless"."""
    before = snapshot(original.path)
    seen = original.outcome(read_only=True)
    if name == MARK and not isinstance(seen, AuroraError):
        # With the newer slot gone, a reader that may not recover sees the older mark.
        assert seen[0] == original.facts[0][: len(seen[0])]
    else:
        check_outcome(seen, original, name, offset)
    opened = original.outcome(read_only=False)
    check_outcome(opened, original, name, offset)
    if isinstance(opened, AuroraError):
        assert snapshot(original.path) == before  # the reader changed nothing, either
        original.restore(name)
        return "found"
    original.restore()
    return "harmless"


def check_outcome(outcome: Any, original: Original, name: str, offset: int) -> None:
    """Either everything is as it was, or the error names the file and a place at or before."""
    if isinstance(outcome, CorruptionError):
        assert os.path.dirname(outcome.path) == str(original.path)
        # What a segment says of its predecessor is compared in the successor's header.
        places = {os.path.basename(path) for path in segment_paths(original.path)} | {name}
        assert os.path.basename(outcome.path) in places
        if os.path.basename(outcome.path) == name:
            assert outcome.offset <= offset
        assert f"expected {outcome.expected}, found {outcome.found}" in str(outcome)
    else:
        assert not isinstance(outcome, AuroraError), repr(outcome)
        assert outcome == original.facts


def damages(original: Original, sizes: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield every byte of the files, the unused bytes of the mark only here and there."""
    for name, size in sizes.items():
        for offset in range(size):
            is_slot = any(at <= offset < at + SLOT_BYTES for at in SLOT_OFFSETS)
            if name != MARK or is_slot or offset % 512 == 100:
                yield name, offset


def test_every_flipped_byte_is_found_or_harmless(tmp_path: Path) -> None:
    """Whichever byte of a closed journal changes: an error, or exactly what was appended."""
    write(tmp_path / "journal")
    original = Original(tmp_path / "journal")
    sizes = {name: len(content) for name, content in original.contents.items()}
    results: dict[str, list[int]] = {}
    for name, offset in damages(original, sizes):
        flip(original.path / name, offset, 1 << offset % 8)
        result = check_damage(original, name, offset)
        results.setdefault(f"{name[:10]} {result}", []).append(offset)
    # All that may change unseen is the padding of frames; of the mark, each slot alone.
    harmless = {key: offsets for key, offsets in results.items() if "harmless" in key}
    assert set(harmless) == {"0000000001 harmless", "0000000002 harmless", "mark harmless"}
    assert len(harmless["0000000001 harmless"]) + len(harmless["0000000002 harmless"]) < 40
    assert results["manifest found"] == list(range(sizes[MANIFEST]))


def test_every_cut_is_found(tmp_path: Path) -> None:
    """However short a file becomes, nothing that was acknowledged is missing unseen."""
    write(tmp_path / "journal")
    original = Original(tmp_path / "journal")
    for name, content in original.contents.items():
        for size in range(0, len(content), 5 if len(content) < 1000 else 64):
            os.truncate(original.path / name, size)
            result = check_damage(original, name, size)
            assert result == "found" or name == MARK


def test_every_missing_file_is_found(tmp_path: Path) -> None:
    """Each file but the lock files is missed, and named."""
    write(tmp_path / "journal")
    original = Original(tmp_path / "journal")
    for name in original.contents:
        (original.path / name).unlink()
        result = check_damage(original, name, 0)
        assert result == ("harmless" if original.contents[name] == b"" else "found"), name


# Each kind of place, with what is said of it


def expect_corruption(path: Path, name: str, offset: int, text: str, *, both: bool = True) -> None:
    """Check that readers and appenders name the place, and change nothing."""
    before = snapshot(path)
    for read_only in (True, False) if both else (False,):
        with pytest.raises(CorruptionError, match=text) as caught:
            look(path, read_only=read_only)
        assert (caught.value.path, caught.value.offset) == (str(path / name), offset)
        assert "nothing was changed. Next, `aurora-es verify " in str(caught.value)
    assert snapshot(path) == before


def look(path: Path, *, read_only: bool = False) -> list[bytes]:
    """Open and read all."""
    with open_with(path, read_only=read_only) as journal:
        return states(journal)


def names_of(path: Path) -> list[str]:
    """Names of the segments."""
    return [os.path.basename(segment) for segment in segment_paths(path)]


def test_a_missing_mark(path: Path) -> None:
    """The mark is evidence, not a cache: without it nobody appends."""
    (path / MARK).unlink()
    expect_corruption(path, MARK, 0, "the mark of a journal that has a manifest, found no file")


@pytest.mark.parametrize("content", [bytes(MARK_BYTES), b"", b"\xff" * MARK_BYTES])
def test_both_slots_bad(path: Path, content: bytes) -> None:
    """With no valid slot nobody knows what was acknowledged."""
    (path / MARK).write_bytes(content)
    expect_corruption(path, MARK, 0, "expected a valid slot in the mark, found none")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_segment(path: Path, number: int) -> None:
    """A segment that the mark vouches for is missed by its name."""
    name = names_of(path)[number]
    (path / name).unlink()
    expect_corruption(path, name, 0, "found no file")


def test_a_damaged_record_in_each_segment(path: Path) -> None:
    """A payload with one wrong byte is named by the offset of its frame."""
    for name in names_of(path):
        content = (path / name).read_bytes()
        frame = content.index(content[56:64], 136)
        flip(path / name, frame + HEADER_BYTES + 20)
        expect_corruption(path, name, frame, "expected payload checksum 0x")
        flip(path / name, frame + HEADER_BYTES + 20)
    assert len(look(path)) == 5


def test_a_damaged_checkpoint_frame(path: Path) -> None:
    """The tracking table at the start of a segment is covered as well."""
    name = names_of(path)[1]
    flip(path / name, 128 + HEADER_BYTES)
    expect_corruption(path, name, 128, "expected payload checksum")


def test_a_hole_of_zeros(path: Path) -> None:
    """Zeros where there was a commit are not the end of the journal."""
    name = names_of(path)[-1]
    content = (path / name).read_bytes()
    frame = content.index(content[56:64], 136)
    patch(path / name, frame, bytes(HEADER_BYTES))
    expect_corruption(path, name, frame, "expected a frame, found zeros")


def test_frames_in_another_order(path: Path) -> None:
    """Two valid frames that changed places are not what was written."""
    with open_with(path, roll_cycle=RollCycle.DAY) as journal:
        journal.append([event("b", 1, b"x")])
        journal.append([event("b", 2, b"y")])
        first = journal.statistics().tail_bytes
        journal.append([event("b", 3, b"z")])
        second = journal.statistics().tail_bytes
        journal.append([event("b", 4, b"z")])
        end = journal.statistics().tail_bytes
    name = names_of(path)[-1]
    content = (path / name).read_bytes()
    patch(path / name, first, content[second:end] + content[first:second])
    expect_corruption(path, name, first, "expected previous checksum")


def test_a_segment_behind_one_that_was_not_ended(path: Path) -> None:
    """The next segment exists only after its predecessor was closed: otherwise somebody meddled."""
    name = names_of(path)[-1]
    (path / segment_name(4, 6)).write_bytes((path / name).read_bytes())
    with pytest.raises(CorruptionError, match=r"expected an end frame, since 0000000004-.* exists"):
        look(path)


def test_a_successor_that_does_not_chain(path: Path) -> None:
    """A segment of a copy that has gone its own way since is not the next one of ours."""
    other = path.parent / "other"
    shutil.copytree(path, other)
    for journal_path, state in ((path, b"ours"), (other, b"theirs")):
        with open_with(journal_path) as journal:
            for _ in range(2):
                journal.append([message(state)])
    name = names_of(path)[3]
    assert name == names_of(other)[3]
    (path / name).write_bytes((other / name).read_bytes())
    expect_corruption(path, name, 0, "expected predecessor's end .*, found end")


def test_damage_under_a_living_handle(path: Path) -> None:
    """A handle that has indexed everything checks the bytes again when it reads them."""
    with open_with(path) as journal, open_with(path, read_only=True) as reader:
        assert len(states(journal)) == len(states(reader)) == 5
        name = names_of(path)[1]
        content = (path / name).read_bytes()
        salt = content[56:64]
        frame = content.index(salt, 136)
        length = content.index(salt, frame + 8) - frame
        for offset in range(frame, frame + length):
            flip(path / name, offset)
            for handle in (journal, reader):
                outcome = read_third(handle)
                if isinstance(outcome, CorruptionError):
                    assert (outcome.path, outcome.offset) == (str(path / name), frame)
                else:
                    assert outcome == b"2"
                    assert not any(content[offset : frame + length])
                assert states(handle, stop=2) == [b"0", b"1"]
                assert states(handle, start=5) == [b"4"]
            flip(path / name, offset)
        assert len(states(journal)) == 5


def read_third(journal: Journal) -> bytes | CorruptionError:
    """Read the record at position 3."""
    try:
        return states(journal, start=3, limit=1)[0]
    except CorruptionError as error:
        return error


HOSTILE = {
    "text that is no UTF-8": b"\x93\xc4\x00\xc0\x91\x94\xa1\xff\x01\xa1t\xc4\x00",
    "nested deeply": b"\x93\xc4\x00\xc0\x91\x95" + b"\x91" * 100_000 + b"\xc0\xa1t\xc4\x00",
    "a version beyond 64 bits": b"\x93\xc4\x00\xc0\x91\x94\xa1a\xcf"
    + b"\xff" * 8
    + b"\xa1t\xc4\x00",
    "no array": b"\x05",
    "too many records": b"\x93\xc4\x00\xc0\x92" + b"\x94\xc0\xc0\xa1t\xc4\x00" * 2,
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_payload_with_valid_checksums(path: Path, payload: bytes) -> None:
    """Bytes that only somebody with our encoder can have written are corruption as well."""
    name = names_of(path)[0]
    content = (path / name).read_bytes()
    offset = content.index(content[56:64], 136)
    decoded = decode_header(content, offset)
    assert decoded is not None
    header = decoded[0]._replace(
        stored_length=len(payload), raw_length=len(payload), payload_checksum=crc32c(payload)
    )
    patch(path / name, offset, encode_frame(header, payload)[0])
    expect_corruption(path, name, offset, "expected a payload that decodes")


# Torn or corrupt


def build_tail(path: Path, *, as_group: bool) -> tuple[list[int], bytes]:
    """Append four commits after noting the mark; returns their offsets, and the old mark."""
    files = ScriptedFiles()
    marks: list[bytes] = []
    crowd = Crowd(files, lambda: marks.append(mark_bytes(path)))
    with open_with(path, crowd.effects()) as journal:
        if as_group:
            # The first commit is still on its way when the old mark is taken; three join behind it.
            crowd.append(journal, [[message(b"%d" % number)] for number in range(4)])
        else:
            journal.append([message(b"0")])
            marks.append(mark_bytes(path))
            for number in range(1, 4):
                journal.append([message(b"%d" % number)])
    name = names_of(path)[0]
    content = (path / name).read_bytes()
    salt, at, offsets = content[56:64], 136, []
    while (at := content.find(salt, at + 8)) >= 0:
        offsets.append(at)
    assert len(offsets) == 4
    return offsets, marks[0]


def test_a_hole_below_what_was_synced_is_corruption(tmp_path: Path) -> None:
    """The commit behind the hole says that the lost bytes had been synced before it was written."""
    path = tmp_path / "journal"
    offsets, old_mark = build_tail(path, as_group=False)
    name = names_of(path)[0]
    patch(path / MARK, 0, old_mark)
    flip(path / name, offsets[1] + 100)
    expect_corruption(path, name, offsets[1], "since the frame at .* was synced", both=False)


@pytest.mark.parametrize(
    "damage", [lambda p, o: flip(p, o + 100), lambda p, o: patch(p, o, bytes(72))]
)
def test_a_hole_in_an_unsynced_write_is_a_torn_tail(
    tmp_path: Path, damage: Callable[[Path, int], None]
) -> None:
    """Pages of one group reach the disk in any order: frames behind the hole prove nothing."""
    path = tmp_path / "journal"
    offsets, _ = build_tail(path, as_group=True)
    name = names_of(path)[0]
    # The mark of before the group: its first commit was published by then.
    with open_with(path, read_only=True) as reader:
        mark = reader.handle.usable()
        assert mark is not None
        published = mark.mark.read()
    before_group = published._replace(
        sequence=published.sequence + 1,
        visible_commit=1,
        visible_position=1,
        visible_offset=offsets[1],
        durable_offset=offsets[1],
    )
    content = encode_twice(before_group)
    (path / MARK).write_bytes(content)
    damage(path / name, offsets[2])
    with open_with(path) as journal:
        found = states(journal)
        assert found[0] == b"0"
        assert len(found) == 2
        assert journal.statistics().adopted_commits == 1
        assert journal.append([message(b"new")]) == range(3, 4)
    kept = list((path / "recovered").iterdir())
    assert len(kept) == 1
    assert kept[0].stat().st_size <= offsets[3] - offsets[2] + 200


def encode_twice(mark: Mark) -> bytes:
    """Lay out a mark file whose both slots are valid."""
    content = bytearray(MARK_BYTES)
    for sequence in (mark.sequence - 1, mark.sequence):
        slot = encode_slot(mark._replace(sequence=sequence))
        content[slot_offset(sequence) : slot_offset(sequence) + SLOT_BYTES] = slot
    return bytes(content)


def test_recovery_keeps_the_newest_copies_of_what_it_cuts(tmp_path: Path) -> None:
    """Sixteen copies are kept, the oldest go first; nothing is kept of zeros."""
    path = tmp_path / "journal"
    with open_with(path) as journal:
        for number in range(20):
            journal.append([message()])
            patch(segment_paths(path)[0], journal.statistics().tail_bytes, b"debris %02d" % number)
        journal.append([message()])
        assert journal.statistics().cut_bytes == 20 * 9
    kept = sorted((path / "recovered").iterdir())
    assert [file.read_bytes() for file in kept] == [b"debris %02d" % n for n in range(4, 20)]


def test_errors_are_told_apart() -> None:
    """Unsupported is not corrupt, and both are ours."""
    assert not issubclass(UnsupportedFormatError, CorruptionError)
    assert issubclass(UnsupportedFormatError, AuroraError)
