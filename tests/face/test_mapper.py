"""The fast mapper: extensions, registrations, upcasting, ciphers, errors, and who may read what."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from eventsourcing.application import Application
from eventsourcing.cipher import AESCipher
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import (
    JSONTranscoder,
    Mapper,
    MapperDeserialisationError,
    StoredEvent,
    Transcoder,
    TranscodingNotRegisteredError,
)
from eventsourcing.system import System
from eventsourcing.utils import Environment, get_topic

from aurora_es import AuroraConfigurationError
from aurora_es.mapper import JSONMapper, MsgpackMapper
from tests.face.domain import Counters, Totals
from tests.face.states import (
    BytesAsHex,
    Colour,
    Happened,
    Kind,
    Pair,
    Size,
    Unknown,
    transcoder,
    uuid_event,
)
from tests.face.support import UUID_1, OpenFactory

_ORIGINATOR = "originator_id", "originator_version"
# Extensions as docs/format/event-state.md writes them.
GOLDEN = {
    "uuid": (UUID_1, "d8015fa9b1de52a64ae19c0f3d7e2b8c4a01"),
    "decimal": (Decimal("12.50"), "c7050231322e3530"),
    "utc": (datetime(2026, 11, 25, tzinfo=UTC), "d6ff6b062500"),
    "naive": (datetime(2026, 11, 25), "c71303323032362d31312d32355430303a30303a3030"),  # noqa: DTZ001
    "offset": (
        datetime(2026, 11, 25, tzinfo=timezone(timedelta(hours=1))),
        "c71903323032362d31312d32355430303a30303a30302b30313a3030",
    ),
    "big": (2**64, "c70904010000000000000000"),
    "negative": (-(2**63) - 1, "c70904ff7fffffffffffffff"),
    "tuple": ((1, "a"), "d6059201a161"),
    "registered": (Kind.ONE, "c70a0692a46b696e64a36f6e65"),
    "bytes": (b"\x00", "c40100"),
    "true": (True, "c3"),
}


def mapper(*more: Any, **parts: Any) -> MsgpackMapper[Any]:
    """A fast mapper with the transcodings of the tests."""
    return MsgpackMapper(transcoder(*more), **parts)


def returned(used: Mapper[Any], **state: Any) -> dict[str, Any]:
    """Attributes of an event that went through the mapper, without its id and version."""
    attributes = dict(vars(used.to_domain_event(used.to_stored_event(uuid_event(**state)))))
    assert (attributes.pop("originator_id"), attributes.pop("originator_version")) == (
        UUID(int=7),
        3,
    )
    return attributes


@pytest.mark.parametrize("name", GOLDEN)
def test_bytes_of_states(name: str) -> None:
    """Each kind of value has the bytes that the page of the format shows, and comes back."""
    value, expected = GOLDEN[name]
    stored = mapper().to_stored_event(uuid_event(v=value))
    assert stored.state.hex() == "81a176" + expected
    assert returned(mapper(), v=value) == {"v": value}


def test_the_stored_event_is_as_the_librarys() -> None:
    """Everything but the state is equal, and so is the class."""
    ours = mapper().to_stored_event(uuid_event(a=1))
    theirs = Mapper[UUID](transcoder()).to_stored_event(uuid_event(a=1))
    assert type(ours) is StoredEvent
    assert ours == StoredEvent(UUID(int=7), 3, get_topic(Happened), ours.state)
    assert theirs.topic == ours.topic


def test_subclasses_are_what_they_inherit_from() -> None:
    """As in JSON; a named tuple is a tuple."""
    found = returned(mapper(), a=Colour.RED, b=Size.LARGE, c=Pair(1, 2), d={Colour.RED: 1})
    assert found == {"a": "red", "b": 3, "c": (1, 2), "d": {"red": 1}}
    assert list(map(type, found.values())) == [str, int, tuple, dict]


def test_a_registered_transcoding_comes_first() -> None:
    """One in the place of a built-in form is used, also when it is registered later."""
    used = mapper()
    assert mapper(BytesAsHex()).to_stored_event(uuid_event(a=b"\xff")).state.endswith(b"\xa2ff")
    assert used.to_stored_event(uuid_event(a=b"\xff")).state.endswith(b"\xc4\x01\xff")
    assert isinstance(used.transcoder, JSONTranscoder)
    used.transcoder.register(BytesAsHex())
    assert used.to_stored_event(uuid_event(a=b"\xff")).state.endswith(b"\xa2ff")
    assert returned(used, a=b"\xff") == {"a": b"\xff"}


@pytest.mark.parametrize("value", [Unknown(), {1}, [Unknown()], {"a": bytearray(b"a")}])
def test_what_is_not_registered_is_refused(value: object) -> None:
    """As by the library, with its text."""
    with pytest.raises(TranscodingNotRegisteredError) as theirs:
        Mapper[UUID](transcoder()).to_stored_event(uuid_event(a=value))
    with pytest.raises(TranscodingNotRegisteredError) as ours:
        mapper().to_stored_event(uuid_event(a=value))
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("key", [(1,), UUID_1, b"a"])
def test_keys_that_json_refuses_are_refused(key: object) -> None:
    """A store must stay one that the library's mapper could have written."""
    for used in (mapper(), Mapper[UUID](transcoder())):
        with pytest.raises(TypeError, match="keys must be"):
            used.to_stored_event(uuid_event(a={key: 1}))


