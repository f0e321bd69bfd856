"""Following a journal over server-sent events, through the real command."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aurora_es import ClosedError, Journal, Record, Sync
from aurora_es.inspection.selection import Filter
from aurora_es.ui.live import _messages
from aurora_es.ui.look import Look
from aurora_es.weak_sets import members_of
from tests.cli.support import opened, started, writer
from tests.patience import PATIENCE_SECONDS
from tests.ui.conftest import served


class Following:
    """One browser that follows."""

    def __init__(self, response: httpx2.Response) -> None:
        """Read from ``response``, which does not end."""
        self._lines = response.iter_lines()

    def next(self) -> tuple[str, Any]:
        """Kind and content of the next message."""
        kind = ""
        for line in self._lines:
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return kind, json.loads(line.removeprefix("data: "))
        raise EOFError

    def ended(self) -> None:
        """Return when the server has said that no more will come; raises if it just went."""
        for _ in self._lines:
            pass

    def begun(self) -> None:
        """Return when the server follows."""
        assert next(self._lines).startswith("retry:")


@contextmanager
def following(
    address: str, *, seen: int | None = None, **parameters: object
) -> Iterator[Following]:
    """Follow the journal at ``address``."""
    headers = {} if seen is None else {"last-event-id": str(seen)}
    query: Any = {"journal": "."} | parameters
    url = f"{address}api/live"
    with httpx2.stream(
        "GET", url, params=query, headers=headers, timeout=PATIENCE_SECONDS
    ) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        found = Following(response)
        found.begun()
        yield found


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal with ten records."""
    path = tmp_path / "events"
    with Journal.open(path, sync=Sync.NEVER) as made:
        made.append([Record(topic="old", state=b"%d" % number) for number in range(10)])
    return path


def states(content: Any) -> list[str]:
    """The states in a message."""
    return [event["state"]["text"] for event in content["events"]]


def test_events_of_another_process_arrive(journal: Path) -> None:
    """Without asking, and only what comes after the page was opened."""
    with served(journal) as (address, _), writer(journal) as process, following(address) as page:
        for number in range(3):
            position = process.append("new", str(number))
            kind, content = page.next()
            assert (kind, states(content)) == ("events", [str(number)])
            assert content["position"] == position
            assert content["skipped"] == 0


def test_a_page_goes_on_where_it_was(journal: Path) -> None:
    """After a lost connection the browser names the last message that it has seen."""
    with served(journal) as (address, _):
        with following(address, seen=7) as page:
            assert states(page.next()[1]) == ["7", "8", "9"]
        with following(address, after=8) as page:
            assert states(page.next()[1]) == ["8", "9"]


def test_filters_leave_out_the_rest(journal: Path) -> None:
    """By topic and by text."""
    with (
        served(journal) as (address, _),
        writer(journal) as process,
        following(address, topic="wanted") as by_topic,
        following(address, text="NEEDLE") as by_text,
    ):
        process.append("other", "1")
        process.append("wanted", "2")
        process.append("other", "a-needle")
        assert states(by_topic.next()[1]) == ["2"]
        assert states(by_text.next()[1]) == ["a-needle"]


def test_who_is_too_slow_skips(journal: Path) -> None:
    """What a page could not show anyway is counted and not sent."""
    with Journal.open(journal) as made:
        made.append([Record(topic="many", state=b"%d" % number) for number in range(5_000)])
    with served(journal) as (address, _), following(address, after=0) as page:
        _, content = page.next()
        assert content["skipped"] == 5_010 - 2_000
        assert len(content["events"]) == 100
        assert content["events"][0]["position"] == 3_011
        assert content["position"] == 3_110
        _, content = page.next()
        assert (content["skipped"], content["events"][0]["position"]) == (0, 3_111)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="threads are counted in /proc")
def test_who_follows_takes_no_thread(journal: Path) -> None:
    """Thirty pages at once, and the threads that read are no more than for one."""
    with served(journal) as (address, process_id), ExitStack() as stack:
        pages = [stack.enter_context(following(address)) for _ in range(30)]
        with Journal.open(journal) as made:
            made.append([Record(topic="new", state=b"for all")])
        assert [states(page.next()[1]) for page in pages] == [["for all"]] * 30
        status = Path(f"/proc/{process_id}/status").read_text()
        threads = re.search(r"Threads:\s+(\d+)", status)
        assert threads is not None
        assert int(threads[1]) <= 6


@pytest.mark.parametrize("is_busy", [False, True], ids=["quiet", "busy"])
def test_ctrl_c_ends_live_tails_in_order(
    journal: Path,
    is_busy: bool,  # noqa: FBT001 - parametrized
) -> None:
    """Each gets the end of its stream, at once; the terminal gets no traceback."""
    with started("ui", journal, "--port", 0, "--json") as process, ExitStack() as stack:
        address = json.loads(opened(process.stdout).readline())["address"]
        pages = [stack.enter_context(following(address, after=0)) for _ in range(5)]
        for page in pages:
            page.next()
        if is_busy:  # a message that no browser has read yet
            with Journal.open(journal) as made:
                made.append([Record(topic="new", state=b"x" * 1_000)] * 1_000)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert opened(process.stderr).read() == ""
        for page in pages:
            page.ended()


def test_who_leaves_is_followed_for_no_more(journal: Path) -> None:
    """The watch of the mark and the lease of the journal are given back at once, not by garbage."""

    async def leave_while_waiting() -> None:
        look = Look(str(journal), None)
        lease = look.journals.lease(".")
        messages = _messages(look, lease, Filter(), 10)
        assert (await anext(messages)).startswith(b"retry:")
        waiting = asyncio.ensure_future(anext(messages))
        while not (followers := members_of(lease._followers)) or not followers[0]._loop_waiter:
            await asyncio.sleep(0)
        (follower,) = followers
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert follower.stopped
        assert follower._loop_waiter is None
        with pytest.raises(ClosedError):
            _ = lease.journal
        look.close()

    asyncio.run(leave_while_waiting())
