"""Applications, projections, views and systems of the library's 10.0 on the same code base."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any
from unittest import TestCase

import pytest
from eventsourcing.utils import Environment

import aurora_es
from aurora_es import (
    AsyncApplicationSubscription,
    AuroraFactory,
    Journal,
    JournaledView,
    ViewTable,
    rebuild_projection,
)
from aurora_es.compat import IS_10
from aurora_es.decoding import ReplayError, load_decoder
from aurora_es.runner import SystemProcess
from aurora_es.ui.app import create_app
from tests.cli.support import run
from tests.patience import PATIENCE_SECONDS

if not IS_10:
    pytest.skip("needs eventsourcing 10.0: make test-next", allow_module_level=True)

if not TYPE_CHECKING:  # the types are those of the version in .venv
    from eventsourcing.errors import NotSupportedError
    from eventsourcing.projection import ProjectionRunner
    from eventsourcing.system import MultiThreadedRunner, SingleThreadedRunner
    from eventsourcing.tests.application import ApplicationTestCase, ExampleApplicationTestCase
    from eventsourcing.tests.projection import (
        AggregateEventCountersProjectionTestCase,
        DecisionCountersProjectionTestCase,
        EventCountersView,
        EventCountersViewTestCase,
        EventSourcedProjectionTestCase,
    )

    from tests.next.shop import (
        Articles,
        ArticlesView,
        LoudArticles,
        Order,
        Orders,
        Shipping,
        system,
    )

SHOP = "tests.next.shop"


class EnvironmentCase(TestCase):
    """Points the library at a store of the test's own through ``os.environ``."""

    def setUp(self) -> None:
        """Set the variables."""
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        for key, value in {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": self.root}.items():
            os.environ[key] = value
            self.addCleanup(os.environ.pop, key, None)
        super().setUp()


if not TYPE_CHECKING:

    class JournaledCounters(JournaledView, EventCountersView):
        """Counts in a journal."""

        counters = ViewTable(str, int)

        def get_student_registered_counter(self) -> int:
            """Number of registrations."""
            return self.counters.get("registered", 0)

        def get_student_name_changed_counter(self) -> int:
            """Number of changes."""
            return self.counters.get("changed", 0)

        def incr_student_registered_counter(self, tracking: Any) -> None:
            """Count a registration."""
            self._increment("registered", tracking)

        def incr_student_name_changed_counter(self, tracking: Any) -> None:
            """Count a change."""
            self._increment("changed", tracking)

        def _increment(self, name: str, tracking: Any) -> None:
            with self.transaction(tracking) as t:
                t.put(self.counters, name, t.get(self.counters, name, 0) + 1)

    class TestApplication(EnvironmentCase, ApplicationTestCase):
        """The library's application case."""

    class TestExampleApplication(EnvironmentCase, ExampleApplicationTestCase):
        """The library's example application case."""

        expected_factory_topic = "aurora_es.factory:AuroraFactory"

    class TestJournaledView(EnvironmentCase, EventCountersViewTestCase):
        """The library's view case on a journaled view."""

        def construct_event_counters_view(self) -> Any:
            """A view of a factory named as a projection's."""
            factory = AuroraFactory(Environment("EventCounters", os.environ))
            self.addCleanup(factory.close)
            return factory.tracking_recorder(JournaledCounters)

    class TestProjection(EnvironmentCase, AggregateEventCountersProjectionTestCase):
        """The library's projection case: everything in one AURORA_PATH."""

        view_class = JournaledCounters

    class TestDcbProjection(EnvironmentCase, DecisionCountersProjectionTestCase):
        """The library's case of a DCB application's projection."""

        view_class = JournaledCounters
        env: dict[str, str] = {}  # noqa: RUF012 - as the case declares it

    class TestEventSourcedProjection(EnvironmentCase, EventSourcedProjectionTestCase):
        """The library's event-sourced projection case."""

    class TestShop(EnvironmentCase):
        """What of ours stands on the library's applications."""

        def test_the_librarys_runners(self) -> None:
            """A system works under the single- and the multi-threaded runner, on one store."""
            for position, runner_class in enumerate((SingleThreadedRunner, MultiThreadedRunner), 1):
                with runner_class(system) as runner:
                    last = runner.get(Orders).place("book")
                    shipping = runner.get(Shipping)
                    shipping.recorder.wait("Orders", last, timeout=PATIENCE_SECONDS)
                    assert shipping.recorder.max_notification_id() == position

        def test_a_system_process(self) -> None:
            """One application of a system in a process of its own; metadata follows its events."""
            with SystemProcess(system, "Shipping") as process:
                assert process.wait_until_working(timeout=PATIENCE_SECONDS)
                with Orders() as orders:
                    last = orders.place("book")
                process.app.recorder.wait(
                    context_name="Orders", notification_id=last, timeout=PATIENCE_SECONDS
                )
                assert process.app.recorder.max_tracking_id(context_name="Orders") == 1
                assert process.app.recorder.max_notification_id() == 1

        def test_a_rebuilt_projection(self) -> None:
            """A view is rebuilt beside the live one, and swapped in."""
            with ProjectionRunner(
                application_class=Orders, projection_class=Articles, view_class=ArticlesView
            ) as runner:
                runner.wait(runner.app.place("book"), timeout=PATIENCE_SECONDS)
                rebuilt = rebuild_projection(
                    application_class=Orders, projection_class=LoudArticles, view_class=ArticlesView
                )
                assert rebuilt == 1
                assert [row[1] for row in runner.view.articles.items()] == ["BOOK"]

        def test_an_async_subscription(self) -> None:
            """Events arrive in an event loop."""

            async def first(application: Any) -> Any:
                async with AsyncApplicationSubscription(application) as events:
                    return await anext(events)

            with Orders() as orders:
                orders.place("book")
                event, tracking = asyncio.run(first(orders))
            assert (event.decision.article, tracking.context_name) == ("book", "Orders")

        def test_decoding(self) -> None:
            """What --app needs: events are decoded, and aggregates rebuilt by a named function."""
            with Orders() as orders:
                order = Order("book")
                order.change("pen")
                orders.save(order)
            with Journal.open(os.path.join(self.root, "Orders", "events")) as journal:
                records = [stored.record for stored in journal.read()]
            decoder = load_decoder(f"{SHOP}:Orders", self.root)
            events = list(map(decoder.domain_event, records))
            assert [event.decision.article for event in events] == ["book", "pen"]
            assert [event.uuid for event in events] == [record.uuid for record in records]
            with pytest.raises(ReplayError, match="--projector module:function"):
                decoder.replay(records)
            projector = f"{SHOP}:replay_order"
            replayed = load_decoder(f"{SHOP}:Orders", self.root, projector=projector)
            assert replayed.replay(records).article == "pen"

        def test_commands(self) -> None:
            """``cat --app`` decodes, ``projection rebuild`` rebuilds, and the page has its API."""
            with ProjectionRunner(
                application_class=Orders, projection_class=Articles, view_class=ArticlesView
            ) as runner:
                runner.wait(runner.app.place("book"), timeout=PATIENCE_SECONDS)
            app, path = f"{SHOP}:Orders", os.path.join(self.root, "Orders")
            assert '"article":"book"' in run("cat", path, "--app", app).stdout
            done = run("projection", "rebuild", f"{SHOP}:LoudArticles", "--app", app)
            assert done.stdout == "Articles: rebuilt from Orders up to position 1\n", done.stderr
            assert create_app(self.root, decoder=load_decoder(app, self.root))

        def test_what_is_for_the_older_version(self) -> None:
            """It says so: AuroraApplication and the fast mapper."""
            with pytest.raises(ImportError, match=r"expected version 9\.5"):
                aurora_es.AuroraApplication  # noqa: B018 - asking is what raises
            assert not hasattr(aurora_es, "Nothing")
            assert {*aurora_es.__all__} <= vars(aurora_es).keys()
            with pytest.raises(NotSupportedError, match=r"version 9\.5 of the library"):
                Orders(env={"AURORA_MAPPER": "msgpack"})

    del AggregateEventCountersProjectionTestCase, ApplicationTestCase
    del DecisionCountersProjectionTestCase, EventCountersViewTestCase
    del EventSourcedProjectionTestCase, ExampleApplicationTestCase
del EnvironmentCase
