"""Renders a snapshot in the text format of Prometheus, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/. Histograms are shown with one
bucket to each power of two, since each bucket of each journal is a series of its own over there;
the bounds are among those of the snapshot, so nothing is guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.metrics.families import COUNTER, Family, Labels, families
from aurora_es.metrics.values import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.metrics.values import Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_EXACT_BUCKETS = 8  # of the smallest values: 1, 2, 3, ... of which the powers of two are shown
_BUCKETS_TO_A_POWER = 4


def prometheus_text(snapshot: Snapshot) -> str:
    """The lines that a Prometheus server reads; serve them as ``CONTENT_TYPE``."""
    return "".join(line for family in families() for line in _lines(family, snapshot))


def prometheus_name(family: Family) -> str:
    """The name of a metric as Prometheus writes it: with ``_total`` if it only rises."""
    ending = "_total" if family.kind == COUNTER else ""
    return f"aurora_es_{family.name}{ending}"


def shown_buckets(histogram: Histogram) -> list[tuple[float, int]]:
    """Bounds that are shown, and how many values each has below it."""
    below = histogram.cumulative()
    chosen = [0, 1, 3, *range(_EXACT_BUCKETS - 1, len(below), _BUCKETS_TO_A_POWER)]
    return [(histogram.bounds[number], below[number]) for number in chosen]


def _lines(family: Family, snapshot: Snapshot) -> Iterator[str]:
    samples = family.samples(snapshot)
    if not samples:
        return
    name = prometheus_name(family)
    yield f"# HELP {name} {family.description}.\n"
    yield f"# TYPE {name} {family.kind}\n"
    for labels, value in samples:
        if not isinstance(value, Histogram):
            yield _line(name, labels, value)
            continue
        for bound, count in shown_buckets(value):
            yield _line(f"{name}_bucket", labels | {"le": _number(bound)}, count)
        yield _line(f"{name}_bucket", labels | {"le": "+Inf"}, value.count)
        yield _line(f"{name}_sum", labels, value.sum)
        yield _line(f"{name}_count", labels, value.count)


def _line(name: str, labels: Labels, value: float) -> str:
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{shown}}} {_number(value)}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
