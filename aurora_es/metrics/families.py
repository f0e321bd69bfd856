"""What each metric is called, and where in a snapshot it is: one table for all who export them.

Theory of operation: names follow the conventions of OpenTelemetry and Prometheus, and an exporter
adds what is its own: a prefix, ``_total``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.metrics.values import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.metrics.values import (
        Extent,
        JournalMetrics,
        ReceiverMetrics,
        Snapshot,
        SubscriptionMetrics,
    )

COUNTER = "counter"  # rises, and begins at zero when a journal is opened
GAUGE = "gauge"
HISTOGRAM = "histogram"

Labels = dict[str, str]


class Sample(NamedTuple):
    """One value of a family."""

    labels: Labels
    value: float | Histogram


class Family(NamedTuple):
    """A metric: what it is, and how to find its values."""

    name: str  # with its unit, where it has one
    kind: str
    unit: str  # "seconds", "bytes", or what is counted
    description: str
    samples: Callable[[Snapshot], list[Sample]]


def families() -> tuple[Family, ...]:
    """All metrics, in the order in which they are shown."""
    return _FAMILIES


def text_of(path: str) -> str:
    """A path as text that UTF-8 can encode; bytes that are none are shown as replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def _of_journal(
    name: str,
    kind: str,
    unit: str,
    description: str,
    value: Callable[[JournalMetrics], float | Histogram],
) -> Family:
    def samples(snapshot: Snapshot) -> list[Sample]:
        return [Sample({"journal": text_of(one.path)}, value(one)) for one in snapshot.journals]

    return Family(name, kind, unit, description, samples)


def _of_extent(name: str, unit: str, description: str, value: Callable[[Extent], int]) -> Family:
    def samples(snapshot: Snapshot) -> list[Sample]:
        return [
            Sample({"journal": text_of(one.path)}, value(one.extent))
            for one in snapshot.journals
            if one.extent is not None
        ]

    return Family(name, GAUGE, unit, description, samples)


def _of_receiver(name: str, description: str, value: Callable[[ReceiverMetrics], int]) -> Family:
    def samples(snapshot: Snapshot) -> list[Sample]:
        return [
            Sample({"queue": text_of(one.path), "receiver": one.name, "kind": one.kind}, value(one))
            for one in snapshot.receivers
        ]

    return Family(name, GAUGE, "messages", description, samples)


def _segments(snapshot: Snapshot) -> list[Sample]:
    found = []
    for one in snapshot.journals:
        if one.extent is not None:
            extent, path = one.extent, text_of(one.path)
            counts = {
                "tail": 1,
                "rolled": extent.rolled_segments,
                "sealed": extent.sealed_segments,
                "cooled": extent.cooled_segments,
            }
            found += [Sample({"journal": path, "state": state}, n) for state, n in counts.items()]
    return found


def _subscription_labels(one: SubscriptionMetrics) -> Labels:
    return {
        "journal": text_of(one.path),
        "kind": one.kind.replace(" ", "_"),
        "number": str(one.number),
    }


def _subscription_lags(snapshot: Snapshot) -> list[Sample]:
    return [Sample(_subscription_labels(one), one.lag_records) for one in snapshot.subscriptions]


_FAMILIES = (
    _of_journal(
        "append_duration_seconds",
        HISTOGRAM,
        "seconds",
        "Time from an append to its publication",
        lambda one: one.append_seconds,
    ),
    _of_journal(
        "sync_duration_seconds",
        HISTOGRAM,
        "seconds",
        "Time of a sync of the tail segment",
        lambda one: one.sync_seconds,
    ),
    _of_journal(
        "commits_per_sync",
        HISTOGRAM,
        "commits",
        "Commits of this process that one sync made durable",
        lambda one: one.commits_per_sync,
    ),
    _of_journal(
        "appended_commits",
        COUNTER,
        "commits",
        "Commits that this process has appended",
        lambda one: one.appended_commits,
    ),
    _of_journal(
        "appended_records",
        COUNTER,
        "records",
        "Records that this process has appended",
        lambda one: one.appended_records,
    ),
    _of_journal(
        "appended_bytes",
        COUNTER,
        "bytes",
        "Bytes of frames that this process has appended",
        lambda one: one.appended_bytes,
    ),
    _of_journal(
        "conflicts",
        COUNTER,
        "commits",
        "Commits that were refused because of a conflict",
        lambda one: one.conflicts,
    ),
    _of_journal(
        "rolls",
        COUNTER,
        "rolls",
        "Segments that this process has begun",
        lambda one: one.rolls,
    ),
    _of_journal(
        "recoveries",
        COUNTER,
        "recoveries",
        "Recoveries by this process that found something to recover",
        lambda one: one.recoveries,
    ),
    _of_journal(
        "adopted_commits",
        COUNTER,
        "commits",
        "Complete commits of interrupted writers that recoveries kept",
        lambda one: one.adopted_commits,
    ),
    _of_journal(
        "cut_bytes",
        COUNTER,
        "bytes",
        "Unfinished bytes that recoveries cut",
        lambda one: one.cut_bytes,
    ),
    _of_journal(
        "handles", GAUGE, "handles", "How often this process has it open", lambda one: one.handles
    ),
    _of_journal(
        "final_handles",
        GAUGE,
        "handles",
        "Handles that a failed sync has made unusable",
        lambda one: one.final_handles,
    ),
    _of_extent(
        "last_position", "position", "Position of the newest record", lambda one: one.last_position
    ),
    _of_extent(
        "first_position",
        "position",
        "Position of the oldest record left",
        lambda one: one.first_position,
    ),
    _of_extent("last_commit", "commit", "Number of the newest commit", lambda one: one.last_commit),
    _of_extent(
        "epoch",
        "epoch",
        "Epoch: rises when a recovery takes back what was visible",
        lambda one: one.epoch,
    ),
    Family("segments", GAUGE, "segments", "Segments by state", _segments),
    _of_extent("runs", "runs", "Index runs over sealed segments", lambda one: one.runs),
    _of_extent(
        "sealed_bytes", "bytes", "Size of sealed and cooled segments", lambda one: one.sealed_bytes
    ),
    _of_extent("tail_bytes", "bytes", "Size of the tail segment", lambda one: one.tail_bytes),
    _of_extent(
        "unsynced_bytes",
        "bytes",
        "Bytes that are visible and not known to be on disk",
        lambda one: one.unsynced_bytes,
    ),
    Family(
        "subscription_lag_records",
        GAUGE,
        "records",
        "Records behind the place of a subscription",
        _subscription_lags,
    ),
    _of_receiver(
        "receiver_lag_messages",
        "Messages that nobody of this name is done with, parked ones left out",
        lambda one: one.lag_messages,
    ),
    _of_receiver(
        "receiver_held_messages",
        "Messages of a group that are being worked on",
        lambda one: one.held_messages,
    ),
    _of_receiver(
        "receiver_parked_messages",
        "Messages of a group that were put aside",
        lambda one: one.parked_messages,
    ),
)
