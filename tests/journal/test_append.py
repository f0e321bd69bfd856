"""What an append returns, what it refuses, and that a refusal writes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from aurora_es import (
    ArgumentError,
    AuroraError,
    CompressionFormat,
    Conflict,
    ConflictError,
    Journal,
    Record,
    TooLargeError,
)
from aurora_es.format import limits
from tests.journal.support import (
    event,
    mark_bytes,
    message,
    open_with,
    segment_paths,
    snapshot,
    states,
)

UUID_1 = UUID(int=1)
MIB = 1 << 20


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    """Open a journal that does not exist yet."""
    with open_with(tmp_path / "journal") as opened:
        yield opened


def test_positions_count_records_from_1(journal: Journal) -> None:
    """Each call returns the positions of its own records, in their order."""
    assert journal.last_position == 0
    assert journal.append([message(b"a")]) == range(1, 2)
    assert journal.append([message(b"b"), message(b"c"), message(b"d")]) == range(2, 5)
    assert journal.append(message(bytes([letter])) for letter in b"ef") == range(5, 7)
    assert states(journal) == [b"a", b"b", b"c", b"d", b"e", b"f"]


def test_nothing_to_append_writes_nothing(journal: Journal, tmp_path: Path) -> None:
    """A commit without records and tracking makes no directory and no bytes."""
    assert len(journal.append([])) == 0
    assert not (tmp_path / "journal").exists()
    journal.append([message()])
    before = snapshot(tmp_path)
    assert len(journal.append(())) == 0
    assert snapshot(tmp_path) == before


def test_tracking_alone_is_a_commit_without_positions(journal: Journal) -> None:
    """Tracking is recorded without a record, and the next record has the next position."""
    journal.append([message()])
    assert len(journal.append([], tracking=("upstream", 7))) == 0
    assert journal.append([message()], tracking=("upstream", 8)) == range(2, 3)
    assert journal.statistics().last_commit == 3
    assert journal.handle.state.index.tracking["upstream"].notification_id == 8


def test_all_fields_come_back(journal: Journal) -> None:
    """What a record holds is read as it was appended."""
    full = Record(
        topic="ünïcode:Topic",
        state=b"\0\xff",
        originator_id=UUID_1,
        originator_version=-(1 << 63),
        tags=("a", "", "ü"),
        uuid=UUID(int=2**128 - 1),
        metadata={"none": None, "nested": {"list": [1, 2.5, True, b"\0", "x"]}, "": {}},
    )
    plain = Record(topic="", state=b"", originator_id="", originator_version=(1 << 63) - 1)
    journal.append([full, plain])
    assert [stored.record for stored in journal.read()] == [full, plain]


def test_bytes_like_states_come_back_as_bytes(journal: Journal) -> None:
    """A bytearray and a memoryview are stored by value."""
    buffer = bytearray(b"before")
    journal.append(
        [
            Record(topic="t", state=buffer),  # type: ignore[arg-type]
            Record(topic="t", state=memoryview(buffer)[2:4]),  # type: ignore[arg-type]
        ]
    )
    buffer[:] = b"after!"
    assert states(journal) == [b"before", b"fo"]


@pytest.mark.parametrize(
    "size", [0, 1, limits.FRAME_BYTES_TARGET, MIB, limits.RECORD_BYTES_MAX - 100]
)
def test_states_of_all_sizes(journal: Journal, size: int) -> None:
    """A state from nothing to 16 MiB goes in and out whole, between two others."""
    state = bytes(size)
    journal.append([message(b"a"), message(state), message(b"z")])
    assert states(journal) == [b"a", state, b"z"]


def test_a_commit_of_many_frames_is_one_commit(journal: Journal) -> None:
    """A commit that is cut into frames is counted, and found, as one."""
    records = [event("a", version, bytes(5_000)) for version in range(50)]
    assert journal.append(records) == range(1, 51)
    assert journal.statistics().last_commit == 1
    assert [stored.record for stored in journal.read(start=17, stop=23)] == records[16:23]
    assert len({stored.timestamp for stored in journal.read()}) == 1


# Conflicts


def test_a_conflict_names_what_stands_in_the_way(journal: Journal) -> None:
    """The error lists each originator and version that is taken, and where it was recorded."""
    journal.append([event(UUID_1, 0), event("b", 5)])
    with pytest.raises(ConflictError) as caught:
        journal.append([event("b", 5), event("c", 1), event(str(UUID_1), 0)])
    assert caught.value.conflicts == (Conflict("b", 5, 2), Conflict(UUID_1, 0, 1))
    assert "originator b has version 5 already, recorded at position 2 (and 1 more)" in str(
        caught.value
    )
    assert states(journal) == [b"state", b"state"]


def test_a_commit_may_not_hold_a_version_twice(journal: Journal) -> None:
    """A repetition inside one call is a conflict with itself, and nothing of it is written."""
    with pytest.raises(ConflictError) as caught:
        journal.append([event("a", 1), event(UUID_1, 3), event(str(UUID_1), 3)])
    assert caught.value.conflicts == (Conflict(UUID_1, 3, 0),)
    assert journal.last_position == 0
    journal.append([event("a", 1)])


@pytest.mark.parametrize(
    ("records", "error"),
    [
        ([event("a", 1), event("a", 1)], ConflictError),
        ([message(bytes(limits.RECORD_BYTES_MAX + 1))], TooLargeError),
        ([Record(topic="t", state=b"", metadata={"key": object()})], ArgumentError),
    ],
    ids=["conflict with itself", "too large", "cannot be encoded"],
)
def test_a_refused_first_append_makes_no_journal(
    journal: Journal, tmp_path: Path, records: list[Record], error: type[AuroraError]
) -> None:
    """What a commit is refused for on its own is noticed before anything is made for it."""
    with pytest.raises(error, match="nothing was written"):
        journal.append(records)
    assert [*tmp_path.iterdir()] == []
    assert journal.append([message()]) == range(1, 2)


def test_a_first_append_compresses_as_is_recorded(tmp_path: Path) -> None:
    """The setting of the one who makes the journal holds for the commit that it is made for."""
    with open_with(tmp_path / "lz4", compression=CompressionFormat.LZ4) as journal:
        journal.append([message(bytes(10_000))])
        assert journal.statistics().tail_bytes < 1_000
    with open_with(tmp_path / "late") as late:
        with open_with(tmp_path / "late", compression=CompressionFormat.LZ4) as journal:
            journal.append([message(bytes(10_000))])
        late.append([message(bytes(10_000))])
        assert late.statistics().tail_bytes < 1_000


def test_a_uuid_and_its_text_are_one_originator(journal: Journal) -> None:
    """An id in either form claims the same versions, and comes back as it was written."""
    journal.append([event(UUID_1, 1), event(str(UUID_1), 2)])
    for form in (UUID_1, str(UUID_1)):
        with pytest.raises(ConflictError):
            journal.append([event(form, 1)])
        with pytest.raises(ConflictError):
            journal.append([event(form, 2)])
    assert [stored.record.originator_id for stored in journal.read()] == [UUID_1, str(UUID_1)]
    journal.append([event(str(UUID_1).replace("-", ""), 1)])


def test_versions_need_no_order(journal: Journal) -> None:
    """Versions may leave gaps and go down, as long as each is new."""
    for version in (5, 9, 7, -3, 8):
        journal.append([event("a", version)])
    for version in (5, 9, 7, -3, 8):
        with pytest.raises(ConflictError):
            journal.append([event("a", version)])


def test_records_without_originator_never_conflict(journal: Journal) -> None:
    """Equal records without an originator are as many records."""
    for _ in range(3):
        journal.append([message(), message()])
    assert journal.last_position == 6


@pytest.mark.parametrize("notification_id", [4, 5])
def test_tracking_has_to_rise(journal: Journal, notification_id: int) -> None:
    """Tracking at or below the recorded place is a conflict; the records with it are refused."""
    journal.append([message(b"a")], tracking=("up", 5))
    with pytest.raises(ConflictError, match=r"tracking of 'up': .* greater than 5") as caught:
        journal.append([message(b"b")], tracking=("up", notification_id))
    assert caught.value.conflicts == (Conflict(None, None, 5, "up"),)
    journal.append([message(b"c")], tracking=("other", notification_id))
    assert states(journal) == [b"a", b"c"]


# Bad arguments


class Text(str):
    """A str that would not come back as what it was."""

    __slots__ = ()


def nested(levels: int) -> dict[str, Any]:
    """Nest dictionaries."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"k": value}
    return value


