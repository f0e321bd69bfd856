"""Answers about journals as a whole: which there are, counts, rates, topics, and their files."""

from __future__ import annotations

import os
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from aurora_es.inspection.overview import Summary, survey
from aurora_es.inspection.picture import Picture, SegmentPicture, read_picture
from aurora_es.inspection.plain import encodable
from aurora_es.inspection.rates import Bucket, read_rates

if TYPE_CHECKING:
    from aurora_es.journal.statistics import Statistics
    from aurora_es.ui.look import Look
    from aurora_es.ui.parameters import Parameters

_JOURNALS_MAX = 500
_BUCKETS_DEFAULT = 60
_BUCKETS_MAX = 500
_TOPICS_MAX = 200
_SEGMENTS_MAX = 2_000


class ListedJournal(msgspec.Struct, frozen=True, kw_only=True):
    """A journal below the path that is looked at; ``journal`` names it in requests."""

    journal: str
    summary: Summary


class Journals(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at."""

    path: str
    app: str | None
    version: str
    journals: list[ListedJournal]
    left_out: int


class TopicCount(msgspec.Struct, frozen=True):
    """How many records have a topic."""

    topic: str
    count: int


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """The most frequent topics; the rest is added up."""

    topics: list[TopicCount]
    other_topics: int
    other_events: int


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """Segments, the newest ones if there are very many, and index runs."""

    picture: Picture
    segments_left_out: int


def journals(look: Look, _: Parameters) -> Journals:
    """All journals, from their manifests and marks: whatever their length."""
    paths = look.journals.find()
    found = []
    for name, path in list(paths.items())[:_JOURNALS_MAX]:
        surveyed = survey(path)
        if surveyed is not None:
            summary = surveyed[0]
            summary.path = encodable(path)
            found.append(ListedJournal(journal=name, summary=summary))
    return Journals(
        path=encodable(look.journals.root),
        app=None if look.decoder is None else look.decoder.name,
        version=version("aurora-es"),
        journals=found,
        left_out=max(len(paths) - _JOURNALS_MAX, 0),
    )


def statistics(look: Look, asked: Parameters) -> Statistics:
    """Counts and settings of a journal."""
    with look.journals.use(asked.needed("journal")) as journal:
        found = journal.statistics()
    return msgspec.structs.replace(found, path=encodable(found.path))


def rates(look: Look, asked: Parameters) -> list[Bucket]:
    """Records over time, in equally long stretches."""
    with look.journals.use(asked.needed("journal")) as journal:
        return read_rates(
            journal,
            since=asked.time("since"),
            until=asked.time("until"),
            buckets=asked.count("buckets", default=_BUCKETS_DEFAULT, high=_BUCKETS_MAX),
        )


class TopicCounts:
    """Counts topics, once for each length of a journal: what is not sealed has to be read."""

    def __init__(self) -> None:
        """Have counted nothing yet."""
        self._lock = threading.Lock()  # one count at a time; guards the rest
        self._counted: dict[tuple[str, str, int], Topics] = {}

    def __call__(self, look: Look, asked: Parameters) -> Topics:
        """The most frequent topics of a journal."""
        name = asked.needed("journal")
        with look.journals.use(name) as journal, self._lock:
            identity = journal.handle.genesis_id.hex()
            key = (name, identity, journal.last_position)
            if key not in self._counted:
                counted = _most_frequent(journal.topics())
                for old in [old for old in self._counted if old[0] == name]:
                    del self._counted[old]
                self._counted[key] = counted
            return self._counted[key]


def _most_frequent(counts: dict[str, int]) -> Topics:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    others = ranked[_TOPICS_MAX:]
    return Topics(
        topics=[TopicCount(topic, count) for topic, count in ranked[:_TOPICS_MAX]],
        other_topics=len(others),
        other_events=sum(count for _, count in others),
    )


def storage(look: Look, asked: Parameters) -> Storage:
    """The files of a journal as a picture."""
    with look.journals.use(asked.needed("journal")) as journal:
        picture = read_picture(journal)
    segments: list[SegmentPicture] = picture.segments[-_SEGMENTS_MAX:]
    return Storage(
        picture=msgspec.structs.replace(
            picture, path=os.path.basename(encodable(picture.path)), segments=segments
        ),
        segments_left_out=len(picture.segments) - len(segments),
    )