def test_a_value_inside_itself_is_refused() -> None:
    """As by the library: a ValueError, no endless loop."""
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="Circular"):
        mapper().to_stored_event(uuid_event(a=value))


_MISSING = msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(6, msgspec.msgpack.encode(["no", 1]))})
DAMAGED = {
    "empty": (b"", "truncated"),
    "cut": (b"\x81\xa1", "truncated"),
    "no map": (b"\x91\x01", "expected a map of attributes, found list"),
    "short uuid": (b"\x81\xa1a\xd4\x01\x00", "expected 16 bytes, found 1"),
    "unknown extension": (b"\x81\xa1a\xd4\x63\x00", "extension 99"),
    "no pair": (b"\x81\xa1a\xd4\x06\x01", "expected .name of a transcoding, data., found 1"),
    "not registered": (_MISSING, "'no' is not deserializable"),
    "bad json": (b"{", "Expecting property name"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_states_that_cannot_be_read(name: str) -> None:
    """They raise the library's error, which names the event and what is wrong."""
    state, said = DAMAGED[name]
    with pytest.raises(MapperDeserialisationError, match=said) as caught:
        mapper().to_domain_event(StoredEvent(UUID_1, 5, get_topic(Happened), state))
    for part in (get_topic(Happened), str(UUID_1), "originator_version 5"):
        assert part in str(caught.value)


class Renamed(Aggregate.Event):
    """An event whose class has changed since."""

    class_version = 3
    amount: int

    def __post_init__(self) -> None:
        """Never called by a mapper."""
        raise AssertionError

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Call it amount."""
        state["amount"] = state.pop("sum")

    @staticmethod
    def upcast_v2_v3(state: dict[str, Any]) -> None:
        """Count in cents."""
        state["amount"] *= 100


def test_upcasting() -> None:
    """States of older classes go through the class's steps; newer ones do not."""
    stored = mapper().to_stored_event(uuid_event(sum=2, gone="yes"))
    old = StoredEvent(stored.originator_id, 3, get_topic(Renamed), stored.state)
    attributes = vars(mapper().to_domain_event(old))
    assert attributes["amount"] == 200
    assert attributes["gone"] == "yes"
    current = mapper().to_stored_event(mapper().to_domain_event(old))
    assert vars(mapper().to_domain_event(current)) == attributes


def test_annotations_say_nothing() -> None:
    """A value comes back as it was stored, though the class promises another type."""

    @dataclass(frozen=True)
    class Annotated(Aggregate.Event):
        amount: int

    stored = mapper().to_stored_event(uuid_event(amount="many"))
    changed = StoredEvent(stored.originator_id, 3, get_topic(Annotated), stored.state)
    assert vars(mapper().to_domain_event(changed))["amount"] == "many"


class TextEvent:
    """An event of no aggregate class, named by text."""

    originator_id: str
    originator_version: int


class UUIDEvent:
    """An event of no aggregate class, named by a UUID."""

    originator_id: UUID
    originator_version: int


def test_ids_are_converted_as_by_the_library() -> None:
    """A recorder that returns text is right for classes that name a UUID."""
    state = b"\x80"
    for cls, expected in ((TextEvent, str(UUID_1)), (UUIDEvent, UUID_1), (Happened, UUID_1)):
        found = mapper().to_domain_event(StoredEvent(str(UUID_1), 1, get_topic(cls), state))
        assert found.originator_id == expected
    with pytest.raises(TypeError, match="originator_id annotation"):
        mapper().to_domain_event(StoredEvent("a", 1, get_topic(Unknown), state))


class Zlib:
    """A compressor."""

    compress = staticmethod(zlib.compress)
    decompress = staticmethod(zlib.decompress)


def test_compressor_and_cipher() -> None:
    """States are compressed, then encrypted, as by the library; a wrong key is its error."""
    key = AESCipher.create_key(16)
    parts: dict[str, Any] = {
        "compressor": Zlib(),
        "cipher": AESCipher(Environment("App", {"CIPHER_KEY": key})),
    }
    used = mapper(**parts)
    assert returned(used, a=(1,)) == {"a": (1,)}
    stored = used.to_stored_event(uuid_event(a="text" * 100))
    assert b"text" not in stored.state
    assert len(stored.state) < 100
    other = AESCipher(Environment("App", {"CIPHER_KEY": AESCipher.create_key(16)}))
    with pytest.raises(MapperDeserialisationError):
        mapper(cipher=other).to_domain_event(stored)
    # The library's mapper tells the form of the state behind both.
    with pytest.raises(MapperDeserialisationError, match="set AURORA_MAPPER=msgpack"):
        JSONMapper[UUID](transcoder(), **parts).to_domain_event(stored)
    with pytest.raises(MapperDeserialisationError) as caught:
        JSONMapper[UUID](transcoder(), cipher=other).to_domain_event(stored)
    assert "AURORA_MAPPER" not in str(caught.value)


class OwnTranscoder(Transcoder):
    """No JSONTranscoder."""

    def encode(self, obj: Any) -> bytes:
        """Encode nothing."""
        return b""

    def decode(self, data: bytes) -> Any:
        """Decode nothing."""
        return {}


class OwnMapper(Mapper[Any]):
    """A mapper that a user wrote."""


def test_the_setting(open_factory: OpenFactory) -> None:
    """AURORA_MAPPER chooses, unless a class or MAPPER_TOPIC is given."""
    assert type(open_factory().mapper()) is JSONMapper
    fast = open_factory(AURORA_MAPPER="msgpack")
    assert type(fast.mapper()) is MsgpackMapper
    assert type(fast.mapper(mapper_class=OwnMapper)) is OwnMapper
    named = open_factory(AURORA_MAPPER="msgpack", MAPPER_TOPIC=f"{__name__}:OwnMapper")
    assert type(named.mapper(JSONTranscoder())) is OwnMapper
    with pytest.raises(AuroraConfigurationError, match="found OwnTranscoder; unset TRANSCODER"):
        fast.mapper(OwnTranscoder())


class Tray(Aggregate):
    """Holds tuples and other things."""

    @event("Began")
    def __init__(self) -> None:
        """Begin empty."""
        self.things: list[Any] = []

    @event("Put")
    def put(self, thing: Any) -> None:
        """Put a thing on it."""
        self.things.append(thing)


class Trays(Application[UUID]):
    """Trays with a snapshot every two events."""

    snapshotting_intervals = {Tray: 2}  # noqa: RUF012 - as the library declares it


def test_a_store_begun_with_json_goes_on(tmp_path: Path) -> None:
    """The setting may be turned on later; snapshots are fast and true as well."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path), "AURORA_SYNC": "never"}
    with Trays(env) as application:
        tray = Tray()
        tray.put(Decimal(1))
        application.save(tray)
    with Trays(env | {"AURORA_MAPPER": "msgpack"}) as application:
        tray = application.repository.get(tray.id)
        tray.put((1, UUID_1))
        tray.put(datetime(2026, 11, 25, tzinfo=UTC))
        application.save(tray)
        again: Tray = application.repository.get(tray.id)
        assert again == tray
        assert application.snapshots is not None
        states = [item.state for item in application.snapshots.recorder.select_events(tray.id)]
        assert [state[:1] for state in states] == [b"{", b"\x83"]
        versions = [item.originator_version for item in application.snapshots.get(tray.id)]
        assert versions == [2, 4]
    with Trays(env) as application, pytest.raises(MapperDeserialisationError, match="AURORA_MAPP"):
        application.repository.get(tray.id)


def test_a_follower_with_another_mapper_says_so(tmp_path: Path) -> None:
    """Followers decode with their own mapper: the error names the setting to change."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path), "AURORA_SYNC": "never"}
    system = System(pipes=[[Counters, Totals]])
    with (
        system.leader_cls("Counters")(env | {"AURORA_MAPPER": "msgpack"}) as leader,
        Totals(env) as follower,
        Totals(env | {"AURORA_MAPPER": "msgpack"}) as like_minded,
    ):
        assert isinstance(leader, Counters)
        leader.begin(1)
        follower.follow("Counters", leader.notification_log)
        with pytest.raises(MapperDeserialisationError, match="all applications of a system need"):
            follower.pull_and_process("Counters")
        like_minded.follow("Counters", leader.notification_log)
        like_minded.pull_and_process("Counters")
        assert like_minded.total == 1
