"""What a reader asks for: records with certain topics and tags.

A query is a list of items, and a record matches if it matches one of them: if its topic is among
the item's topics, or the item names none, and if it has all of the item's tags. A query without
items matches every record, and so does one with an item that names neither topics nor tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class QueryItem(NamedTuple):
    """One way to match; empty sets ask for nothing."""

    topics: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()


class Query:
    """Items of which a record has to match one; immutable."""

    __slots__ = ("items", "topics")

    def __init__(self, items: Iterable[QueryItem] = ()) -> None:
        """Keep the items that make a difference."""
        different = tuple(dict.fromkeys(items))
        if not all(item.topics or item.tags for item in different):
            different = ()  # one of them matches every record
        self.items = different
        # If it asks for nothing but topics, these; else None. Scanning for topics is a hot path.
        self.topics: frozenset[str] | None = None
        if different and not any(item.tags for item in different):
            self.topics = frozenset[str]().union(*(item.topics for item in different))

    @property
    def matches_all(self) -> bool:
        """Whether every record matches."""
        return not self.items

    def matches(self, topic: str, tags: Sequence[str]) -> bool:
        """Whether a record with this topic and these tags matches."""
        for item in self.items:
            if (not item.topics or topic in item.topics) and item.tags.issubset(tags):
                return True
        return not self.items


class Condition(NamedTuple):
    """What an append demands: no record above position ``after`` matches ``query``."""

    query: Query
    after: int


def query_of_topics(topics: Iterable[str]) -> Query:
    """Return the query for records with one of ``topics``; for all, if there are none."""
    return Query([QueryItem(topics=frozenset(topics))])