BAD_RECORDS: list[tuple[Callable[[], Any], type[AuroraError], str]] = [
    (lambda: Record(topic=5, state=b""), ArgumentError, "topic: expected a str, found 5"),  # type: ignore[arg-type]
    (lambda: Record(topic=None, state=b""), ArgumentError, "topic: expected a str"),  # type: ignore[arg-type]
    (lambda: message(topic="\ud800"), ArgumentError, "surrogates not allowed"),
    (lambda: event(UUID_1, 0, topic="\ud800"), ArgumentError, "surrogates not allowed"),
    (lambda: event(UUID_1, 0, topic=Text("t")), ArgumentError, "cannot be encoded"),
    (lambda: message("text"), ArgumentError, "state .* expected bytes, .* found str"),  # type: ignore[arg-type]
    (lambda: message(None), ArgumentError, "state .* found NoneType"),  # type: ignore[arg-type]
    (lambda: event(5, 0), ArgumentError, "originator id: expected UUID, str or None, found 5"),
    (lambda: event(b"x" * 16, 0), ArgumentError, "originator id: expected UUID"),
    (lambda: event("\udfff", 0), ArgumentError, "surrogates not allowed"),
    (lambda: event("a", None), ArgumentError, "originator_version together"),  # type: ignore[arg-type]
    (lambda: event(None, 1), ArgumentError, "originator_version together"),
    (lambda: event("a", "1"), ArgumentError, "version: expected an int, found '1'"),  # type: ignore[arg-type]
    (lambda: event("a", True), ArgumentError, "version: expected an int, found True"),
    (lambda: event("a", 1.0), ArgumentError, "version: expected an int"),  # type: ignore[arg-type]
    (lambda: event("a", 1 << 63), TooLargeError, "version: expected signed 64 bits"),
    (lambda: event("a", -(1 << 63) - 1), TooLargeError, "version: expected signed 64 bits"),
    (lambda: Record(topic="t", state=b"", tags="abc"), ArgumentError, "tags"),  # type: ignore[arg-type]
    (lambda: Record(topic="t", state=b"", tags=("a", 1)), ArgumentError, "tags"),  # type: ignore[arg-type]
    (lambda: Record(topic="t", state=b"", tags=("\ud800",)), ArgumentError, "surrogates"),
    (lambda: Record(topic="t", state=b"", uuid="x"), ArgumentError, "uuid .* expected a UUID"),  # type: ignore[arg-type]
    (lambda: Record(topic="t", state=b"", metadata=[1]), ArgumentError, "expected a dict"),  # type: ignore[arg-type]
    (lambda: Record(topic="t", state=b"", metadata={1: 2}), ArgumentError, "keys of type str"),  # type: ignore[dict-item]
    (
        lambda: Record(topic="t", state=b"", metadata={"k": [{(1, 2): 3}]}),
        ArgumentError,
        "keys of type str",
    ),
    (lambda: Record(topic="t", state=b"", metadata={"k": {1, 2}}), ArgumentError, "metadata"),
    (lambda: Record(topic="t", state=b"", metadata={"k": UUID_1}), ArgumentError, "metadata"),
    (lambda: Record(topic="t", state=b"", metadata={"k": Text("x")}), ArgumentError, "metadata"),
    (lambda: Record(topic="t", state=b"", metadata={"k": 1 << 64}), ArgumentError, "cannot be enc"),
    (lambda: Record(topic="t", state=b"", metadata={"\ud800": 1}), ArgumentError, "surrogates"),
    (lambda: Record(topic="t", state=b"", metadata=nested(65)), TooLargeError, "64 levels"),
    (lambda: Record(topic="t", state=b"", metadata=nested(10_000)), TooLargeError, "64 levels"),
    (lambda: ("topic", b"state"), ArgumentError, "expected Record objects, found tuple"),
    (
        lambda: message(bytes(limits.RECORD_BYTES_MAX)),
        TooLargeError,
        "record 1 .* at most 16777216",
    ),
]


