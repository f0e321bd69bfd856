"""Workloads run at small sizes, and their figures become a page and pictures."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import page, workload_dcb, workload_kinds, workload_stores, workloads
from benchmarks.latency_plot import panels_of, svg
from benchmarks.measure import percentile
from benchmarks.workload_events import Events, Zipf
from benchmarks.workload_kinds import QUICK
from benchmarks.workload_stores import MEMORY, OURS, SQLITE

TINY = replace(
    QUICK,
    history_events=200,
    aggregates=20,
    calls=10,
    thread_calls=10,
    paced_appends=5,
    sized_aggregates=1,
    decisions=5,
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server takes part, whatever is installed here."""
    monkeypatch.setattr(workload_stores, "postgres_missing", lambda: "left out")
    monkeypatch.setattr(workload_dcb, "umadb_missing", lambda: "left out")


@pytest.mark.parametrize("name", workloads.WORKLOADS)
def test_each_workload_measures_every_store(name: str, tmp_path: Path) -> None:
    """Every operation has figures of every store that is there, ordered as percentiles are."""
    blocks = workloads.WORKLOADS[name][1](tmp_path, "never", TINY)
    assert set(blocks) == ({OURS, MEMORY} if name == "dcb" else {OURS, SQLITE, MEMORY})
    rows = list(workloads.figures_of(name, "never", blocks))
    operations = {row["operation"] for row in rows}
    assert len(operations) >= 2
    # A reader that catches up may find no full page in so short a time.
    assert len(rows) == len(operations) * len(blocks) or name == "catch-up"
    for row in rows:
        figures = list(row["percentiles"].values())
        assert figures == sorted(figures)
        assert figures[-1] <= row["max"]
        assert sum(workloads.counts_of(row["histogram"]).values()) == row["calls"]


def test_all_stores_have_the_same_history(tmp_path: Path) -> None:
    """What one store is given, every other is given: the logs are the same, event by event."""
    with workload_stores.event_stores(tmp_path, "same", "never") as stores:
        workload_kinds.hot_streams(stores, TINY)
        logs = [
            [
                (event.id, event.originator_id, event.originator_version, event.state)
                for event in store.recorder.select_notifications(start=1, limit=1_000)
            ]
            for store in stores.values()
        ]
    assert len(logs[0]) > TINY.history_events
    assert all(log == logs[0] for log in logs)


def test_zipf_prefers_low_numbers() -> None:
    """The first number is drawn about twice as often as the second, at an exponent of 1."""
    zipf = Zipf(1_000, 1.0, seed=1)
    counts = Counter(zipf.choose() for _ in range(20_000))
    assert 1.8 < counts[0] / counts[1] < 2.2
    assert max(counts) < 1_000


@pytest.mark.parametrize("state_bytes", [100, 1 << 10, 64 << 10])
def test_states_have_the_size_that_was_asked_for(state_bytes: int) -> None:
    """A state is exactly as long, and no two are the same."""
    events = Events(1, state_bytes)
    states = [event.state for event in events.new_aggregate(3)]
    assert [len(state) for state in states] == [state_bytes] * 3
    assert len(set(states)) == 3


def test_the_histogram_keeps_percentiles_within_its_step() -> None:
    """From the histogram alone any percentile can be told, 2 % off at most."""
    drawn = random.Random(3)
    calls = [drawn.lognormvariate(-9, 1) for _ in range(5_000)]
    buckets = workloads.counts_of(workloads.histogram(calls))
    spread = [
        workloads.HISTOGRAM_STEP**bucket / 1e6
        for bucket, count in buckets.items()
        for _ in range(count)
    ]
    for percent in (50, 99, 99.9):
        assert 1 <= percentile(calls, percent) / percentile(spread, percent) < 1.0201


def test_figures_become_a_table_and_a_picture(tmp_path: Path) -> None:
    """The page shows each operation with its percentiles, and the picture is well-formed."""
    blocks = workloads.WORKLOADS["hot-streams"][1](tmp_path, "never", TINY)
    rows = list(workloads.figures_of("hot-streams", "never", blocks))
    report = {
        "command": "python -m benchmarks.workloads",
        "quick": True,
        "machine": {
            "cpu": "a processor",
            "cores": 2,
            "kernel": "Linux",
            "file_system": {"type": "ext4"},
            "python": "CPython",
            "sqlite": "3",
            "packages": {"aurora-es": "0"},
            "revision": "abc",
            "date": "2026-11-26T00:00:00",
            "postgresql": {},
        },
        "sync_words": {"never": {OURS: "AURORA_SYNC=never"}},
        "missing": {"UmaDB": "left out"},
        "rows": rows,
    }
    text = "\n".join(page.workloads_part(report))
    assert "images/workload-hot-streams.svg" in text
    assert "| append 1 event | never | aurora_es |" in text
    assert "UmaDB was not measured: left out" in text
    assert "These figures say nothing" in text
    drawn = ET.fromstring(  # noqa: S314 - our own
        svg("Hot streams", panels_of(rows))
    )
    assert drawn.tag.endswith("svg")
    assert len(drawn.findall(".//{*}g")) == 2
