"""Journaled views: one commit with their tracking, the same for all processes, and checkpoints."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from eventsourcing.persistence import IntegrityError, ProgrammingError, Tracking, TrackingRecorder
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import (
    AuroraConfigurationError,
    AuroraTrackingRecorder,
    Journal,
    JournaledView,
    ViewTable,
    view_state,
)
from aurora_es.errors import ArgumentError
from aurora_es.format.view import VIEW_CHANGE, VIEW_CHECKPOINT
from aurora_es.journal.background import seal
from aurora_es.journal.compaction import compact
from aurora_es.journal.reading import read_records
from aurora_es.view_transaction import ViewPage
from tests.face.support import UUID_1, OpenFactory, Script, Task, factory_on
from tests.patience import PATIENCE_SECONDS

ANY: type[Any] = Any  # msgspec takes it for "any value"


class Price(msgspec.Struct):
    """A mutable value."""

    amount: Decimal
    notes: list[str]


class Place(NamedTuple):
    """A key of two parts."""

    aisle: int
    shelf: str


class Stock(JournaledView):
    """Tables of several types."""

    counts = ViewTable(str, int)
    prices = ViewTable(UUID, Price)
    places = ViewTable(Place, list[str])

    def add(self, name: str, number: int, tracking: Tracking) -> None:
        """Count."""
        with self.transaction(tracking) as t:
            t.put(self.counts, name, t.get(self.counts, name, 0) + number)

    def drop(self, name: str, tracking: Tracking) -> None:
        """Forget."""
        with self.transaction(tracking) as t:
            t.delete(self.counts, name)

    def fail(self, name: str, tracking: Tracking) -> None:
        """Change a row and raise."""
        with self.transaction(tracking) as t:
            t.put(self.counts, name, -1)
            raise KeyError(name)


def tracked(number: int, name: str = "upstream") -> Tracking:
    """A tracking object."""
    return Tracking(name, number)


@pytest.fixture
def view(open_factory: OpenFactory) -> Iterator[Stock]:
    """A view of the store at hand."""
    made = open_factory().tracking_recorder(Stock)
    assert isinstance(made, Stock)
    yield made
    made.close()


def view_on(root: Path | str, **settings: str) -> Stock:
    """A view with a factory of its own."""
    made = factory_on(root, **settings).tracking_recorder(Stock)
    assert isinstance(made, Stock)
    return made


def commits_of(view: Stock) -> int:
    """Number of commits in the view's journal."""
    chain = view.journal.handle.state.chain
    assert chain is not None
    return chain.commit_number


def test_changes_and_tracking_are_one_commit(view: Stock) -> None:
    """Both are there after the block, and the journal holds one commit."""
    view.add("apple", 2, tracked(1))
    view.add("apple", 3, tracked(2))
    assert view.counts.get("apple") == 5
    assert view.max_tracking_id("upstream") == 2
    assert commits_of(view) == 2
    assert [stored.record.topic for stored in view.journal.read()] == [VIEW_CHANGE] * 2


def test_an_exception_undoes_all(view: Stock) -> None:
    """Neither rows nor tracking; and the lock is free again."""
    view.add("apple", 1, tracked(1))
    with pytest.raises(KeyError):
        view.fail("apple", tracked(2))
    assert view.counts.get("apple") == 1
    assert view.max_tracking_id("upstream") == 1
    view.add("apple", 1, tracked(2))


def test_tracking_that_does_not_rise_is_a_conflict(view: Stock) -> None:
    """The library's error, and no change."""
    view.add("apple", 1, tracked(2))
    for number in (1, 2):
        with pytest.raises(IntegrityError, match="must be greater than 2"):
            view.add("apple", 1, tracked(number))
    assert view.counts.get("apple") == 1
    view.add("apple", 1, tracked(1, "another"))
    assert view.counts.get("apple") == 2