@pytest.mark.parametrize(("make", "error", "text"), BAD_RECORDS)
def test_a_bad_record_is_refused_with_its_whole_commit(
    journal: Journal,
    tmp_path: Path,
    make: Callable[[], Any],
    error: type[AuroraError],
    text: str,
) -> None:
    """The error says what was expected and found, nothing is written, the handle goes on."""
    journal.append([message(b"first")])
    before = snapshot(tmp_path)
    with pytest.raises(error, match=text):
        journal.append([message(b"good"), make()], tracking=("up", 1))
    assert snapshot(tmp_path) == before
    journal.append([message(b"last")], tracking=("up", 1))
    assert states(journal) == [b"first", b"last"]


def test_a_bad_record_makes_no_directory(journal: Journal, tmp_path: Path) -> None:
    """An append that cannot be encoded does not create the journal either."""
    with pytest.raises(ArgumentError):
        journal.append([message("text")])  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tracking", "error", "text"),
    [
        ((5, 1), ArgumentError, "application name .* found 5"),
        (("up", "1"), ArgumentError, "notification id .* found '1'"),
        (("up", True), ArgumentError, "notification id .* found True"),
        (("\ud800", 1), ArgumentError, "UTF-8"),
        (("up", -1), TooLargeError, "notification id: expected 0 to"),
        (("up", 1 << 63), TooLargeError, "notification id: expected 0 to"),
        (("x" * (limits.TRACKING_NAME_BYTES_MAX + 1), 1), TooLargeError, "at most 65536 bytes"),
    ],
)
def test_bad_tracking_is_refused(
    journal: Journal, tmp_path: Path, tracking: Any, error: type[AuroraError], text: str
) -> None:
    """The error says what was expected and found, and nothing is written."""
    journal.append([message(b"first")])
    before = snapshot(tmp_path)
    with pytest.raises(error, match=text):
        journal.append([message()], tracking=tracking)
    assert snapshot(tmp_path) == before


