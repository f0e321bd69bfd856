"""The library's application and projection cases on aurora_es.

The projection cases run with a journaled view, and with views of the library in memory, in SQLite
and in PostgreSQL beside our application recorder: the projection has its own PERSISTENCE_MODULE then.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import abstractmethod
from importlib import import_module
from typing import Any, ClassVar
from unittest import TestCase

import pytest
from eventsourcing.persistence import Tracking
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.sqlite import SQLiteTrackingRecorder
from eventsourcing.tests.application import ApplicationTestCase, ExampleApplicationTestCase
from eventsourcing.tests.projection import (
    AggregateEventCountersProjectionTestCase,
    EventCountersView,
    EventCountersViewTestCase,
    EventSourcedProjectionTestCase,
    TaggedDecisionCountersProjectionTestCase,
)
from eventsourcing.utils import Environment

from aurora_es import AuroraFactory, JournaledView, ViewTable
from tests.postgres import open_server


class EnvironmentCase(TestCase):
    """Points the library at a store of the test's own through ``os.environ``."""

    env: ClassVar[dict[str, str]] = {}
    projection_module = "aurora_es"

    def setUp(self) -> None:
        """Set the variables."""
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        settings = {
            "PERSISTENCE_MODULE": "aurora_es",
            "AURORA_PATH": self.root,
            "EVENTCOUNTERS_PERSISTENCE_MODULE": self.projection_module,
            "EVENTCOUNTERS_SQLITE_DBNAME": os.path.join(self.root, "view.sqlite"),
        }
        for key, value in settings.items():
            self.set_variable(key, value)
        super().setUp()

    def set_variable(self, key: str, value: str) -> None:
        """Set one, until the test ends."""
        os.environ[key] = value
        self.addCleanup(os.environ.pop, key, None)


class FastMapperCase(EnvironmentCase):
    """The same with the fast mapper."""

    def setUp(self) -> None:
        """Set one more."""
        os.environ["AURORA_MAPPER"] = "msgpack"
        self.addCleanup(os.environ.pop, "AURORA_MAPPER", None)
        super().setUp()


@pytest.mark.filterwarnings("default:'log' is deprecated:DeprecationWarning")
class TestApplication(EnvironmentCase, ApplicationTestCase):
    """The library's application case."""


@pytest.mark.filterwarnings("default:'log' is deprecated:DeprecationWarning")
class TestApplicationWithFastMapper(FastMapperCase, ApplicationTestCase):
    """The library's application case with AURORA_MAPPER=msgpack."""


class TestExampleApplication(EnvironmentCase, ExampleApplicationTestCase):
    """The library's example application case."""

    expected_factory_topic = "aurora_es.factory:AuroraFactory"


class TestExampleApplicationWithFastMapper(FastMapperCase, ExampleApplicationTestCase):
    """The library's example application case with AURORA_MAPPER=msgpack."""

    expected_factory_topic = "aurora_es.factory:AuroraFactory"


class JournaledCounters(JournaledView, EventCountersView):
    """Counts in a journal."""

    counters = ViewTable(str, int)

    def get_created_event_counter(self) -> int:
        """Number of created events."""
        return self.counters.get("created", 0)

    def get_subsequent_event_counter(self) -> int:
        """Number of other events."""
        return self.counters.get("subsequent", 0)

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        """Count a created event."""
        self._increment("created", tracking)

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        """Count another event."""
        self._increment("subsequent", tracking)

    def _increment(self, name: str, tracking: Tracking) -> None:
        with self.transaction(tracking) as t:
            t.put(self.counters, name, t.get(self.counters, name, 0) + 1)


class InMemoryCounters(POPOTrackingRecorder, EventCountersView):
    """The library's in-memory view, as its own tests define it."""

    def __init__(self) -> None:
        """Start at zero."""
        super().__init__()
        self.created = 0
        self.subsequent = 0

    def get_created_event_counter(self) -> int:
        """Number of created events."""
        return self.created

    def get_subsequent_event_counter(self) -> int:
        """Number of other events."""
        return self.subsequent

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        """Count a created event."""
        with self._database_lock:
            self.insert_tracking(tracking)
            self.created += 1

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        """Count another event."""
        with self._database_lock:
            self.insert_tracking(tracking)
            self.subsequent += 1


class TableCounters(EventCountersView):
    """Counts in rows of a table, which a recorder of the library reads and changes."""

    def get_created_event_counter(self) -> int:
        """Number of created events."""
        return self._number("created")

    def get_subsequent_event_counter(self) -> int:
        """Number of other events."""
        return self._number("subsequent")

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        """Count a created event."""
        self._increment("created", tracking)

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        """Count another event."""
        self._increment("subsequent", tracking)

    @abstractmethod
    def _number(self, name: str) -> int:
        """The number in a row, zero if there is none."""

    @abstractmethod
    def _increment(self, name: str, tracking: Tracking) -> None:
        """Add one to a row, and record ``tracking``, in one transaction."""