def test_reading(view: Stock) -> None:
    """Defaults, membership, length, order of items, prefixes."""
    assert view.counts.get("apple") is None
    assert view.counts.get("apple", 0) == 0
    assert (len(view.counts), view.counts.items()) == (0, [])
    for number, name in enumerate(["pear", "apple", "apricot"], 1):
        view.add(name, number, tracked(number))
    assert view.counts.items() == [("pear", 1), ("apple", 2), ("apricot", 3)]
    assert view.counts.items(prefix="ap") == [("apple", 2), ("apricot", 3)]
    assert "pear" in view.counts
    view.drop("pear", tracked(4))
    assert "pear" not in view.counts
    assert len(view.counts) == 2


def test_values_are_copies(view: Stock) -> None:
    """What a caller does with what it gave or got changes nothing."""
    price = Price(Decimal("1.50"), ["new"])
    with view.transaction(tracked(1)) as t:
        t.put(view.prices, UUID_1, price)
        price.notes.append("mine")
        t.get(view.prices, UUID_1).notes.append("mine, too")
        t.put(view.places, Place(1, "top"), ["a"])
    found = view.prices.get(UUID_1)
    assert found == Price(Decimal("1.50"), ["new"])
    assert found is not None
    found.notes.append("mine")
    assert view.prices.items() == [(UUID_1, Price(Decimal("1.50"), ["new"]))]
    assert view.places.items() == [(Place(1, "top"), ["a"])]


@pytest.mark.parametrize("value", ["text", None, 1.5, [1], object()])
def test_values_of_another_type_are_refused(view: Stock, value: Any) -> None:
    """When they are put, not when somebody reads; keys alike."""
    with pytest.raises(ProgrammingError, match="'counts'"), view.transaction(tracked(1)) as t:
        t.put(view.counts, "a", value)
    with pytest.raises(ProgrammingError, match="'counts'"):
        view.counts.get(7)  # type: ignore[call-overload]
    assert view.max_tracking_id("upstream") is None


@pytest.mark.parametrize("value", [UUID_1, (1, 2), Decimal(1)])
def test_what_would_come_back_as_another_value_is_refused(
    open_factory: OpenFactory, value: Any
) -> None:
    """A table of any type does not change values silently."""

    class Anything(JournaledView):
        things = ViewTable(str, ANY)

    view = open_factory().tracking_recorder(Anything)
    assert isinstance(view, Anything)
    with (
        pytest.raises(ProgrammingError, match="would be read as"),
        view.transaction(tracked(1)) as t,
    ):
        t.put(view.things, "a", value)
    with view.transaction(tracked(1)) as t:
        t.put(view.things, "a", float("nan"))
    assert str(view.things.get("a")) == "nan"


def test_nesting_is_refused(view: Stock) -> None:
    """It would wait for itself; tracking alone inside, too."""
    with view.transaction(tracked(1)) as t:
        with pytest.raises(
            ProgrammingError, match="expected no transaction of the view in this thread"
        ):
            view.add("apple", 1, tracked(2))
        with pytest.raises(
            ProgrammingError, match="expected no transaction of the view in this thread"
        ):
            view.insert_tracking(tracked(2))
        t.put(view.counts, "apple", 1)
    assert view.counts.items() == [("apple", 1)]
    with pytest.raises(ProgrammingError, match="inside its `with`"):
        t.put(view.counts, "apple", 2)


def test_tables_of_another_view_are_refused(open_factory: OpenFactory, view: Stock) -> None:
    """A transaction is one journal's."""
    other = open_factory().tracking_recorder(Stock)
    assert isinstance(other, Stock)
    with (
        pytest.raises(ProgrammingError, match="one of this view"),
        view.transaction(tracked(1)) as t,
    ):
        t.put(other.counts, "apple", 1)


def test_a_transaction_without_changes_tracks(view: Stock) -> None:
    """Of events that change nothing the place is remembered all the same."""
    with view.transaction(tracked(1)):
        pass
    view.insert_tracking(tracked(2))
    assert view.max_tracking_id("upstream") == 2
    assert view.journal.last_position == 0


