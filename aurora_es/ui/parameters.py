"""Reads what a request asks for from its address; wrong values are refused by name."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from aurora_es.errors import ArgumentError
from aurora_es.inspection.selection import Filter, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.datastructures import QueryParams

    from aurora_es.inspection.states import StateDecoder

_POSITION_MAX = (1 << 63) - 1
_TEXT_CHARACTERS_MAX = 1_000
# With each character as up to twelve in an address, this is what a server takes.
_ID_CHARACTERS_MAX = 4_000
_IDS = frozenset({"id", "prefix"})
_TOPICS_MAX = 100


class Parameters:
    """The query of one request. Every method raises ArgumentError."""

    def __init__(self, query: QueryParams) -> None:
        """Read from ``query``."""
        self._query = query

    def text(self, name: str) -> str | None:
        """A text that is not empty."""
        text: str | None = self._query.get(name)
        limit = _ID_CHARACTERS_MAX if name in _IDS else _TEXT_CHARACTERS_MAX
        if text is not None and len(text) > limit:
            message = f"{name}: expected at most {limit} characters, found {len(text)}"
            if name in _IDS:
                message += "; `aurora-es show` takes longer ones"
            raise ArgumentError(message)
        return text or None

    def needed(self, name: str) -> str:
        """A text that must be there."""
        text = self.text(name)
        if text is None:
            message = f"{name}: expected a value, found none"
            raise ArgumentError(message)
        return text

    def whole(self, name: str, *, low: int = 0, high: int = _POSITION_MAX) -> int | None:
        """A whole number between ``low`` and ``high``, both included."""
        text = self.text(name)
        if text is None:
            return None
        if re.fullmatch(r"-?[0-9]{1,19}", text) is None or not low <= int(text) <= high:
            message = f"{name}: expected a whole number from {low} to {high}, found {text!r}"
            raise ArgumentError(message)
        return int(text)

    def count(self, name: str, *, default: int, high: int) -> int:
        """How many of something: 1 to ``high``."""
        found = self.whole(name, low=1, high=high)
        return default if found is None else found

    def time(self, name: str) -> datetime | None:
        """A time with its zone."""
        text = self.text(name)
        try:
            return None if text is None else parse_time(text)
        except ValueError:
            message = f"{name}: expected a time in ISO 8601 with a zone, found {text!r}"
            raise ArgumentError(message) from None

    def choice(self, name: str, choices: Mapping[str, bool], *, default: bool) -> bool:
        """One of the words in ``choices``."""
        text = self.text(name)
        if text is None:
            return default
        if text not in choices:
            message = f"{name}: expected one of {', '.join(choices)}, found {text!r}"
            raise ArgumentError(message)
        return choices[text]

    def filter(self, decoder: StateDecoder | None) -> Filter:
        """Topics, originator and text that are asked for; the text is no expression."""
        topics = tuple(topic for topic in self._query.getlist("topic") if topic)
        if len(topics) > _TOPICS_MAX:
            message = f"topic: expected at most {_TOPICS_MAX}, found {len(topics)}"
            raise ArgumentError(message)
        text = self.text("text")
        pattern = None if text is None else re.compile(re.escape(text), re.IGNORECASE)
        return Filter(topics, self.text("id"), pattern, decoder)
