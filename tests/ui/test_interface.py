"""What the JSON interface answers, compared with what the journal holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from aurora_es import Journal, Record, StoredRecord, Sync
from tests.ui.bank import Account
from tests.ui.conftest import EVENTS, served
from tests.ui.stores import account_id

BANK = "Bank/events"
OPENED = "tests.ui.bank:Account.Opened"


@pytest.fixture(scope="module")
def recorded(store: Path) -> list[StoredRecord]:
    """Everything that the journal of Bank holds."""
    with Journal.open(store / BANK, read_only=True) as journal:
        return list(journal.read())


def ask(client: TestClient, name: str, **parameters: object) -> Any:
    """The answer of the interface, which must be one."""
    response = client.get(f"/api/{name}", params={"journal": BANK} | parameters)  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    return response.json()


def pages(client: TestClient, **parameters: object) -> list[dict[str, Any]]:
    """All events that pass, page by page."""
    found: list[dict[str, Any]] = []
    page = ask(client, "events", **parameters)
    while True:
        found += page["events"]
        if page["next"] is None:
            return found
        page = ask(client, "events", **parameters, next=page["next"])


def positions(events: list[dict[str, Any]]) -> list[int]:
    """Where these events stand."""
    return [event["position"] for event in events]


def test_journals_are_named_by_their_paths_below_the_store(client: TestClient) -> None:
    """Names, lengths, and which application decodes."""
    found = ask(client, "journals")
    assert [one["journal"] for one in found["journals"]] == [
        "Bank/events",
        "Fraud/events",
        "Statements/events",
        "payments/cursors",
        "payments/messages",
    ]
    assert found["journals"][0]["summary"]["last_position"] == EVENTS
    assert found["app"] == "tests.ui.bank:Bank"


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_of_events_are_the_whole_journal(
    client: TestClient, recorded: list[StoredRecord], order: str
) -> None:
    """Page by page nothing is left out, and nothing comes twice."""
    expected = [stored.position for stored in recorded]
    found = positions(pages(client, order=order, limit=200))
    assert found == (expected if order == "oldest" else expected[::-1])


def test_filters_choose_by_topic_id_position_time_and_text(
    client: TestClient, recorded: list[StoredRecord]
) -> None:
    """Each filter alone, and two together."""
    some_id = recorded[40].record.originator_id
    since = recorded[1_000].timestamp
    until = recorded[2_000].timestamp

    def expected(passes: Any) -> list[int]:
        return [stored.position for stored in recorded if passes(stored)]

    found = positions(pages(client, order="oldest", topic=OPENED))
    assert found == expected(lambda one: one.record.topic == OPENED)
    found = positions(pages(client, order="oldest", id=str(some_id)))
    assert found == expected(lambda one: one.record.originator_id == some_id)
    found = positions(pages(client, order="oldest", start=70, stop=80))
    assert found == list(range(70, 81))
    found = positions(
        pages(client, order="oldest", since=since.isoformat(), until=until.isoformat(), limit=200)
    )
    assert found == expected(lambda one: since <= one.timestamp <= until)
    found = positions(pages(client, order="oldest", text="GROCERIES", limit=200))
    assert found == expected(lambda one: b"groceries" in one.record.state)
    found = positions(pages(client, topic=OPENED, start=500, stop=900, order="oldest"))
    assert found == expected(lambda one: one.record.topic == OPENED and 500 <= one.position <= 900)


def test_a_text_is_no_expression(client: TestClient) -> None:
    """What would never end, or match everything, as an expression is looked for as it is."""
    assert pages(client, text="(a+)+$", limit=200) == []
    assert pages(client, text=".*", limit=200) == []


def test_streams_are_paged_and_found(client: TestClient, recorded: list[StoredRecord]) -> None:
    """Every stream comes once; a whole id, in any form, is looked up."""
    counts: dict[str, int] = {}
    for stored in recorded:
        key = str(stored.record.originator_id)
        counts[key] = counts.get(key, 0) + 1
    found: dict[str, int] = {}
    page = ask(client, "streams", limit=40)
    while True:
        for one in page["streams"]:
            assert one["id"] not in found
            found[one["id"]] = one["event_count"]
        if page["next"] is None:
            break
        page = ask(client, "streams", limit=40, after=page["next"])
    assert found == counts
    one = account_id(3)
    for written in (str(one), one.hex, str(one).upper()):
        (stream,) = ask(client, "streams", prefix=written)["streams"]
        assert stream["id"] == str(one)


def test_streams_are_counted(client: TestClient, recorded: list[StoredRecord]) -> None:
    """Each once, in whatever number of index runs it is."""
    ids = {stored.record.originator_id for stored in recorded}
    assert ask(client, "stream_count") == {"count": len(ids), "is_exact": True}


def test_ids_too_long_for_an_address_stop_no_page(tmp_path: Path) -> None:
    """Pages of streams go on behind them; those up to 4,000 characters are shown."""
    ids = ["x" * 3_000, "y" * 4_000, "\N{GRINNING FACE}" * 4_000, "z" * 60_000, "short"]
    with Journal.open(tmp_path / "events", sync=Sync.NEVER) as journal:
        for one in ids:
            journal.append(
                [Record(topic="t", state=b"{}", originator_id=one, originator_version=1)]
            )
    with served(tmp_path) as (address, _), httpx2.Client(base_url=f"{address}api/") as visitor:

        def answer(name: str, **parameters: object) -> Any:
            query: Any = {"journal": "events"} | parameters
            return visitor.get(name, params=query)

        found: list[str] = []
        page = answer("streams", limit=1).json()
        while page["next"] is not None:
            found += [one["id"] for one in page["streams"]]
            page = answer("streams", limit=1, after=page["next"]).json()
        assert sorted(found + [one["id"] for one in page["streams"]]) == sorted(ids)
        for one in ids:
            if len(one) <= 4_000:
                assert answer("state", id=one, version=1).json()["version"] == 1
        refused = answer("state", id="z" * 4_001)
        assert refused.status_code == 400
        assert "`aurora-es show` takes longer ones" in refused.json()["error"]["message"]


def test_a_state_is_that_of_the_version_and_says_what_changed(client: TestClient) -> None:
    """The events folded by the application's class; what differs from the version before."""
    identity = str(account_id(0))
    line = ask(client, "aggregate", id=identity, limit=200)
    assert line["first_version"] == 1
    assert [event["version"] for event in line["events"]] == sorted(
        (event["version"] for event in line["events"]), reverse=True
    )
    for version in (1, 2, line["last_version"]):
        found = ask(client, "state", id=identity, version=version)
        assert found["kind"] == f"tests.ui.bank:{Account.__name__}"
        assert f'"version":{version}' in found["attributes"]["text"]
        changed = {tuple(change["path"]): change for change in found["changes"]}
        assert changed["version",]["after"]["text"] == str(version)
        assert (changed["version",]["before"] is None) == (version == 1)