def test_the_longest_tracking_name_beside_the_largest_record(journal: Journal) -> None:
    """Both limits at once still make a frame that can be read."""
    size = limits.RECORD_BYTES_MAX - 20
    name = "x" * limits.TRACKING_NAME_BYTES_MAX
    journal.append([message(bytes(size))], tracking=(name, limits.NOTIFICATION_ID_MAX))
    with open_with(journal.handle.path) as second:
        assert len(states(second)[0]) == size
        assert list(second.handle.state.index.tracking) == [name]


def test_a_commit_over_the_limit_is_refused(journal: Journal, tmp_path: Path) -> None:
    """A call of more than 256 MiB is refused before anything is encoded."""
    journal.append([message(b"first")])
    before = snapshot(tmp_path)
    state = bytes(limits.RECORD_BYTES_MAX - 100)
    with pytest.raises(TooLargeError, match=r"commit: at most 268435456 bytes, .*split the call"):
        journal.append([event(UUID_1, version, state) for version in range(17)])
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("limit", [-1, -(10**30)])
def test_a_negative_limit_is_refused(journal: Journal, limit: int) -> None:
    """Reading fewer than no records is an error, at the call and not at the first record."""
    with pytest.raises(ArgumentError, match=f"limit: expected 0 or more, found {limit}"):
        journal.read(limit=limit)


# Timestamps, and what is on disk


def test_the_mark_moves_with_every_commit(journal: Journal) -> None:
    """The two slots take turns: each commit changes exactly one of them."""
    journal.append([message()])
    for _ in range(3):
        before = mark_bytes(journal.handle.path)
        journal.append([message()])
        after = mark_bytes(journal.handle.path)
        assert (before[:4096] == after[:4096]) != (before[4096:] == after[4096:])


def test_a_reserved_tail_does_not_grow_with_each_commit(journal: Journal) -> None:
    """Commits go into zeros that were written ahead, so the size of the file stands still."""
    journal.append([message()])
    (path,) = segment_paths(journal.handle.path)
    sizes = set()
    for _ in range(10):
        journal.append([message()])
        sizes.add(Path(path).stat().st_size)
    assert len(sizes) == 1
    assert sizes.pop() > journal.statistics().tail_bytes
