"""The text for Prometheus, read again by a parser that was written from its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import Sync
from aurora_es.metrics import ReceiverMetrics, Snapshot, prometheus_text, snapshot
from aurora_es.metrics.families import families
from aurora_es.metrics.prometheus import prometheus_name
from tests.journal.support import message, open_with

ROOT = Path(__file__).parent.parent.parent
LINE = re.compile(r"(?P<name>[a-z_:][a-z0-9_:]*)\{(?P<labels>.*)\} (?P<value>\S+)")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> tuple[dict[str, str], Series]:
    """Types by name, and values by name and labels; fails for anything unexpected."""
    types: dict[str, str] = {}
    values: Series = {}
    assert text.endswith("\n") or not text
    for line in text.split("\n")[:-1]:
        if line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert name not in types
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match, line
            assert (
                "".join(found.group() for found in LABEL.finditer(match["labels"]))
                == (match["labels"])
            )
            labels = frozenset(
                (key, re.sub(r"\\.", lambda escape: UNESCAPED[escape.group()], text))
                for key, text in LABEL.findall(match["labels"])
            )
            assert (match["name"], labels) not in values
            values[match["name"], labels] = float(match["value"])
    return types, values


def test_counts_and_buckets_of_a_journal(tmp_path: Path) -> None:
    """Buckets rise, the last one is the count, and totals are those of the snapshot."""
    with open_with(tmp_path / "j", sync=Sync.NEVER) as journal:
        for _ in range(30):
            journal.append([message()])
        taken = snapshot(tmp_path)
        types, values = parsed(prometheus_text(taken))
    path = ("journal", str(tmp_path / "j"))
    assert types["aurora_es_append_duration_seconds"] == "histogram"
    assert types["aurora_es_appended_commits_total"] == "counter"
    assert types["aurora_es_last_position"] == "gauge"
    assert values["aurora_es_appended_commits_total", frozenset({path})] == 30
    assert values["aurora_es_append_duration_seconds_count", frozenset({path})] == 30
    assert values["aurora_es_append_duration_seconds_sum", frozenset({path})] == (
        taken.journals[0].append_seconds.sum
    )
    assert values["aurora_es_segments", frozenset({path, ("state", "tail")})] == 1
    buckets = sorted(
        (float(dict(labels)["le"]), value)
        for (name, labels), value in values.items()
        if name == "aurora_es_append_duration_seconds_bucket"
    )
    assert [bound for bound, _ in buckets[:-1]] == [2**power / 1e6 for power in range(27)]
    assert buckets[-1] == (float("inf"), 30)
    counts = [value for _, value in buckets]
    assert counts == sorted(counts)


def test_nothing_open_is_no_text(tmp_path: Path) -> None:
    """No family is announced that has no values."""
    assert prometheus_text(snapshot(tmp_path)) == ""


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_labels_are_escaped(name: str) -> None:
    """Whatever a receiver is called, its name comes back, and no line is added by it."""
    receiver = ReceiverMetrics(
        path="/q", name=name, kind="receiver", lag_messages=3, held_messages=0, parked_messages=0
    )
    text = prometheus_text(Snapshot(journals=(), subscriptions=(), receivers=(receiver,)))
    _, values = parsed(text)
    labels = frozenset({("queue", "/q"), ("receiver", name), ("kind", "receiver")})
    assert values["aurora_es_receiver_lag_messages", labels] == 3


def test_a_path_that_is_no_utf_8_can_be_served() -> None:
    """Bytes that are no text are shown as replaced."""
    receiver = ReceiverMetrics(
        path="/\udcff", name="n", kind="group", lag_messages=0, held_messages=0, parked_messages=0
    )
    text = prometheus_text(Snapshot(journals=(), subscriptions=(), receivers=(receiver,)))
    assert 'queue="/\ufffd"' in text
    text.encode()


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_the_page_names_each_metric(family: object) -> None:
    """docs/how-to/metrics.md lists every metric by the name that Prometheus shows."""
    page = (ROOT / "docs" / "how-to" / "metrics.md").read_text("utf-8")
    found = next(one for one in families() if one is family)
    assert f"| `{prometheus_name(found)}` |" in page
