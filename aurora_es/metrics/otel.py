"""Offers the metrics to OpenTelemetry, as observable instruments (extra ``otel``).

Theory of operation: a reader of OpenTelemetry asks the instruments one after the other, so one
snapshot serves a whole round: when an instrument is asked a second time, a new round has begun.
OpenTelemetry has no observable histogram; each histogram is three counters, named as its exporters
for Prometheus name them: ``.bucket`` (with the bound as attribute ``le``), ``.sum`` and ``.count``.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from aurora_es.errors import AuroraConfigurationError
from aurora_es.late_imports import fork_waits
from aurora_es.metrics.families import COUNTER, HISTOGRAM, families
from aurora_es.metrics.prometheus import shown_buckets
from aurora_es.metrics.snapshots import snapshot
from aurora_es.metrics.values import Histogram

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

    from aurora_es.metrics.families import Family, Labels
    from aurora_es.metrics.values import Snapshot

_UNITS = {"seconds": "s", "bytes": "By"}  # UCUM; what is only counted is in braces


def register_instruments(
    meter_provider: MeterProvider | None = None, *, under: str | os.PathLike[str] | None = None
) -> None:
    """Let ``meter_provider``, by default the global one, ask for the metrics of this process.

    ``under`` is that of ``snapshot``. Call it once for each provider, in each process that exports;
    journals may be opened before or after. Raises AuroraConfigurationError without the extra.
    """
    try:
        with fork_waits:
            from opentelemetry.metrics import Observation, get_meter_provider
    except ImportError as error:
        message = (
            "opentelemetry-api is not installed, which the instruments need:"
            " pip install 'aurora-es[otel]'"
        )
        raise AuroraConfigurationError(message) from error
    provider = get_meter_provider() if meter_provider is None else meter_provider
    meter = provider.get_meter("aurora_es")
    rounds = _Rounds(under)
    for family in families():
        _register(meter, family, rounds, Observation)


class _Rounds:
    """One snapshot for all instruments that are asked in one round."""

    def __init__(self, under: str | os.PathLike[str] | None) -> None:
        self._under = under
        self._lock = threading.Lock()  # two readers may ask at once; protects the two below
        self._snapshot: Snapshot | None = None
        self._asked: set[str] = set()

    def ask(self, instrument: str) -> Snapshot:
        """The snapshot of this round, or of the next one if ``instrument`` had this one."""
        with self._lock:
            if self._snapshot is None or instrument in self._asked:
                self._snapshot = snapshot(self._under)
                self._asked.clear()
            self._asked.add(instrument)
            return self._snapshot


def _register(
    meter: Meter, family: Family, rounds: _Rounds, observation: type[Observation]
) -> None:
    unit = _UNITS.get(family.unit, f"{{{family.unit.removesuffix('s')}}}")
    name = f"aurora_es.{family.name}"
    if family.kind == HISTOGRAM:
        for ending, part_unit, values in (
            ("bucket", "{value}", _buckets),
            ("sum", unit, _sum),
            ("count", "{value}", _count),
        ):
            part = f"{name}.{ending}"
            callback = _callback(part, family, rounds, values, observation)
            meter.create_observable_counter(part, [callback], part_unit, family.description)
        return
    callback = _callback(name, family, rounds, None, observation)
    create: Any = (
        meter.create_observable_counter if family.kind == COUNTER else meter.create_observable_gauge
    )
    create(name, [callback], unit, family.description)


def _callback(
    instrument: str,
    family: Family,
    rounds: _Rounds,
    values: Callable[[Histogram], Sequence[tuple[Labels, float]]] | None,
    observation: type[Observation],
) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for labels, value in family.samples(rounds.ask(instrument)):
            if not isinstance(value, Histogram):
                yield observation(value, labels)
            elif values is not None:
                for more, part in values(value):
                    yield observation(part, labels | more)

    return observe


def _buckets(histogram: Histogram) -> list[tuple[Labels, float]]:
    shown: list[tuple[Labels, float]] = [
        ({"le": str(bound)}, count) for bound, count in shown_buckets(histogram)
    ]
    return [*shown, ({"le": "+Inf"}, histogram.count)]


def _sum(histogram: Histogram) -> list[tuple[Labels, float]]:
    return [({}, histogram.sum)]


def _count(histogram: Histogram) -> list[tuple[Labels, float]]:
    return [({}, histogram.count)]
