"""The instruments for OpenTelemetry, collected by its own reader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from aurora_es import AuroraConfigurationError, Sync
from aurora_es.metrics import register_instruments, snapshot
from aurora_es.metrics.families import HISTOGRAM, families
from tests.journal.support import message, open_with


def collected(reader: InMemoryMetricReader) -> dict[str, Any]:
    """Metrics by name; each one's points by their attributes, without the journal."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def value_of(metric: Any, **attributes: str) -> float:
    """The one value with these attributes."""
    (value,) = [
        point.value
        for point in metric.data.data_points
        if attributes.items() <= point.attributes.items()
    ]
    assert isinstance(value, int | float)
    return value


def test_each_round_sees_the_values_of_its_time(tmp_path: Path) -> None:
    """Counters, gauges and the three parts of histograms, twice, with appends in between."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    register_instruments(provider, under=tmp_path)
    with open_with(tmp_path / "j", sync=Sync.NEVER) as journal:
        for expected in (1, 2):
            journal.append([message(), message()])
            found = collected(reader)
            assert value_of(found["aurora_es.appended_commits"]) == expected
            assert value_of(found["aurora_es.last_position"]) == 2 * expected
            assert value_of(found["aurora_es.append_duration_seconds.count"]) == expected
            assert value_of(found["aurora_es.append_duration_seconds.bucket"], le="+Inf") == (
                expected
            )
            assert value_of(found["aurora_es.append_duration_seconds.sum"]) > 0
            assert value_of(found["aurora_es.segments"], state="tail") == 1
            assert found["aurora_es.appended_bytes"].unit == "By"
            assert found["aurora_es.append_duration_seconds.sum"].unit == "s"
            assert found["aurora_es.appended_commits"].data.is_monotonic
    provider.shutdown()


def test_there_is_an_instrument_for_each_family(tmp_path: Path) -> None:
    """What has values is offered, whatever it is; a receiver's lag with its name."""
    from aurora_es.queue.blocking import open_queue

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    register_instruments(provider, under=tmp_path)
    with open_queue(tmp_path / "q") as queue:
        queue.acquire_sender().send(1)
        queue.subscribe("billing")
        tailer = queue.messages.tail()
        found = collected(reader)
        tailer.stop()
    names = set()
    for family in families():
        parts = (".bucket", ".sum", ".count") if family.kind == HISTOGRAM else ("",)
        names |= {f"aurora_es.{family.name}{part}" for part in parts}
    assert set(found) == names
    assert value_of(found["aurora_es.receiver_lag_messages"], receiver="billing") == 1
    provider.shutdown()


def test_one_snapshot_serves_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dozen instruments that are asked one after the other cost one snapshot."""
    taken = []

    def counting(under: Any) -> Any:
        taken.append(under)
        return snapshot(under)

    monkeypatch.setattr("aurora_es.metrics.otel.snapshot", counting)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    register_instruments(provider, under=tmp_path)
    collected(reader)
    collected(reader)
    assert taken == [tmp_path, tmp_path]
    provider.shutdown()


GLOBAL = """
import sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from aurora_es import Journal, Record
from aurora_es.metrics import register_instruments
reader = InMemoryMetricReader()
if sys.argv[2] == "early":
    register_instruments()
metrics.set_meter_provider(MeterProvider([reader]))
if sys.argv[2] == "late":
    register_instruments()
with Journal.open(sys.argv[1]) as journal:
    journal.append([Record(topic="t", state=b"")])
    found = {
        metric.name: [point.value for point in metric.data.data_points]
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
print(found["aurora_es.appended_commits"], found["aurora_es.last_position"])
"""


@pytest.mark.parametrize("moment", ["early", "late"])
def test_the_global_provider_is_used(tmp_path: Path, moment: str) -> None:
    """As the page says, in a process of its own; also where it is set after the registration."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GLOBAL, str(tmp_path / "j"), moment],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (done.stdout, done.stderr) == ("[1] [1]\n", "")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error says how to install it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(AuroraConfigurationError, match=r"pip install 'aurora-es\[otel\]'"):
        register_instruments()
