"""Follows a journal for a browser, as server-sent events.

Theory of operation: no thread. The event loop waits for the journal's mark as subscriptions do; what
has come is read in a thread, at most a page at a time, and sent as one message. A browser that is
slower than the writers is not sent everything: what it would not have caught up with is skipped, and
the next message says how much. Between two messages there is a pause, so that a fast writer leads to
larger messages and not to more of them; the first is sent at once.

A message is ``event: events`` with ``{"events": [...], "skipped": n, "position": p}``. A comment every
15 seconds lets both ends notice that the other has gone. After ``event: problem`` the stream ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import StreamingResponse

from aurora_es.errors import AuroraError, ClosedError
from aurora_es.inspection.plain import encodable
from aurora_es.ui.shapes import LISTED_CHARACTERS_MAX, ShownEvent, shown_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from aurora_es.inspection.selection import Filter
    from aurora_es.journal.journal import Journal
    from aurora_es.journal.sharing import JournalLease
    from aurora_es.ui.look import Look
    from aurora_es.ui.parameters import Parameters

_MESSAGE_EVENTS_MAX = 100
_BEHIND_MAX = 2_000  # records; beyond it they are skipped
_PAUSE_SECONDS = 0.1
_ALIVE_SECONDS = 15.0
_encode_json = msgspec.json.Encoder().encode


class _Message(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded up to ``position``."""

    events: list[ShownEvent]
    skipped: int
    position: int


async def live(look: Look, asked: Parameters, request: Request) -> StreamingResponse:
    """Answer with what comes behind position ``after``, by default the end of the journal.

    A browser that connects anew names the last position that it has seen.
    """
    chosen = asked.filter(look.decoder)
    after = asked.whole("after")
    seen = request.headers.get("last-event-id", "")
    if seen.isdecimal() and len(seen) < 19:
        after = int(seen)
    lease = await look.read(look.journals.lease, asked.needed("journal"))
    try:
        last = await look.read(lambda: lease.journal.last_position)
    except BaseException:
        lease.close()
        raise
    if request.method == "HEAD":  # nobody reads what would follow
        lease.close()
        return StreamingResponse(iter(()), media_type="text/event-stream")
    begin = last if after is None else min(after, last)
    return StreamingResponse(
        _messages(look, lease, chosen, begin),
        headers={"x-accel-buffering": "no"},
        media_type="text/event-stream",
    )


async def _messages(
    look: Look, lease: JournalLease, chosen: Filter, position: int
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    follower = lease.follower()
    look.followers.add(follower)
    try:
        yield b"retry: 2000\n\n"
        while not follower.stopped:
            try:
                async with asyncio.timeout(_ALIVE_SECONDS):
                    visible = await follower.wait_beyond_in(loop, position)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if not visible:
                return
            message = await look.read(_read, look, lease.journal, chosen, position, visible)
            position = message.position
            if message.events or message.skipped:
                yield b"event: events\nid: %d\ndata: %b\n\n" % (position, _encode_json(message))
            await asyncio.sleep(_PAUSE_SECONDS)
    except ClosedError:
        return  # the command ends
    except (AuroraError, OSError) as error:
        problem = {"kind": type(error).__name__, "message": encodable(str(error))}
        yield b"event: problem\ndata: %b\n\n" % _encode_json(problem)
    finally:
        look.followers.discard(follower)
        follower.close()
        lease.close()


def _read(look: Look, journal: Journal, chosen: Filter, position: int, visible: int) -> _Message:
    """The chosen records behind ``position``, a message's worth of them."""
    begin = max(position, visible - _BEHIND_MAX)
    reached, found = visible, []
    records = journal.read(begin + 1, visible)
    for stored in chosen.choose(records):
        found.append(shown_event(stored, look.decoder, characters_max=LISTED_CHARACTERS_MAX))
        if len(found) == _MESSAGE_EVENTS_MAX:
            reached = stored.position
            break
    return _Message(events=found, skipped=begin - position, position=reached)
