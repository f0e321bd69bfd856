"""``aurora-es fork``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.support import make_journal, refused, run, writer


def test_a_store_in_use_is_forked(tmp_path: Path) -> None:
    """It tells what it did, as JSON too; the fork is a store of its own, the source what it was."""
    source = make_journal(tmp_path / "store" / "Bank" / "events")
    with writer(source) as other:
        other.append("t", "1")
        done = run("fork", tmp_path / "store", tmp_path / "fork")
        assert (done.returncode, done.stderr) == (0, "")
        first, digest = done.stdout.splitlines()
        assert first.startswith(f"{tmp_path}/fork/Bank/events: up to position 8, commit 5; epoch ")
        assert "; 0 positions left out; 2 files linked, 0 copied, 0 B" in first
        verified = run("verify", tmp_path / "fork", "--digest").stdout
        assert digest in verified
        other.append("t", "2")
    bank = tmp_path / "store" / "Bank"
    done = run("fork", bank, tmp_path / "Bank", "--position", 4, "--copy", "--json")
    report = json.loads(done.stdout)
    assert (report["source"], report["target"]) == (str(bank), str(tmp_path / "Bank"))
    (journal,) = report["journals"]
    assert (journal["path"], journal["position"], journal["left_out"]) == ("events", 3, 6)
    assert (journal["linked_files"], journal["copied_files"]) == (0, 1)
    assert run("verify", tmp_path / "Bank").returncode == 0
    assert len(run("cat", bank).stdout.splitlines()) == 9


def test_a_time_is_a_bound(tmp_path: Path) -> None:
    """Nothing is older than the journal itself: the fork is empty, and a store all the same."""
    source = make_journal(tmp_path / "events")
    done = run("fork", source, tmp_path / "new", "--time", "2020-01-01T00:00:00Z")
    assert ": up to position 0, commit 0; " in done.stdout
    assert run("cat", tmp_path / "new").stdout == ""


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    """Both bounds are wrong arguments; a full target and a position beyond the end are refused."""
    source, new = make_journal(tmp_path / "events"), tmp_path / "new"
    taken = make_journal(tmp_path / "other")
    both = ("--position", 1, "--time", "2026-11-25T20:00:00Z")
    done = run("fork", source, new, *both)
    assert done.returncode == 2
    assert "expected --position or --time" in done.stderr
    assert run("fork", source, new, "--time", "yesterday").returncode == 2
    assert "expected a position up to 7" in refused(1, "fork", source, new, "--position", 8)
    assert "expected an absent or empty" in refused(1, "fork", source, taken)
    assert "no such directory" in refused(1, "fork", tmp_path / "missing", new)
    assert not new.exists()
