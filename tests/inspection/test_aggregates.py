"""One aggregate: its events, its state at every version, and how two states differ."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.cipher import AESCipher
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import Journal, Record
from aurora_es.decoding import ApplicationDecoder, ApplicationLoadError, ReplayError, load_decoder
from aurora_es.inspection.aggregates import (
    NotThereError,
    changes_between,
    read_events,
    read_state,
    read_step,
)
from aurora_es.inspection.finding import find_journal, open_to_read
from aurora_es.inspection.states import decode_state
from aurora_es.journal import background
from tests.inspection.bank import (
    CONSTRUCTED,
    Bank,
    Iban,
    make_bank,
    make_counters,
    settings,
)

APP = "tests.inspection.bank:Bank"


def looked_at(root: Path) -> Journal:
    """The bank's events, opened for looking."""
    return open_to_read(find_journal(str(root / "Bank")))


@pytest.mark.parametrize("mapper", ["json", "msgpack"])
@pytest.mark.parametrize("sealed", [False, True])
def test_every_version_is_what_the_application_would_say(
    tmp_path: Path,
    mapper: str,
    sealed: bool,  # noqa: FBT001 - parametrized
) -> None:
    """Whatever mapper stored it, without saying so, and the application is not constructed."""
    ids = make_bank(tmp_path, AURORA_MAPPER=mapper)
    if sealed:
        background.seal(str(tmp_path / "Bank" / "events"))
    environment, constructed = dict(os.environ), len(CONSTRUCTED)
    decoder = load_decoder(APP, str(tmp_path))
    states = {}
    with looked_at(tmp_path) as journal:
        for originator_id in ids:
            for version in range(1, 5):
                found = read_state(journal, str(originator_id), decoder, version=version)
                states[originator_id, version] = found
            newest = read_state(journal, originator_id.hex, decoder)
            assert newest == states[originator_id, 4]
            assert newest.kind == "tests.inspection.bank:Account"
    assert (dict(os.environ), len(CONSTRUCTED)) == (environment, constructed)
    bank = Bank(settings(tmp_path, AURORA_MAPPER=mapper))
    for (originator_id, version), state in states.items():
        account: Any = bank.repository.get(originator_id, version=version)
        assert state.attributes["balance"] == str(account.balance)
        assert state.attributes["notes"] == account.notes
        assert (state.attributes["version"], state.version) == (version, version)
        assert state.attributes["iban"] == str(account.iban)
        assert "pending_events" not in state.attributes
    bank.close()


def test_events_come_by_version_in_pages(tmp_path: Path) -> None:
    """From one version to another, in both directions, more than a page of them."""
    (one, other) = make_bank(tmp_path, accounts=2, credited=1_500)
    background.seal(str(tmp_path / "Bank" / "events"))
    with looked_at(tmp_path) as journal:

        def versions(**bounds: Any) -> list[int | None]:
            found = list(read_events(journal, str(other), **bounds))
            assert {stored.record.originator_id for stored in found} <= {other}
            return [stored.record.originator_version for stored in found]

        assert versions() == list(range(1, 1_502))
        assert versions(after=5, until=9) == [6, 7, 8, 9]
        assert versions(backwards=True, limit=3) == [1_501, 1_500, 1_499]
        assert versions(backwards=True) == list(range(1_501, 0, -1))
        assert versions(limit=1_200) == list(range(1, 1_201))
        assert versions(limit=0) == []
        assert list(read_events(journal, str(uuid4()))) == []
        assert sum(1 for _ in read_events(journal, str(one))) == 1_501


def test_a_step_is_replayed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both states are those of two replays, and each event is decoded once."""
    (one,) = make_bank(tmp_path, accounts=1, credited=20)
    decoder = load_decoder(APP, str(tmp_path))
    decoded: list[int | None] = []

    def counted(record: Record) -> Any:
        decoded.append(record.originator_version)
        return ApplicationDecoder.domain_event(decoder, record)

    with looked_at(tmp_path) as journal:
        states = [
            None,
            *(read_state(journal, str(one), decoder, version=at) for at in range(1, 22)),
        ]
        monkeypatch.setattr(decoder, "domain_event", counted)
        for version in (1, 2, 21):
            decoded.clear()
            steps = read_step(journal, str(one), decoder, version=version)
            assert steps == (states[version - 1], states[version])
            assert decoded == list(range(1, version + 1))
        assert read_step(journal, str(one), decoder)[1] == states[21]
        with pytest.raises(NotThereError, match=r"expected version 30 .* up to 21"):
            read_step(journal, str(one), decoder, version=30)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """An aggregate that nobody knows, and a version that is not reached."""
    (one,) = make_bank(tmp_path, accounts=1)
    decoder = load_decoder(APP, str(tmp_path))
    with looked_at(tmp_path) as journal:
        with pytest.raises(NotThereError, match="no record of it; `aurora-es streams`"):
            read_state(journal, "nobody", decoder)
        with pytest.raises(NotThereError, match=r"expected version 9 .* up to 4"):
            read_state(journal, str(one), decoder, version=9)


def test_compressor_and_cipher_are_those_of_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key in the environment states are read; without it each says why not."""
    secret = {
        "COMPRESSOR_TOPIC": "zlib",
        "CIPHER_TOPIC": "eventsourcing.cipher:AESCipher",
        "CIPHER_KEY": AESCipher.create_key(16),
    }
    (one,) = make_bank(tmp_path, 1, 3, **secret)
    with looked_at(tmp_path) as journal:
        stored = next(read_events(journal, str(one)))
        without = decode_state(stored.record, load_decoder(APP, str(tmp_path)))
        assert without.problem is not None
        assert without.coding == "hexadecimal"
        for key, value in secret.items():
            monkeypatch.setenv(key, value)
        decoded = decode_state(stored.record, load_decoder(APP, str(tmp_path)))
        assert (decoded.coding, decoded.problem) == ("application", None)
        assert '"owner":"Zoë 0"' in decoded.text


