"""Choose what to import: a repository's history, or the recorded sample where that is too short."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from examples.git_history.commits import Commit, FileChange, author_time
from examples.git_history.git_log import GitLogError, read_commits, repository_facts

SAMPLE_PATH = Path(__file__).parents[1] / "data" / "git-history-sample.jsonl.gz"
THIS_CLONE = Path(__file__).parents[2]
COMMIT_COUNT_MIN = 200  # below this a history shows nothing


class Source(NamedTuple):
    """Commits to import, their number if none is empty, and in words where they come from."""

    commits: Iterable[Commit]
    commit_count: int
    title: str
    notice: str | None


def choose_source(repository: Path, *, commit_count_max: int, sample_only: bool = False) -> Source:
    """Return the history of `repository`, or the sample and a notice that says why."""
    if sample_only:
        return _sample(commit_count_max, None)
    try:
        facts = repository_facts(repository)
    except GitLogError as error:
        return _sample(commit_count_max, f"{repository} has no history to read ({error})")
    if facts.is_shallow or facts.is_partial:
        kind = "shallow" if facts.is_shallow else "partial"
        return _sample(commit_count_max, f"{repository} is a {kind} clone")
    if facts.commit_count < COMMIT_COUNT_MIN:
        return _sample(commit_count_max, f"{repository} has only {facts.commit_count} commits")
    count = min(facts.commit_count, commit_count_max)
    title = f"{repository} ({count:,} commits without merges)"
    if count < facts.commit_count:
        title = f"{repository} (the newest {count:,} of {facts.commit_count:,} commits)"
    return Source(read_commits(repository, count_max=count), count, title, None)


def _sample(commit_count_max: int, reason: str | None) -> Source:
    commits = list(islice(read_sample(), commit_count_max))
    title = f"the recorded sample ({len(commits):,} commits of the git project, 2005)"
    notice = None if reason is None else f"{reason}: importing the recorded sample instead."
    return Source(commits, len(commits), title, notice)


def read_sample(path: Path = SAMPLE_PATH) -> Iterator[Commit]:
    """Yield a recorded sample's commits, oldest first; examples/data/README.md has the format."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            changes = tuple(FileChange(*change) for change in item["changes"])
            yield Commit(item["commit"], item["author"], author_time(item["at"]), changes)
