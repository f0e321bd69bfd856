"""The figures of conditional appends and of reads by tags are kept, with what they were measured on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import dcb


def test_figures_are_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A small run: a row for each subject and size, and no word on a server that is not there."""
    monkeypatch.setattr(dcb, "find_spec", lambda _: None)
    monkeypatch.setattr(dcb, "COURSES", 20)
    kept = tmp_path / "dcb.json"
    arguments = ["--appends", "3", "--reads", "3", "--sizes", "2000"]
    monkeypatch.setattr(
        sys, "argv", ["dcb", *arguments, "--directory", str(tmp_path), "--json", str(kept)]
    )
    dcb.main()
    report = json.loads(kept.read_text("utf-8"))
    assert [row["subject"] for row in report["appends"]] == ["aurora_es", "in-memory"]
    assert report["appends"][0]["against_aurora_es"] == 1
    assert [row["events"] for row in report["reads"]] == [2000]
    assert report["machine"]["python"]
    assert report["reached"]["appends, against UmaDB"] is None
    printed = capsys.readouterr().out
    assert "| aurora_es | " in printed
    assert "| 2,000 | " in printed