def test_attributes_of_the_applications_own_types_are_shown(tmp_path: Path) -> None:
    """A transcoding that the application registers is used."""
    (one,) = make_bank(tmp_path, accounts=1, AURORA_MAPPER="msgpack")
    decoder = load_decoder(APP, str(tmp_path))
    with looked_at(tmp_path) as journal:
        stored = next(read_events(journal, str(one)))
        assert isinstance(decoder.domain_event(stored.record).iban, Iban)
        assert '"iban":"DE0000"' in decode_state(stored.record, decoder).text


def test_a_projector_rebuilds_what_has_no_mutate(tmp_path: Path) -> None:
    """Without one, the error names the option."""
    counter = str(make_counters(tmp_path, 4))
    with looked_at(tmp_path) as journal:
        with pytest.raises(ReplayError, match="--projector module:function"):
            read_state(journal, counter, load_decoder(APP, str(tmp_path)))
        decoder = load_decoder(APP, str(tmp_path), projector="tests.inspection.bank:project")
        assert read_state(journal, counter, decoder, version=3).attributes["count"] == 6
        earlier, now = read_step(journal, counter, decoder, version=3)
        assert earlier == read_state(journal, counter, decoder, version=2)
        assert now.attributes["count"] == 6


@pytest.mark.parametrize(
    "app", ["absent:App", "tests.inspection.bank:Absent", "tests.inspection.bank:Account", "x"]
)
def test_what_is_no_application_is_refused(tmp_path: Path, app: str) -> None:
    """With what was expected, and where it has to be."""
    with pytest.raises(ApplicationLoadError, match=r"module:Class .*PYTHONPATH"):
        load_decoder(app, str(tmp_path))


def test_loading_an_application_touches_no_file(tmp_path: Path) -> None:
    """Not even the directory of a store that is not there."""
    load_decoder(APP, str(tmp_path / "absent"))
    assert list(tmp_path.iterdir()) == []


def test_a_replay_that_fails_names_the_application(tmp_path: Path) -> None:
    """Events of another order than the classes expect."""
    path = tmp_path / "Bank" / "events"
    path.parent.mkdir()
    with Journal.open(path) as journal:
        record = Record(
            topic="tests.inspection.bank:Account.Credited",
            state=b'{"amount":1,"note":"","timestamp":"2026"}',
            originator_id=UUID(int=1),
            originator_version=1,
        )
        journal.append([record])
    with (
        looked_at(tmp_path) as journal,
        pytest.raises(ReplayError, match=rf"could not be replayed by {APP}"),
    ):
        read_state(journal, str(UUID(int=1)), load_decoder(APP, str(tmp_path)))


def test_classes_of_a_script_are_told(tmp_path: Path) -> None:
    """Nobody but the script itself can import them: the error says why, and what to do."""
    path = tmp_path / "Bank" / "events"
    path.parent.mkdir()
    with Journal.open(path) as journal:
        record = Record(
            topic="__main__:Account.Credited",
            state=b"{}",
            originator_id=UUID(int=1),
            originator_version=1,
        )
        journal.append([record])
    with looked_at(tmp_path) as journal, pytest.raises(ReplayError, match="run as a script"):
        read_state(journal, str(UUID(int=1)), load_decoder(APP, str(tmp_path)))


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a"]) | st.just(1.0),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


def changed(value: Any, path: tuple[str | int, ...], new: object, *, removed: bool) -> Any:
    """The value with one change made in it."""
    if not path:
        return new
    key: Any = path[0]
    if len(path) == 1 and removed:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if name != key}
        return [*value[:key], *value[key + 1 :]]
    if isinstance(value, dict):
        return {**value, key: changed(value.get(key), path[1:], new, removed=removed)}
    inner = value[key] if key < len(value) else None
    return [*value[:key], changed(inner, path[1:], new, removed=removed), *value[key + 1 :]]


@given(values, values)
def test_changes_lead_from_one_state_to_the_other(before: Any, after: Any) -> None:
    """What was removed goes last, from the end of a list; then both are the same."""
    from msgspec import UNSET

    changes = changes_between(before, after)
    if repr(before) == repr(after):
        assert changes == []
    value = before
    for change in [one for one in changes if one.after is not UNSET]:
        value = changed(value, change.path, change.after, removed=False)
    for change in reversed([one for one in changes if one.after is UNSET]):
        value = changed(value, change.path, None, removed=True)
    assert changes_between(value, after) == []
    assert value == after
