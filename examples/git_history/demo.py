"""The demo's steps: import while another process follows, open again, replay, compare, show."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from examples.git_history import report
from examples.git_history.application import GitHistory
from examples.git_history.churn import ChurnTotals
from examples.git_history.commits import Commit
from examples.git_history.source import THIS_CLONE, choose_source
from examples.git_history.store_directory import bytes_on_disk, fresh_store

FOLLOWER_START_SECONDS_MAX = 120.0
FOLLOWER_END_SECONDS_MAX = 180.0
FAILURES_SHOWN_MAX = 10


class FollowerError(Exception):
    """The follower did not start, or ended without a result."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    repository: Path
    store: Path
    sync: str
    commit_count_max: int
    sample_only: bool


def run_demo(options: Options, console: Console) -> int:
    """Run all steps; returns 0, or 1 if what was projected or replayed is not as imported."""
    source = choose_source(
        options.repository,
        commit_count_max=options.commit_count_max,
        sample_only=options.sample_only,
    )
    if source.notice is not None:
        report.show_notice(console, source.notice)
    report.show_step(console, f"Reading {source.title}")
    with report.progress(console) as bar:
        commits = list(bar.track(source.commits, source.commit_count, description="commits"))

    with fresh_store(options.store):
        report.show_step(console, f"Importing into {options.store}, sync={options.sync}")
        imported, follower = import_and_follow(commits, options, console)
        report.show_import(console, imported, sync=options.sync)
        report.show_follower(console, follower)

        report.show_step(console, "Opening the store again and replaying the most changed file")
        replays, failures = replay_most_changed(commits, options)
        report.show_replays(console, replays)

    failures = [*compare(imported, follower), *failures]
    if failures:
        report.show_failures(console, failures[:FAILURES_SHOWN_MAX], len(failures))
        return 1
    report.show_agreement(console, imported.totals)
    report.show_totals(console, imported.totals)
    report.show_commands(console, options.store / GitHistory.name / "events")
    return 0


def import_and_follow(
    commits: Sequence[Commit], options: Options, console: Console
) -> tuple[report.Imported, report.Followed]:
    """Import the commits while another process follows; returns what both counted and measured."""
    with running_follower(options.store) as process, open_application(options) as app:
        with report.progress(console) as bar:
            started = time.perf_counter()
            event_count = 0
            for commit in bar.track(commits, len(commits), description="imported"):
                event_count += app.record_commit(commit)
            seconds = time.perf_counter() - started
        last_id = app.recorder.max_notification_id() or 0
        followed = follower_result(process, last_id)
    totals = ChurnTotals()
    for commit in commits:
        totals.add_commit(commit)
    imported = report.Imported(
        totals=totals,
        # A commit that changed no file leaves nothing in the store.
        commit_count=sum(1 for commit in commits if commit.changes),
        event_count=event_count,
        last_notification_id=last_id,
        seconds=seconds,
        bytes_on_disk=bytes_on_disk(options.store),
    )
    return imported, followed


def open_application(options: Options) -> GitHistory:
    """Construct an ordinary application; the environment alone makes it store its events here."""
    return GitHistory(
        env={
            "PERSISTENCE_MODULE": "aurora_es",
            "AURORA_PATH": str(options.store),
            "AURORA_SYNC": options.sync,
        }
    )


def replay_most_changed(
    commits: Sequence[Commit], options: Options
) -> tuple[list[report.Replay], list[str]]:
    """Replay the most changed file, half way and to its end; says where it is not as imported."""
    totals = ChurnTotals()
    for commit in commits:
        totals.add_commit(commit)
    if not totals.changes_by_path:
        return [], []
    path, last_version = totals.changes_by_path.most_common(1)[0]
    churns = [change.churn for c in commits for change in c.changes if change.path == path]
    replays, failures = [], []
    with open_application(options) as app:
        for version in (max(last_version // 2, 1), last_version):
            started = time.perf_counter()
            source_file = app.file(path, version=version)
            replays.append(report.Replay(source_file, time.perf_counter() - started))
            churn = source_file.lines_added + source_file.lines_removed
            if (source_file.version, churn) != (version, sum(churns[:version])):
                failures.append(
                    f"{path}, version {version}: imported churn {sum(churns[:version])}, "
                    f"replayed version {source_file.version} with {churn}"
                )
    return replays, failures


def compare(imported: report.Imported, followed: report.Followed) -> list[str]:
    """Say in words where the follower's numbers are not the writer's; empty if they are."""
    failures = imported.totals.differences(followed.totals)
    expected_id = imported.event_count  # positions are gapless and start at 1
    for who, last_id in (
        ("the writer", imported.last_notification_id),
        ("the follower", followed.last_notification_id),
    ):
        if last_id != expected_id:
            failures.append(f"last notification id: expected {expected_id}, {who} saw {last_id}")
    return failures


@contextmanager
def running_follower(store: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the follower and wait until it is subscribed; it is always gone at the end."""
    command = [sys.executable, "-m", "examples.git_history.follower", str(store)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=THIS_CLONE
    ) as process:
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], FOLLOWER_START_SECONDS_MAX)
            if not ready or not process.stdout.readline():
                raise FollowerError("the follower did not start")
            yield process
        finally:
            process.kill()


def follower_result(process: subprocess.Popen[str], last_id: int) -> report.Followed:
    """Tell the follower where the end is, and return what it reports when it has got there."""
    question = json.dumps({"last_notification_id": last_id}) + "\n"
    try:
        output, _ = process.communicate(question, timeout=FOLLOWER_END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise FollowerError("the follower did not finish in time") from None
    if process.returncode != 0 or not output:
        raise FollowerError(f"the follower ended without a result, status {process.returncode}")
    answer: dict[str, Any] = json.loads(output)
    totals = ChurnTotals.from_json(answer.pop("totals"))
    return report.Followed(totals=totals, **answer)
