"""The law of the fast mapper, against the library's: as true or truer, and always readable."""

from __future__ import annotations

from typing import Any

from eventsourcing.persistence import Mapper
from hypothesis import example, given

from aurora_es.mapper import MsgpackMapper
from tests.face.states import (
    STATES,
    Pair,
    Point,
    is_at_least_as_true,
    is_same,
    transcoder,
    uuid_event,
)

State = dict[str, Any]
OURS: MsgpackMapper[Any] = MsgpackMapper(transcoder())
THEIRS: Mapper[Any] = Mapper(transcoder())


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    made: list[Any] = [(1, 2)]
    for _ in range(depth):
        made = [made]
    return made


@given(state=STATES)
@example(state={"a": {1: (1,), None: [True], 1.5: {True: ()}}})
@example(state={"a": {2**70: 2**70, "b": (2**70, [2**70])}})
@example(state={"a": Point((1, Pair(1, {2**80: 2})), {1: ()}), "class_version": 1})
@example(state={"a": {"_type_": "uuid_hex", "_data_": "no"}})
@example(state={"a": nested(70)})
@example(state={"a": nested(300), "b": ()})
@example(state={f"field {number}": number for number in range(70_000)})
def test_the_law(state: State) -> None:
    """What the library's mapper stores and reads comes back from ours, as true or truer."""
    state.pop("originator_id", None)
    state.pop("originator_version", None)
    event = uuid_event(**state)
    truth = vars(event) | {}
    truth.pop("class_version", None)
    ours = vars(OURS.to_domain_event(OURS.to_stored_event(event)))
    try:
        theirs = vars(THEIRS.to_domain_event(THEIRS.to_stored_event(event)))
    except ValueError:
        return  # a map that the library takes for a registered value
    assert set(ours) == set(truth)
    for name, value in ours.items():
        assert is_at_least_as_true(value, theirs.get(name), truth[name]), (value, theirs)


@given(state=STATES)
def test_what_the_library_stored_is_read(state: State) -> None:
    """A store begun with JSON goes on with the fast mapper: both read JSON alike."""
    event = uuid_event(**state)
    stored = THEIRS.to_stored_event(event)
    try:
        theirs = vars(THEIRS.to_domain_event(stored))
    except ValueError:
        return
    assert is_same(vars(OURS.to_domain_event(stored)), theirs)