@pytest.mark.parametrize("how", ["get", "items", "key", "transaction"])
def test_rows_of_another_type_than_declared(open_factory: OpenFactory, how: str) -> None:
    """A table that is declared with another type than it was written with says what is where."""
    before = type("Totals", (JournaledView,), {"totals": ViewTable(str, str)})
    now = type("Totals", (JournaledView,), {"totals": ViewTable(str, int)})
    other_key = type("Totals", (JournaledView,), {"totals": ViewTable(int, str)})
    view: Any = open_factory().tracking_recorder(before)
    with view.transaction(Tracking("up", 1)) as t:
        t.put(view.totals, "a", "seven")
    again: Any = open_factory().tracking_recorder(other_key if how == "key" else now)

    def ask() -> object:
        if how == "get":
            return again.totals.get("a")
        if how == "transaction":
            with again.transaction(Tracking("up", 2)) as t:
                return t.get(again.totals, "a")
        return again.totals.items()

    with pytest.raises(ProgrammingError) as caught:
        ask()
    assert isinstance(caught.value, ArgumentError)
    expected = "key of type int, found 'a'" if how == "key" else "value of type int, found 'seven'"
    assert f"table 'totals', key 'a', as of position 1: expected a {expected}" in str(caught.value)
    assert "`aurora-es projection rebuild`" in str(caught.value)
    assert again.max_tracking_id("up") == 1


class Interface(TrackingRecorder):
    """What a user's projection asks for."""

    def total(self) -> int:
        """Sum of all counts."""
        raise NotImplementedError


@pytest.mark.parametrize("bases", [(JournaledView, Interface), (Interface, JournaledView)])
def test_both_orders_of_bases(open_factory: OpenFactory, bases: tuple[type, ...]) -> None:
    """The interface may come first or last."""

    def total(self: Any) -> int:
        return sum(count for _, count in self.counts.items())

    cls: Any = type(
        "Totals", bases, {"counts": ViewTable(str, int), "total": total, "add": Stock.add}
    )
    view: Any = open_factory().tracking_recorder(cls)
    view.add("a", 2, tracked(1))
    view.wait("upstream", 1)
    assert view.total() == 2


def test_no_other_public_names() -> None:
    """Users' interfaces cannot clash: only ``transaction`` is added to the recorder's names."""
    added = {name for name in vars(JournaledView) if not name.startswith("_")}
    assert added - set(dir(AuroraTrackingRecorder)) == {"transaction"}


def test_a_class_of_another_backend_is_refused(open_factory: OpenFactory) -> None:
    """By name, with what to set instead."""
    with pytest.raises(AuroraConfigurationError, match=r"Interface.*PERSISTENCE_MODULE"):
        open_factory().tracking_recorder(Interface)


# Several views, threads and processes


def test_a_transaction_sees_the_newest_state(tmp_path: Path) -> None:
    """Threads that add to one row through views of their own lose nothing."""

    def add_often(root: Path, name: str) -> None:
        view = view_on(root, AURORA_SYNC="never")
        for number in range(1, 51):
            view.add("shared", 1, tracked(number, name))
        view.close()

    tasks = [Task(add_often, tmp_path, f"upstream {number}") for number in range(4)]
    for task in tasks:
        task.result()
    assert view_on(tmp_path).counts.get("shared") == 200


_ADDER = """
import sys
from tests.face.test_views import tracked, view_on
view = view_on(sys.argv[1], AURORA_SYNC="never")
print("ready", flush=True)
sys.stdin.readline()
for number in range(1, 101):
    view.add("shared", 1, tracked(number, sys.argv[2]))
print(view.counts.get("shared"), flush=True)
view.close()
"""


