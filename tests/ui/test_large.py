"""The interface on 10^6 events: every page, in bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.ui.conftest import served
from tests.ui.stores import APP, EVENTS_OF_SLOW_TESTS, make_store

GROWTH_KIB_MAX = 64 * 1024


def memory_kib(process_id: int) -> int:
    """The most memory that a process has had at once."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read in /proc")
def test_all_pages_of_a_million_events_in_bounded_memory(tmp_path: Path) -> None:
    """Every event once, newest first; every stream once; searches that find nothing; live."""
    root = make_store(tmp_path / "store", events=EVENTS_OF_SLOW_TESTS)
    with (
        served(root, "--app", APP) as (address, process_id),
        httpx2.Client(base_url=f"{address}api/", timeout=120.0) as client,
    ):

        def ask(name: str, **parameters: object) -> Any:
            query: Any = {"journal": "Bank/events"} | parameters
            response = client.get(name, params=query)
            assert response.status_code == 200, response.text
            return response.json()

        ask("events")
        ask("topics")
        before = memory_kib(process_id)
        expected = EVENTS_OF_SLOW_TESTS
        page = ask("events", limit=200)
        while page["events"]:
            found = [event["position"] for event in page["events"]]
            assert found == list(range(expected, expected - len(found), -1))
            expected -= len(found)
            if page["next"] is None:
                break
            page = ask("events", limit=200, next=page["next"])
        assert expected == 0
        streams: set[str] = set()
        events = 0
        after = None
        while True:
            listed = ask("streams", limit=200, **({} if after is None else {"after": after}))
            for one in listed["streams"]:
                assert one["id"] not in streams
                streams.add(one["id"])
                events += one["event_count"]
            after = listed["next"]
            if after is None:
                break
        assert events == EVENTS_OF_SLOW_TESTS
        searched = ask("events", text="no such text")
        assert (searched["events"], searched["looked_at"]) == ([], 10_000)
        assert searched["next"] is not None
        assert memory_kib(process_id) - before < GROWTH_KIB_MAX
