"""The application and its projection, on the library's in-memory persistence."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from eventsourcing.application import AggregateNotFoundError
from eventsourcing.persistence import IntegrityError, Tracking

from examples.git_history.application import GitHistory, SourceFile
from examples.git_history.churn import ChurnProjection, ChurnTotals, ChurnView
from examples.git_history.commits import Commit, FileChange, author_time

COMMITS = [
    Commit(
        "c1",
        "Ann",
        author_time(0),
        (FileChange("a", 3, 0), FileChange("picture", None, None)),
    ),
    Commit("c2", "Bob", author_time(86_400), (FileChange("a", 2, 1),)),
    Commit("c3", "Ann", author_time(86_400), (FileChange("b", 0, 0, "picture"),)),
]


@pytest.fixture
def app() -> Iterator[GitHistory]:
    """An application in memory."""
    with GitHistory(env={"PERSISTENCE_MODULE": "eventsourcing.popo"}) as app:
        yield app


def test_a_file_is_replayed_at_any_version(app: GitHistory) -> None:
    """Every change of a file is one version of its aggregate."""
    counts = [app.record_commit(commit) for commit in COMMITS]

    assert counts == [2, 1, 1]
    first, last = app.file("a", version=1), app.file("a")
    assert (first.version, first.lines_added, first.lines_removed) == (1, 3, 0)
    assert (last.version, last.lines_added, last.lines_removed) == (2, 5, 1)
    assert (last.last_commit, last.last_change_at) == ("c2", author_time(86_400))
    assert last.changes_by_author == {"Ann": 1, "Bob": 1}
    assert app.file("b").renamed_from == "picture"


def test_a_file_in_the_store_is_changed_and_not_made_twice(app: GitHistory) -> None:
    """An application that was not there for the first commits goes on from the store."""
    app.record_commit(COMMITS[0])
    app._files.clear()

    app.record_commit(COMMITS[1])

    assert app.file("a").version == 2


def test_a_commit_that_fails_leaves_no_trace(
    app: GitHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be saved is neither in the store nor in the copies at hand."""
    app.record_commit(COMMITS[0])

    def refuse(*files: SourceFile) -> None:
        raise IntegrityError

    with monkeypatch.context() as patch:
        patch.setattr(app, "save", refuse)
        with pytest.raises(IntegrityError):
            app.record_commit(COMMITS[1])
    app.record_commit(COMMITS[1])

    assert app.file("a").version == 2
    with pytest.raises(AggregateNotFoundError):
        app.file("b")


def test_the_projection_counts_what_the_writer_counts(app: GitHistory) -> None:
    """The totals of the events are those of the commits, also after a way through JSON."""
    view, totals = ChurnView(), ChurnTotals()
    projection = ChurnProjection(view)
    for commit in COMMITS:
        app.record_commit(commit)
        totals.add_commit(commit)

    for notification in app.recorder.select_notifications(start=1, limit=100):
        event = app.mapper.to_domain_event(notification)
        projection.process_event(event, Tracking(app.name, notification.id))

    assert view.max_tracking_id(app.name) == totals.event_count == 4
    assert totals.differences(view.totals) == []
    assert ChurnTotals.from_json(json.loads(json.dumps(view.totals.to_json()))) == totals
    assert totals.by_author == {"Ann": 3, "Bob": 3}
    assert totals.by_day == {"1970-01-01": 3, "1970-01-02": 3}


def test_an_event_is_counted_once() -> None:
    """A position that was counted is refused, and the totals stay as they were."""
    view = ChurnView()
    projection = ChurnProjection(view)
    (created,) = SourceFile(
        path="a",
        commit="c1",
        author="Ann",
        at=author_time(0),
        lines_added=1,
        lines_removed=0,
        renamed_from=None,
    ).collect_events()
    projection.process_event(created, Tracking("GitHistory", 1))

    with pytest.raises(IntegrityError):
        projection.process_event(created, Tracking("GitHistory", 1))

    assert view.totals.event_count == 1


@pytest.mark.parametrize("name", ["by_author", "by_day", "by_path", "changes_by_path"])
def test_every_difference_is_named(name: str) -> None:
    """Whichever number differs, more or less, is in the list."""
    totals, other = ChurnTotals(), ChurnTotals()
    getattr(other, name)["x"] = 1

    assert totals.differences(other) == [f"{name}, x: imported 0, projected 1"]
    assert other.differences(totals) == [f"{name}, x: imported 1, projected 0"]
    assert ChurnTotals(event_count=1).differences(totals) == ["events: imported 1, projected 0"]