def test_processes_share_a_view(tmp_path: Path) -> None:
    """Two processes add while a third reads: no addition is lost, and totals never fall."""
    reader = view_on(tmp_path, AURORA_SYNC="never")
    with Script(_ADDER, str(tmp_path), "one") as one, Script(_ADDER, str(tmp_path), "two") as two:
        for script in (one, two):
            assert script.hear() == "ready"
        for script in (one, two):
            script.tell("go")
        seen = [0]
        while seen[-1] < 200:
            seen.append(reader.counts.get("shared", 0))
            assert seen[-1] >= seen[-2]
        for script in (one, two):
            script.end()
    assert reader.counts.items() == [("shared", 200)]
    assert reader.max_tracking_id("one") == reader.max_tracking_id("two") == 100


_FORKER = """
import os, sys
from tests.face.test_views import tracked, view_on
view = view_on(sys.argv[1])
view.add("a", 1, tracked(1))
child = os.fork()
if child == 0:
    assert view.counts.get("a") == 1
    view.add("a", 1, tracked(2))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(view.counts.get("a"))
"""


def test_a_view_works_in_the_child_of_a_fork(tmp_path: Path) -> None:
    """It is opened anew there, and the parent sees what the child commits."""
    with Script(_FORKER, str(tmp_path)) as script:
        assert script.end() == "2\n"


def test_items_never_show_a_part_of_a_commit(tmp_path: Path) -> None:
    """Two rows that always change together are always equal."""
    writer, reader = view_on(tmp_path, AURORA_SYNC="never"), view_on(tmp_path)
    looks, stop = threading.Event(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            values = {value for _, value in reader.counts.items()}
            assert len(values) <= 1
            looks.set()

    task = Task(read)
    assert looks.wait(PATIENCE_SECONDS)
    for number in range(1, 300):
        with writer.transaction(tracked(number)) as t:
            t.put(writer.counts, "one", number)
            t.put(writer.counts, "two", number)
    stop.set()
    task.result()


# Checkpoints


@pytest.fixture
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small views take checkpoints, in several parts."""
    monkeypatch.setattr(view_state, "_CHANGE_BYTES_MIN", 100)
    monkeypatch.setattr(view_state, "_PART_BYTES", 40)


def topics_of(view: Stock) -> list[str]:
    """Topics of the records of a view's journal."""
    return [stored.record.topic for stored in view.journal.read()]


@pytest.mark.usefixtures("frequent_checkpoints")
def test_opening_starts_from_a_checkpoint(tmp_path: Path) -> None:
    """What is before the newest checkpoint is not read."""
    view = view_on(tmp_path)
    for number in range(1, 101):
        view.add(f"key {number % 10}", number, tracked(number))
    expected = view.counts.items()
    assert topics_of(view).count(VIEW_CHECKPOINT) > 4
    view.close()
    opened = view_on(tmp_path)
    read: list[int] = []

    def noted(handle: Any, position: int, until: int) -> Any:
        read.append(position)
        return read_records(handle, position, until)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view_state, "read_records", noted)
        assert opened.counts.items() == expected
    assert min(read) > opened.journal.last_position // 2
    opened.close()


@pytest.mark.usefixtures("frequent_checkpoints")
def test_compaction_keeps_what_opening_needs(tmp_path: Path) -> None:
    """Segments below the newest sealed checkpoint's position go; without a checkpoint none does."""
    view = view_on(tmp_path, AURORA_ROLL_CYCLE="20events", AURORA_SYNC="never")
    for number in range(1, 201):
        view.add(f"key {number % 10}", number, tracked(number))
    expected = view.counts.items()
    path = view.journal.handle.path
    view.close()
    seal(path)
    report = compact(path)
    assert report.dropped_segments > 2
    opened = view_on(tmp_path)
    assert opened.counts.items() == expected
    assert opened.max_tracking_id("upstream") == 200
    opened.close()


def test_compaction_of_a_view_without_checkpoint(tmp_path: Path) -> None:
    """Its changes are all there is: nothing is dropped."""
    view = view_on(tmp_path, AURORA_ROLL_CYCLE="20events", AURORA_SYNC="never")
    for number in range(1, 101):
        view.add("key", number, tracked(number))
    path = view.journal.handle.path
    view.close()
    seal(path)
    assert compact(path).dropped_segments == 0
    assert view_on(tmp_path).counts.get("key") == 5050


