"""The bytes of cursors are those of docs/format/cursors.md, and their fold is what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.queue.cursor_records import (
    STATE_TOPIC,
    Acknowledge,
    AnyRecord,
    Begin,
    Claim,
    Commit,
    Discard,
    EpochChange,
    Extend,
    Forget,
    Move,
    Park,
    Redeliver,
    Release,
    decode_cursor_record,
    draft_of,
    name_id,
    state_draft,
    versioned_draft,
)
from aurora_es.queue.cursor_state import (
    CursorState,
    choose,
    decode_state,
    encode_state,
    fold,
    next_time,
)

PAGE = Path(__file__).parents[2] / "docs" / "format" / "cursors.md"

GOLDEN: dict[str, tuple[AnyRecord, str]] = {
    "begin": (Begin("n", "group", 7, 2), "94 a16e a567726f7570 07 02"),
    "commit": (Commit("n", 7), "92 a16e 07"),
    "claim": (
        Claim("n", "h", 9, 8, [(5, None)], [(6, "k")], [3]),
        "97 a16e a168 09 08 91 92 05 c0 91 92 06 a16b 91 03",
    ),
    "acknowledge": (Acknowledge("n", [5, 6]), "92 a16e 92 05 06"),
    "release": (Release("n", "h", [5], 9, is_counted=True), "95 a16e a168 91 05 09 c3"),
    "extend": (Extend("n", "h", [5], 9), "94 a16e a168 91 05 09"),
    "park": (Park("n", "h", [5], "r"), "94 a16e a168 91 05 a172"),
    "redeliver": (Redeliver("n", [5]), "92 a16e 91 05"),
    "discard": (Discard("n", [5]), "92 a16e 91 05"),
    "move": (Move("n", 7), "92 a16e 07"),
    "forget": (Forget("n"), "91 a16e"),
    "epoch": (EpochChange(2, 7), "92 02 07"),
}


@pytest.mark.parametrize("topic", GOLDEN)
def test_bytes_of_records(topic: str) -> None:
    """Each record is encoded as its golden bytes, and decoded from them."""
    record, golden = GOLDEN[topic]
    (row,) = draft_of(record).rows
    assert row == (None, None, topic, bytes.fromhex(golden))
    assert decode_cursor_record(topic, row[3]) == record
    versioned = versioned_draft(record, name_id("n"), 4)
    assert versioned.rows == (("name:n", 4, topic, row[3]),)
    assert versioned.identities == (("name:n", 4),)


def test_bytes_of_the_state() -> None:
    """The folded state is encoded as its golden bytes."""
    state = CursorState()
    for record in (
        Begin("n", "group", 0, 1),
        Claim("n", "h", 9, 3, [(1, None), (2, "k")], [(3, "k")], []),
        Park("n", "h", [1], "r"),
    ):
        fold(state, record)
    state.as_of = 3
    golden = "95 03 01 00 00 81 a16e 95 a567726f7570 02 03 82 02 94 a16b 01 a168 09"
    golden += "03 94 a16b 00 a0 00 81 01 93 c0 01 a172"
    assert encode_state(state) == bytes.fromhex(golden)
    assert decode_state(bytes.fromhex(golden)) == state
    draft = state_draft(encode_state(state), 5)
    assert draft.rows == (("state", 5, STATE_TOPIC, bytes.fromhex(golden)),)


def test_further_fields_and_topics_are_ignored() -> None:
    """What a later version adds is no error."""
    assert decode_cursor_record("commit", bytes.fromhex("93 a16e 07 a178")) == Commit("n", 7)
    assert decode_cursor_record("of a later version", b"\xc1") is None
    assert decode_cursor_record(STATE_TOPIC, b"\xc1") is None


def test_every_topic_is_on_the_page() -> None:
    """The page names all topics, with as many fields as there are."""
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    fields = {topic: text.strip().split(", ") for topic, text in rows}
    assert fields.pop("state")
    for topic, (record, _) in GOLDEN.items():
        assert len(fields.pop(topic)) == len(record.__struct_fields__)
    assert fields == {}


positions = st.integers(1, 12)
some = st.lists(positions, max_size=4)
keyed = st.lists(st.tuples(positions, st.sampled_from([None, "x", "y"])), max_size=4)
holders = st.sampled_from(["a", "b", ""])
records = st.one_of(
    st.builds(Begin, st.just("n"), st.just("group"), st.integers(0, 5), st.just(1)),
    st.builds(
        Claim, st.just("n"), holders, st.integers(0, 20), st.integers(0, 12), keyed, keyed, some
    ),
    st.builds(Acknowledge, st.just("n"), some),
    st.builds(Release, st.just("n"), holders, some, st.integers(0, 20), is_counted=st.booleans()),
    st.builds(Extend, st.just("n"), holders, some, st.integers(0, 20)),
    st.builds(Park, st.just("n"), holders, some, st.just("r")),
    st.builds(Redeliver, st.just("n"), some),
    st.builds(Discard, st.just("n"), some),
    st.builds(Move, st.just("n"), st.integers(0, 12)),
    st.builds(Forget, st.sampled_from(["n", "unknown"])),
    st.builds(EpochChange, st.just(2), st.integers(0, 12)),
)


@given(st.lists(records, max_size=12), st.integers(0, 12))
def test_a_fold_may_begin_at_any_state(drawn: list[AnyRecord], cut: int) -> None:
    """Folding all records, or going on from an encoded state of some, gives the same."""
    whole, part = CursorState(), CursorState()
    for record in drawn:
        fold(whole, record)
    for record in drawn[:cut]:
        fold(part, record)
    part = decode_state(encode_state(part))
    for record in drawn[cut:]:
        fold(part, record)
    assert part == whole


@given(
    st.lists(records, max_size=12),
    st.lists(st.sampled_from([None, "x", "y"]), min_size=12, max_size=12),
    st.integers(0, 20),
    st.integers(1, 4),
    st.sampled_from([None, 1, 2]),
)
def test_a_choice_is_allowed_and_complete(
    drawn: list[AnyRecord], keys: list[str | None], now: int, count: int, attempts_max: int | None
) -> None:
    """What is chosen is free, first of its key, and in order; what is left has to wait."""
    state = CursorState()
    for record in [Begin("n", "group", 0, 1), *drawn]:
        fold(state, record)
    name = state.names["n"]
    if name.kind != "group":
        return
    before = encode_state(state)
    choice = choose(
        name,
        lambda position: keys[position - 1],
        now=now,
        last_position=12,
        count=count,
        attempts_max=attempts_max,
    )
    assert encode_state(state) == before  # only looked at
    free = [p for p, held in name.held.items() if held.until <= now]
    if choice is None:
        assert name.frontier >= 12
        return
    claimed = [position for position, _ in choice.claimed]
    assert len(claimed) <= count
    assert claimed == sorted(claimed)
    assert len(set(claimed)) == len(claimed)
    for position, key in choice.claimed:
        assert position in free or name.frontier < position <= choice.frontier
        if key is not None:
            assert [k for _, k in choice.claimed].count(key) == 1
            earlier = {p for p, held in name.held.items() if p < position and held.key == key}
            assert earlier <= set(choice.parked)
    for position in choice.parked:
        assert attempts_max is not None
        assert name.held[position].attempts >= attempts_max
        assert position in free
    new = {position for position, _ in [*choice.claimed, *choice.passed]}
    assert {*range(name.frontier + 1, choice.frontier + 1)} <= new
    due = next_time(name, now)
    assert due is None or due > now
