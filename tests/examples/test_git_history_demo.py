"""The demo as a whole: as people start it, with a follower that errs, and beside foreign files."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("plotext")

from rich.console import Console

from examples.git_history import demo, report
from examples.git_history.churn import ChurnTotals
from examples.git_history.source import read_sample
from examples.git_history.store_directory import MARKER
from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
COMMIT_COUNT = 150


def run_module(module: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the examples as its user does, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def run_in_process(store: Path, repository: Path | None = None) -> tuple[int, str]:
    """Run the demo in this process; returns its exit status and what it printed."""
    options = demo.Options(
        repository=repository or store,
        store=store,
        sync="never",
        commit_count_max=COMMIT_COUNT,
        sample_only=repository is None,
    )
    printed = io.StringIO()
    return demo.run_demo(options, Console(file=printed, width=100)), printed.getvalue()


def test_the_demo_runs_twice_without_a_terminal(tmp_path: Path) -> None:
    """It ends well, in plain text, and the second run replaces the store of the first."""
    store = tmp_path / "demo store"
    arguments = ("--sample", f"--limit={COMMIT_COUNT}", f"--store={store}")
    totals = ChurnTotals()
    for commit, _ in zip(read_sample(), range(COMMIT_COUNT), strict=False):
        totals.add_commit(commit)

    for _ in range(2):
        done = run_module("examples.git_history", *arguments)

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert "\x1b" not in done.stdout
        assert f"agree on all {totals.event_count:,} events" in done.stdout
        assert "with sync=always" in done.stdout
        assert f"'{store}/GitHistory/events'" in done.stdout
        assert (store / "GitHistory" / "events").is_dir()


def test_the_history_of_a_real_repository_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names with spaces, markup and tabs go all the way through, and so does a rename."""
    monkeypatch.setattr("examples.git_history.source.COMMIT_COUNT_MIN", 3)
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    who = "committer Ænn [bold] <ann@example.org> 1112911993 +0000"
    commit = f"commit refs/heads/main\n{who}\ndata 1\nx\n"
    stream = (
        f'{commit}M 644 inline "tab\\tname"\ndata 6\na\nb\nc\n\n'
        f"{commit}M 644 inline other\ndata 2\na\n\n"
        f'{commit}R "tab\\tname" "new [/name]"\n\n'
        f'{commit}M 644 inline "new [/name]"\ndata 8\na\nb\nc\nd\n\n'
    )
    git = ["git", "-C", str(repository)]
    subprocess.run([*git, "fast-import", "--quiet"], input=stream.encode(), check=True)
    subprocess.run([*git, "symbolic-ref", "HEAD", "refs/heads/main"], check=True)

    status, printed = run_in_process(tmp_path / "store", repository)

    assert status == 0, printed
    assert "agree on all 4 events" in printed
    assert "Ænn [bold]" in printed
    assert "new [/name]" in printed
    assert "tab\\tname" in printed


def test_a_follower_that_errs_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One changed line that the follower did not count makes the demo fail and say where."""
    result_of = demo.follower_result

    def one_line_less(process: subprocess.Popen[str], last_id: int) -> report.Followed:
        followed = result_of(process, last_id)
        followed.totals.by_path["Makefile"] -= 1
        return followed

    monkeypatch.setattr(demo, "follower_result", one_line_less)

    status, printed = run_in_process(tmp_path / "store")

    assert status == 1
    assert "MISMATCH: 1 difference(s)" in printed
    assert "by_path, Makefile" in printed
    assert "agree" not in printed


def test_a_position_that_is_not_the_last_is_found_out() -> None:
    """Totals that agree do not hide that positions do not."""
    imported = report.Imported(
        totals=ChurnTotals(),
        commit_count=1,
        event_count=2,
        last_notification_id=2,
        seconds=1.0,
        bytes_on_disk=1,
    )
    followed = report.Followed(
        totals=ChurnTotals(), last_notification_id=2, behind_at_end=0, lag_ms={}
    )

    assert demo.compare(imported, followed) == []
    for one in (0, 1, 3):
        assert demo.compare(dataclasses.replace(imported, last_notification_id=one), followed)
        assert demo.compare(imported, dataclasses.replace(followed, last_notification_id=one))


def test_a_follower_that_dies_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that cannot be started ends the demo with an error, not with a hang."""
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(demo.FollowerError, match="did not start"):
        run_in_process(tmp_path / "store")


def test_a_follower_ends_when_the_writer_is_gone(tmp_path: Path) -> None:
    """A closed input ends the follower, so that none is left behind by a killed demo."""
    done = run_module("examples.git_history.follower", str(tmp_path))

    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout) == {"ready": True}


def test_files_that_no_demo_made_are_left_alone(tmp_path: Path) -> None:
    """A store directory with other things in it is refused before anything is touched."""
    (tmp_path / "thesis.txt").write_text("the only copy")

    done = run_module("examples.git_history", "--sample", "--limit=1", f"--store={tmp_path}")

    assert done.returncode == 2
    assert f"no {MARKER} in it" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