@pytest.mark.usefixtures("frequent_checkpoints")
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "drop", "reopen", "fail"]),
            st.sampled_from(["a", "b", "c", "d" * 30]),
            st.integers(0, 1),
        ),
        max_size=60,
    )
)
def test_views_are_a_dictionary(steps: list[tuple[str, str, int]]) -> None:
    """Two views of one store, opened again at any time, always show what a dictionary would."""
    with tempfile.TemporaryDirectory() as root:
        views = [view_on(root, AURORA_SYNC="never") for _ in range(2)]
        model: dict[str, int] = {}
        for number, (step, name, which) in enumerate(steps, 1):
            view = views[which]
            if step == "add":
                view.add(name, number, tracked(number))
                model[name] = model.get(name, 0) + number
            elif step == "drop":
                view.drop(name, tracked(number))
                model.pop(name, None)
            elif step == "reopen":
                view.close()
                views[which] = view_on(root, AURORA_SYNC="never")
            else:
                with pytest.raises(KeyError):
                    view.fail(name, tracked(number))
            assert all(view.counts.items() == list(model.items()) for view in views)
        for view in views:
            view.close()


def test_a_page_is_one_commit(view: Stock) -> None:
    """Transactions inside a page see each other; the last tracking is recorded."""
    with ViewPage(view._core):
        for number in range(1, 11):
            view.add("apple", 1, tracked(number))
        view.insert_tracking(tracked(11))
        with pytest.raises(KeyError):
            view.fail("apple", tracked(12))
    assert view.counts.get("apple") == 10
    assert view.max_tracking_id("upstream") == 11
    assert commits_of(view) == 1


def test_the_journal_is_readable_as_documented(view: Stock) -> None:
    """A change is the array that the page of the format shows."""
    with view.transaction(tracked(1)) as t:
        t.put(view.counts, "apple", 7)
        t.delete(view.counts, "pear")
    with Journal.open(view.journal.handle.path, read_only=True) as journal:
        (stored,) = journal.read()
        assert stored.record.originator_id is None
        assert msgspec.msgpack.decode(stored.record.state) == [
            ["counts", "apple", 7],
            ["counts", "pear"],
        ]
        assert journal.tracking() == {"upstream": 1}


class Marks(JournaledView):
    """A table whose values say nothing."""

    marks = ViewTable(str, type(None))


def test_a_value_may_be_none(open_factory: OpenFactory) -> None:
    """A row with None is a row."""
    view = open_factory().tracking_recorder(Marks)
    assert isinstance(view, Marks)
    with view.transaction(tracked(1)) as t:
        t.put(view.marks, "a", None)
        assert t.get(view.marks, "a", 7) is None
    assert "a" in view.marks
    assert "b" not in view.marks
    assert view.marks.items() == [("a", None)]


def test_history_that_was_taken_back(tmp_path: Path) -> None:
    """After a power cut that lost commits, rows and tracking are both as they were before them."""
    view = view_on(tmp_path, AURORA_SYNC="never")
    view.add("a", 1, tracked(1))
    view.journal.sync()
    view.add("a", 1, tracked(2))
    assert view.counts.get("a") == 2
    path = Path(view.journal.handle.path)
    chain = view.journal.handle.state.chain
    assert chain is not None
    # What the disk had lost: the bytes of the second commit.
    (segment,) = path.glob("*.segment")
    data = segment.read_bytes()
    before = data.rindex(b"aurora_es.view-change") - 200
    second = data.index(view.journal.handle.open_tail(chain).salt, before)
    with segment.open("r+b") as file:
        file.truncate(second)
    other = view_on(tmp_path, AURORA_SYNC="never")
    view.journal.handle.forget_state()
    with pytest.raises(IntegrityError):
        other.add("a", 5, tracked(1))
    assert other.counts.get("a") == 1
    assert view.counts.get("a") == 1
    assert view.max_tracking_id("upstream") == 1
    other.add("a", 5, tracked(2))
    assert view.counts.get("a") == 6