class SQLiteCounters(SQLiteTrackingRecorder, TableCounters):
    """Counts in a table of the library's SQLite recorder: how large read models are kept."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Declare one more table."""
        super().__init__(*args, **kwargs)
        self.create_table_statements.append(
            "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, number INTEGER)"
        )

    def _number(self, name: str) -> int:
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT number FROM counters WHERE name=?", (name,))
            row = cursor.fetchone()
        return 0 if row is None else int(row[0])

    def _increment(self, name: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO counters VALUES (?, 1)"
                " ON CONFLICT (name) DO UPDATE SET number = number + 1",
                (name,),
            )


def postgres_counters() -> type[EventCountersView]:
    """A view that counts in a table of the library's PostgreSQL recorder."""
    library: Any = import_module("eventsourcing.postgres")

    class PostgresCounters(library.PostgresTrackingRecorder, TableCounters):  # type: ignore[misc]
        """The same as in SQLite."""

        def __init__(self, datastore: Any, **kwargs: Any) -> None:
            """Declare one more table."""
            super().__init__(datastore, **kwargs)
            create = "CREATE TABLE IF NOT EXISTS {} (name TEXT PRIMARY KEY, number BIGINT)"
            self.sql_create_statements.append(self._statement(create))

        def _statement(self, text: str) -> Any:
            table = library.Identifier(self.datastore.schema, "counters")
            return library.SQL(text).format(table)

        def _number(self, name: str) -> int:
            with self.datastore.transaction(commit=False) as cursor:
                cursor.execute(self._statement("SELECT number FROM {} WHERE name=%s"), (name,))
                row = cursor.fetchone()
            return 0 if row is None else int(row["number"])

        def _increment(self, name: str, tracking: Tracking) -> None:
            with self.datastore.transaction(commit=True) as cursor:
                self._insert_tracking(cursor, tracking)
                cursor.execute(
                    self._statement(
                        "INSERT INTO {} AS old VALUES (%s, 1)"
                        " ON CONFLICT (name) DO UPDATE SET number = old.number + 1"
                    ),
                    (name,),
                )

    return PostgresCounters


class TestJournaledView(EnvironmentCase, EventCountersViewTestCase):
    """The library's view case on a journaled view."""

    def construct_event_counters_view(self) -> EventCountersView:
        """A view of a factory named as a projection's."""
        factory = AuroraFactory(Environment("EventCounters", os.environ))
        self.addCleanup(factory.close)
        view = factory.tracking_recorder(JournaledCounters)
        assert isinstance(view, JournaledCounters)
        return view


class TestInMemoryView(EnvironmentCase, EventCountersViewTestCase):
    """The library's view case, which the in-memory view above has to pass."""

    def construct_event_counters_view(self) -> EventCountersView:
        """The in-memory view."""
        return InMemoryCounters()


class TestProjectionIntoJournaledView(EnvironmentCase, AggregateEventCountersProjectionTestCase):
    """The library's projection case: everything in one AURORA_PATH."""

    view_class = JournaledCounters


class TestDCBProjectionIntoJournaledView(EnvironmentCase, TaggedDecisionCountersProjectionTestCase):
    """The library's case of a DCB application's projection: everything in one AURORA_PATH."""

    view_class = JournaledCounters

    def setUp(self) -> None:
        """The application's mapper is that of tagged decisions."""
        os.environ["MAPPER_TOPIC"] = "eventsourcing.dcb.msgpack:MessagePackMapper"
        self.addCleanup(os.environ.pop, "MAPPER_TOPIC", None)
        super().setUp()


class TestProjectionIntoMemory(EnvironmentCase, AggregateEventCountersProjectionTestCase):
    """The library's projection case: our application, its view."""

    projection_module = "eventsourcing.popo"
    view_class = InMemoryCounters


class TestProjectionIntoSQLite(EnvironmentCase, AggregateEventCountersProjectionTestCase):
    """The library's projection case: our application, a view in SQLite."""

    projection_module = "eventsourcing.sqlite"
    view_class = SQLiteCounters


class TestProjectionIntoPostgres(EnvironmentCase, AggregateEventCountersProjectionTestCase):
    """The library's projection case: our application, a view in PostgreSQL, if a server runs."""

    projection_module = "eventsourcing.postgres"

    def setUp(self) -> None:
        """Name the server and a schema of the test's own, and make the class, which needs psycopg."""
        server = open_server()
        self.addCleanup(server.close)
        for key, value in server.env.items():
            self.set_variable(f"EVENTCOUNTERS_{key}", value)
        self.view_class = postgres_counters()
        super().setUp()


class TestEventSourcedProjection(EnvironmentCase, EventSourcedProjectionTestCase):
    """The library's event-sourced projection case."""


del AggregateEventCountersProjectionTestCase, ApplicationTestCase, EnvironmentCase
del EventCountersViewTestCase, EventSourcedProjectionTestCase, ExampleApplicationTestCase
del FastMapperCase, TaggedDecisionCountersProjectionTestCase
