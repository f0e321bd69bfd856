"""What a handle makes of commits that others have appended, many at once, of all kinds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import CompressionFormat, ConflictError, CorruptionError, Journal, Record, Sync
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import FRAME_VERSION, KIND_RECORDS, FrameHeader, encode_frame
from aurora_es.format.payload import encode_payload
from aurora_es.index.tail import TailIndex
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.handle import Handle
from aurora_es.segment.walk import start_of
from tests.journal.support import message, open_with, states

OWNER = UUID(int=7)
KINDS = ["message", "messages", "event", "mixed", "tracked", "long"]


def records_of(kind: str, version: int) -> list[Record]:
    """The records of a commit of a kind; events of it have ``version``."""
    event = Record(topic="e", state=b"s", originator_id=OWNER, originator_version=version)
    named = Record(topic="e", state=b"s", originator_id="name", originator_version=version)
    further = Record(topic="e", state=b"s", originator_id="further", originator_version=version)
    of_kind = {
        "message": [message(b"%d" % version)],
        "messages": [message(b"a"), Record(topic="t", state=b"b", tags=("key",))],
        "event": [event],
        "mixed": [message(b"before"), named, message(b"between"), further],
        "tracked": [message(b"tracked")],
        "long": [message(bytes(200))] * 250,  # more than one frame, and than a short array
    }
    return of_kind[kind]


def append(journal: Journal, kind: str, version: int) -> None:
    """Append a commit of a kind."""
    tracking = ("upstream", version) if kind == "tracked" else None
    journal.append(records_of(kind, version), tracking=tracking)


def contents(handle: Handle) -> list[Any]:
    """All that a handle knows of the journal; what it has looked up is its own affair."""
    state = handle.state
    index = state.index
    names = [name for name in TailIndex.__slots__ if name != "before"]
    tails = [{name: getattr(tail, name) for name in names} for tail in index.parts[1]]
    return [state.chain, state.indexed_commit, index.position, index.tracking, tails]


@given(
    st.lists(st.lists(st.sampled_from(KINDS), max_size=12), min_size=1, max_size=5),
    st.sampled_from(list(CompressionFormat)),
)
def test_a_handle_knows_what_the_appender_knows(
    drawn: list[list[str]], compression: CompressionFormat
) -> None:
    """Whatever comes between two looks: the index is as that of who has appended it."""
    version = 0
    with (
        tempfile.TemporaryDirectory() as path,
        open_with(f"{path}/j", compression=compression) as ours,
        open_with(f"{path}/j", compression=compression) as other,
    ):
        other.append([message(b"first")])
        for kinds in drawn:
            for kind in kinds:
                version += 1
                append(other, kind, version)
            assert ours.last_position == other.last_position
            assert contents(ours.handle) == contents(other.handle)
        assert states(ours) == states(other)


@pytest.mark.parametrize("sync", [Sync.ALWAYS, Sync.NEVER], ids=str)
def test_appends_behind_commits_of_others(tmp_path: Path, sync: Sync) -> None:
    """Messages that others have sent come between, and conflicts with their events are seen."""
    with (
        open_with(tmp_path / "j", sync=sync) as ours,
        open_with(tmp_path / "j", sync=sync) as other,
    ):
        for version in range(1, 40):
            for kind in KINDS:
                append(other, kind, version)
            with pytest.raises(ConflictError):
                ours.append(records_of("event", version))
            assert ours.append([message(b"ours")])[0] == other.last_position
        assert states(ours) == states(other)
        assert contents(ours.handle) == contents(other.handle)


def test_a_message_of_an_interrupted_group_is_found(tmp_path: Path) -> None:
    """Its commit id is looked for among messages, too, which else are not decoded."""
    with open_with(tmp_path / "j") as ours, open_with(tmp_path / "j") as other:
        other.append([message(b"first")])
        assert ours.last_position == other.last_position
        ids: list[bytes] = []
        draw = other.handle.next_commit_id

        def note() -> bytes:
            ids.append(draw())
            return ids[-1]

        other.handle.next_commit_id = note  # type: ignore[method-assign]
        for number in range(3):
            other.append([message(b"%d" % number)])
        ours.handle.unresolved[ids[1]] = 0
        assert ours.last_position == other.last_position
        assert ours.handle.unresolved[ids[1]] == 3 + 1


def test_messages_that_are_walked_again_are_not_indexed_again(tmp_path: Path) -> None:
    """A commit goes into the index once, by its number, wherever the walk begins."""
    with open_with(tmp_path / "j") as ours, open_with(tmp_path / "j") as other:
        for kind in ("message", "message", "event", "message"):
            append(other, kind, 1)
        assert ours.last_position == other.last_position
        before = contents(ours.handle)[1:]
        ours.handle.state.chain = start_of(ours.handle.segment(1, 1))
        append(other, "message", 2)
        append(other, "message", 3)
        assert ours.last_position == other.last_position
        assert contents(ours.handle) == contents(other.handle)
        assert contents(ours.handle)[1:] != before


@pytest.mark.parametrize(
    ("wrong", "payload"),
    [
        ({"record_count": 2}, (bytes(16), None, [(None, None, "t", b"s")])),
        ({"raw_length": 99}, (bytes(16), None, [(None, None, "t", b"s")])),
        ({}, (bytes(16), None, [(None, None, "t", b"s")] * 2)),
        ({}, (bytes(16), None, [])),
        ({}, (bytes(16), None, 7)),
        ({}, (bytes(16), None)),
        ({}, 7),
    ],
)
def test_a_payload_that_is_no_commit(tmp_path: Path, wrong: dict[str, int], payload: Any) -> None:
    """A valid frame whose header and payload do not fit each other is corruption, as ever."""
    with open_with(tmp_path / "j") as ours, open_with(tmp_path / "j") as other:
        append(other, "message", 1)
        assert ours.last_position == other.last_position
        chain, tail = other.handle.state.chain, other.handle.tail
        assert chain is not None
        assert tail is not None
        encoded = encode_payload(payload)
        fields = {
            "salt": tail.salt,
            "kind": KIND_RECORDS,
            "flags": 0,
            "codec": 0,
            "version": FRAME_VERSION,
            "stored_length": len(encoded),
            "raw_length": len(encoded),
            "record_count": 1,
            "first_position": chain.position + 1,
            "commit_number": chain.commit_number + 1,
            "timestamp": chain.timestamp,
            "synced_to": 0,
            "frame_number": 1,
            "frames_in_commit": 1,
            "previous_checksum": chain.previous_checksum,
            "payload_checksum": crc32c(encoded),
        }
        frame, _ = encode_frame(FrameHeader(**{**fields, **wrong}), encoded)
        other.handle.files.pwrite(tail.fd, frame, chain.offset)
        descriptors = other.handle.attached()
        mark = descriptors.mark.read()
        end = chain.offset + len(frame)
        descriptors.mark.publish(
            mark._replace(
                sequence=mark.sequence + 1,
                visible_commit=mark.visible_commit + 1,
                visible_position=mark.visible_position + 1,
                visible_offset=end,
                durable_offset=end,
            )
        )
        with pytest.raises(CorruptionError):
            refresh(ours.handle)


def test_where_there_is_no_memory_to_forget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was left half indexed, and could not even be forgotten, is forgotten at the next call."""
    path = tmp_path / "j"
    with open_with(path) as theirs, open_with(path) as ours:
        theirs.append(records_of("event", 1))
        assert ours.last_position == 1
        for version in range(2, 6):
            theirs.append(records_of("event", version))
        with monkeypatch.context() as patched:
            for place, name in ((TailIndex, "add_commit"), (Handle, "forget_state")):
                patched.setattr(place, name, _no_memory)
            with pytest.raises(MemoryError):
                refresh(ours.handle)
        assert ours.last_position == 5
        with pytest.raises(ConflictError):
            ours.append(records_of("event", 2))


def test_where_there_is_no_memory_behind_the_publication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of a commit of one's own, which others see already."""
    with open_with(tmp_path / "j") as journal:
        journal.append(records_of("event", 1))
        with monkeypatch.context() as patched:
            for place, name in ((TailIndex, "add_commit"), (Handle, "forget_state")):
                patched.setattr(place, name, _no_memory)
            with pytest.raises(MemoryError):
                journal.append(records_of("event", 2))
        assert journal.last_position == 2
        with pytest.raises(ConflictError):
            journal.append(records_of("event", 2))


def _no_memory(*_: Any, **__: Any) -> None:
    raise MemoryError
