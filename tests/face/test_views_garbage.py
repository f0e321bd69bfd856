"""Views that are dropped in cycles and collected in the middle of another view's transaction."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from eventsourcing.persistence import ProgrammingError, Tracking

from aurora_es import view_transaction
from tests.face.support import Task, factory_on
from tests.face.test_garbage_collection import ClosingCycle
from tests.face.test_views import Stock, tracked
from tests.journal.test_interrupted_locks import Tracer


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Let the collector run when the test says so."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def view_on(root: Path) -> Stock:
    """A view whose patience outlasts the test's."""
    view = factory_on(root, AURORA_LOCK_TIMEOUT="600", AURORA_SYNC="never").tracking_recorder(Stock)
    assert isinstance(view, Stock)
    return view


def drop_a_view(root: Path, tracking: Tracking) -> weakref.ref[Stock]:
    """Use a view and drop it in a cycle that closes it when it is collected."""
    view = view_on(root)
    view.add("dropped", 1, tracking)
    ClosingCycle(view)
    return weakref.ref(view)


@pytest.mark.parametrize("is_the_last", [False, True])
def test_collecting_in_a_transaction(tmp_path: Path, *, is_the_last: bool) -> None:
    """A view of the same journal may be closed there, also by whoever has opened it last."""
    view = view_on(tmp_path)
    dropped = drop_a_view(tmp_path, tracked(1))

    def change() -> None:
        with view.transaction(tracked(2)) as t:
            t.put(view.counts, "kept", t.get(view.counts, "dropped", 0) + 1)
            if is_the_last:
                view.close()
            gc.collect()

    Task(change).result()
    assert dropped() is None
    again = view_on(tmp_path)
    assert again.counts.items() == [("dropped", 1), ("kept", 2)]
    assert again.max_tracking_id("upstream") == 2


def test_a_generator_that_another_thread_leaves(tmp_path: Path) -> None:
    """Nothing is committed, an error says so, and the view can be written, in this thread as well."""
    view = view_on(tmp_path)

    def change(number: int) -> Iterator[None]:
        with view.transaction(tracked(number)) as t:
            t.put(view.counts, "a", number)
            yield

    begun = change(1)
    Task(next, begun).result()
    with pytest.raises(ProgrammingError, match="in the thread that entered it"):
        next(begun)
    assert view.max_tracking_id("upstream") is None
    abandoned = [change(2)]
    next(abandoned[0])
    Task(abandoned.clear).result()
    assert view.counts.items() == []
    view.add("b", 3, tracked(3))
    Task(view.add, "b", 3, tracked(4)).result()
    assert view.counts.items() == [("b", 6)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_instruction_of_a_transaction(tmp_path: Path) -> None:
    """It is committed or not, and the same thread goes on with the view."""
    view = view_on(tmp_path)
    view.add("a", 1, tracked(1))
    count = at = number = 0
    while at <= count:
        at += 1
        number = (view.max_tracking_id("upstream") or 0) + 1
        tracer = Tracer(at, view_transaction)
        tracer.run(partial(view.add, "a", 1, tracked(number)))
        count = max(count, tracer.count)
        number = (view.max_tracking_id("upstream") or 0) + 1
        view.add("a", 1, tracked(number))
        assert view.counts.items() == [("a", number)], at
    assert count > 100


def test_a_view_that_is_dropped_is_free_at_once(tmp_path: Path) -> None:
    """It is in no cycle of its own: nothing waits for the collector."""
    view = view_on(tmp_path)
    view.add("a", 1, tracked(1))
    reader = view.counts
    noted = weakref.ref(view)
    del view
    assert noted() is None
    assert reader.get("a") == 1  # a table keeps what it needs