def test_time_lines_are_paged(client: TestClient) -> None:
    """Page by page down to the first version."""
    identity = str(account_id(0))
    page = ask(client, "aggregate", id=identity, limit=7)
    found = [event["version"] for event in page["events"]]
    while page["next"] is not None:
        page = ask(client, "aggregate", id=identity, limit=7, until=page["next"])
        found += [event["version"] for event in page["events"]]
    assert found == list(range(page["last_version"], 0, -1))


def test_charts_add_up(client: TestClient, recorded: list[StoredRecord]) -> None:
    """Rates and topics count every event once; the picture covers every position."""
    assert sum(one["record_count"] for one in ask(client, "rates", buckets=30)) == EVENTS
    topics = {one["topic"]: one["count"] for one in ask(client, "topics")["topics"]}
    assert sum(topics.values()) == EVENTS
    assert topics[OPENED] == sum(one.record.topic == OPENED for one in recorded)
    picture = ask(client, "storage")["picture"]
    covered = [
        position
        for one in picture["segments"]
        if one["state"] != "obsolete"
        for position in range(one["base_position"], one["last_position"] + 1)
    ]
    assert covered == list(range(1, EVENTS + 1))
    assert {one["state"] for one in picture["segments"]} >= {"cooled", "sealed", "tail"}


def test_lags_of_followers_and_receivers(client: TestClient) -> None:
    """What followers have recorded, against what is there."""
    found = ask(client, "lags")
    assert {one["follower"]: one["lag"] for one in found["projections"]} == {
        "Fraud/events": EVENTS // 10,
        "Statements/events": 3,
    }
    receivers = {one["name"]: one for one in found["receivers"]}
    assert receivers["ledger"]["lag"] == 15
    assert receivers["mailers"]["parked"] == 1
    assert found["problems"] == []


@pytest.mark.parametrize(
    ("name", "parameters", "status"),
    [
        ("events", {"journal": "nowhere"}, 404),
        ("events", {"journal": "../../etc"}, 404),
        ("events", {"journal": "/etc"}, 404),
        ("events", {"journal": ""}, 400),
        ("events", {"limit": 0}, 400),
        ("events", {"limit": 201}, 400),
        ("events", {"start": "one"}, 400),
        ("events", {"start": "9" * 30}, 400),
        ("events", {"since": "yesterday"}, 400),
        ("events", {"order": "random"}, 400),
        ("events", {"topic": ["x"] * 101}, 400),
        ("events", {"text": "x" * 1_001}, 400),
        ("event", {"position": EVENTS + 1}, 404),
        ("streams", {"after": "uuid:no"}, 400),
        ("streams", {"after": "at:no"}, 400),
        ("streams", {"after": f"at:{EVENTS + 1}"}, 400),
        ("aggregate", {"id": "nobody"}, 404),
        ("state", {"id": str(account_id(0)), "version": 1_000_000}, 404),
        ("state", {}, 400),
        ("rates", {"buckets": 501}, 400),
        ("nothing", {}, 404),
        ("live", {"journal": "nowhere"}, 404),
        ("live", {"after": "-1"}, 400),
    ],
)
def test_wrong_requests_are_refused_with_a_reason(
    client: TestClient, name: str, parameters: dict[str, object], status: int
) -> None:
    """As JSON, with the kind of the error, and never with a traceback."""
    response = client.get(f"/api/{name}", params={"journal": BANK} | parameters)  # type: ignore[arg-type]
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["kind"].endswith("Error")
    assert error["message"]
