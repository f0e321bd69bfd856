"""A member of a group: what its receivers share, in loops and in threads, without any waiting.

Theory of operation: a member *claims* messages with one record, which is refused if another member
has claimed something since it last looked; then it looks again. Each claim has a *lease* of its
own name, so that a member whose time was over gives back nothing that is not its own any more.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from aurora_es.errors import ArgumentError
from aurora_es.queue.cursor_records import (
    GROUP,
    Acknowledge,
    Claim,
    Discard,
    Draft,
    Extend,
    Move,
    Park,
    Redeliver,
    Release,
    draft_of,
    name_id,
    versioned_draft,
)
from aurora_es.queue.cursor_state import HELD_MAX, Parked, choose, is_full, next_time
from aurora_es.queue.messages import message_of
from aurora_es.queue.queue_errors import LeaseLostError, ReceiveTimeoutError
from aurora_es.queue.queue_logs import logger
from aurora_es.queue.reader import START, MessageReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.queue.cursor_state import NameState
    from aurora_es.queue.cursors import CursorLog
    from aurora_es.queue.messages import Message
    from aurora_es.queue.reader import Target

VISIBILITY_SECONDS_DEFAULT = 30.0
ATTEMPTS_MAX_DEFAULT = 5
_REASON_CHARACTERS_MAX = 1_000
_FULL = (
    f"{HELD_MAX:,} messages are with members, wait for another attempt, or for an earlier one of"
    " their key; no new ones are looked at until some of these are done"
)


class GroupMember:
    """Chooses, claims and gives back messages in the name of one receiver."""

    def __init__(  # noqa: PLR0913 - made by ``join`` alone
        self,
        log: CursorLog,
        name: str,
        *,
        visibility_timeout: float,
        attempts_max: int | None,
        retry_delay: float,
        prefetch: int,
    ) -> None:
        """Be a member of the group ``name``, which exists; raises ArgumentError, OSError."""
        if visibility_timeout <= 0 or retry_delay < 0 or prefetch < 1:
            message = (
                "expected visibility_timeout above 0, retry_delay of 0 or more, prefetch of 1 or"
                f" more; found {visibility_timeout}, {retry_delay} and {prefetch}"
            )
            raise ArgumentError(message)
        if attempts_max is not None and attempts_max < 1:
            message = f"attempts_max: expected 1 or more, or None; found {attempts_max}"
            raise ArgumentError(message)
        self.log = log
        self.name = name
        self._effects = log.messages.handle.effects
        self._visibility_us = int(visibility_timeout * 1_000_000)
        self._attempts_max = attempts_max
        self._retry_us = int(retry_delay * 1_000_000)
        self._prefetch = prefetch
        self._reader = MessageReader(log.messages, START)
        self._id = f"{os.getpid()}-{self._effects.random_bytes(8).hex()}"
        self._claims = 0
        self._was_full = False
        self._ready: deque[tuple[Message, int]] = deque()  # claimed until, not handed out yet

    # Claiming

    def claim(self) -> tuple[Draft, Claim] | None:
        """What to append to get more messages, None if there are none now.

        Once it is appended, call ``adopt``. After a conflict call this again.
        """
        now = self._effects.clock()
        with self.log.lock:
            state = self.log.known(self.name, GROUP)
            choice = choose(
                state,
                self._key_at,
                now=now,
                last_position=self._reader.last_position(),
                count=self._prefetch,
                attempts_max=self._attempts_max,
            )
            if choice is None:
                self._tell_if_full(state)
                return None
            self._was_full = False
            self._claims += 1
            claim = Claim(
                self.name, f"{self._id}-{self._claims}", now + self._visibility_us, *choice
            )
            return versioned_draft(claim, name_id(self.name), state.version + 1), claim

    def _tell_if_full(self, state: NameState) -> None:
        if is_full(state, self._reader.last_position()) and not self._was_full:
            self._was_full = True
            logger.warning("group %r: %s", self.name, _FULL)

    def no_message(self, timeout: float | None) -> ReceiveTimeoutError:
        """The error for a message that did not come in time; it says so if some are held back."""
        with self.log.lock:
            state = self.log.known(self.name, GROUP)
            why = f"; {_FULL}" if is_full(state, self._reader.last_position()) else ""
        return ReceiveTimeoutError(f"group {self.name!r}: no message came within {timeout} s{why}")

    def check_lease(self, message: Message) -> None:
        """Raise LeaseLostError unless ``message`` is still with the member that it was given to."""
        with self.log.lock:
            held = self.log.known(self.name, GROUP).held.get(message.position)
        if held is None or held.holder != message.lease:
            reason = (
                f"group {self.name!r}: position {message.position} is not with this member any more:"
                " its time was over, or it is done with. Stop the work on it, or let it bear to be"
                " done twice; a longer visibility_timeout, or extend() in time, prevents this"
            )
            raise LeaseLostError(reason, position=message.position)

    def _key_at(self, position: int) -> str | None:
        tags = self._reader.fetch(position)[2].tags
        return tags[0] if tags else None

    def adopt(self, claim: Claim) -> None:
        """Take what ``claim``, which is in the journal now, has claimed."""
        if claim.parked:
            logger.warning("group %r: positions %s are parked", self.name, claim.parked)
        with self.log.lock:
            held = self.log.known(self.name, GROUP).held
            attempts = {
                position: one.attempts
                for position, _ in claim.claimed
                if (one := held.get(position)) is not None and one.holder == claim.holder
            }
        for position, count in attempts.items():
            message = message_of(*self._reader.fetch(position), count, claim.holder)
            self._ready.append((message, claim.until))

    def ready_message(self) -> Message | None:
        """The next message that was claimed; one whose time is over already is left to others."""
        while self._ready:
            message, until = self._ready.popleft()
            if until > self._effects.clock():
                return message
        return None

    @property
    def has_ready(self) -> bool:
        """Whether more messages were claimed than were handed out."""
        return bool(self._ready)

    def patience(self) -> float | None:
        """In how many seconds there may be something without news; None: never."""
        now = self._effects.clock()
        with self.log.lock:
            due = next_time(self.log.known(self.name, GROUP), now)
        return None if due is None else (due - now) / 1_000_000

    # Giving back

    def acknowledged(self, messages: Iterable[Message]) -> Draft:
        """The messages are done."""
        return draft_of(Acknowledge(self.name, [message.position for message in messages]))

    def released(self, message: Message, delay: float) -> Draft:
        """The message is for another attempt, in ``delay`` seconds."""
        visible_at = self._effects.clock() + int(delay * 1_000_000)
        return draft_of(
            Release(self.name, message.lease, [message.position], visible_at, is_counted=True)
        )

    def failed(self, message: Message, error: BaseException) -> Draft:
        """The message was taken and its block raised ``error``."""
        if self._attempts_max is not None and message.attempts >= self._attempts_max:
            return self.parked(message, f"{type(error).__name__}: {error}")
        return self.released(message, self._retry_us / 1_000_000)

    def extended(self, message: Message, seconds: float) -> Draft:
        """The message needs more time, from now on."""
        until = self._effects.clock() + int(seconds * 1_000_000)
        return draft_of(Extend(self.name, message.lease, [message.position], until))

    def parked(self, message: Message, reason: str) -> Draft:
        """The message is to be put aside; that is logged, as nobody may look for a while."""
        reason = reason[:_REASON_CHARACTERS_MAX]
        logger.warning("group %r: position %d is parked: %s", self.name, message.position, reason)
        return draft_of(Park(self.name, message.lease, [message.position], reason))

    def unused(self) -> list[Draft]:
        """Whatever was claimed and not handed out, to be given back at once."""
        now = self._effects.clock()
        drafts = [
            draft_of(Release(self.name, message.lease, [message.position], now, is_counted=False))
            for message, until in self._ready
            if until > now
        ]
        self._ready.clear()
        return drafts

    # Looking after the group

    def lag(self) -> int:
        """How many messages nobody is done with, parked ones left out."""
        with self.log.lock:
            state = self.log.known(self.name, GROUP)
            return state.lag(self._reader.last_position())

    def parked_messages(self) -> list[tuple[Message, str]]:
        """What was put aside, and why."""
        with self.log.lock:
            parked = self.log.known(self.name, GROUP).parked
            found = [(position, parked[position]) for position in sorted(parked)]
        return [(self._parked_message(position, one), one.reason) for position, one in found]

    def _parked_message(self, position: int, parked: Parked) -> Message:
        return message_of(*self._reader.fetch(position), parked.attempts)

    def redelivered(self, messages: Iterable[Message]) -> Draft:
        """Parked messages are for another first attempt."""
        return draft_of(Redeliver(self.name, [message.position for message in messages]))

    def discarded(self, messages: Iterable[Message]) -> Draft:
        """Parked messages are done with."""
        return draft_of(Discard(self.name, [message.position for message in messages]))

    def moved(self, target: Target) -> Draft:
        """The group starts anew at ``target``."""
        frontier = self.log.frontier_at(target)
        with self.log.lock:
            version = self.log.known(self.name, GROUP).version + 1
        return versioned_draft(Move(self.name, frontier), name_id(self.name), version)
