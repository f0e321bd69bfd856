"""The table of speeds before and after the work on faults, for docs/reliability.md."""

from __future__ import annotations

import json
from typing import Any

from tests.fault.figures import ROOT

_RESULTS = ROOT / "benchmarks" / "results"
_HEAD = """## What it costs: speeds before and after

Rows of `python -m benchmarks`, from `benchmarks/results/before-faults.json` (revision {before}, the last
one before these experiments began) and `benchmarks/results/latest.json` (revision {after}). *Beside* is
how many times as fast as the same work on SQLite, or what else is named, in the same run; rows that
did not exist before are left out. See [benchmarks](benchmarks.md).

| | before | after | beside, before | beside, after |
|---|---:|---:|---:|---:|
"""


def speed_table() -> str:
    """The section of the page."""
    before, after = (
        json.loads((_RESULTS / name).read_text("utf-8"))
        for name in ("before-faults.json", "latest.json")
    )
    earlier = {row["key"]: row for row in before["rows"]}
    revisions = [one["machine"]["revision"] for one in (before, after)]
    lines = [
        _row(earlier[row["key"]], row)
        for row in after["rows"]
        if row["key"] in earlier and not row["work"].startswith(" ")
    ]
    return _HEAD.format(before=revisions[0], after=revisions[1]) + "\n".join(lines) + "\n"


def _row(before: dict[str, Any], after: dict[str, Any]) -> str:
    cells = [_value(row["median"].get("aurora"), row["unit"]) for row in (before, after)]
    cells += [f"{row['ratio']:.2f}" if row["ratio"] else "" for row in (before, after)]
    sync = after["sync"]
    mode = f" ({sync['aurora']})" if isinstance(sync, dict) and sync.get("aurora") else ""
    return f"| {after['work']}{mode} | {' | '.join(cells)} |"


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "seconds":
        return f"{value * 1e6:,.1f} µs"
    if unit == "per_second":
        return f"{value:,.0f}/s"
    return f"{value:.4g} {unit}"
