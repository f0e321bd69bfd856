"""The library's application and projection cases on aurora_es.

Views on journals come later; the projection cases use the library's in-memory view beside our
application recorder, as the cases allow: the projection has its own PERSISTENCE_MODULE.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import ClassVar
from unittest import TestCase

import pytest
from eventsourcing.persistence import Tracking
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.tests.application import ApplicationTestCase, ExampleApplicationTestCase
from eventsourcing.tests.projection import (
    AggregateEventCountersProjectionTestCase,
    EventCountersView,
    EventCountersViewTestCase,
    EventSourcedProjectionTestCase,
)

_SETTINGS = ("PERSISTENCE_MODULE", "AURORA_PATH", "EVENTCOUNTERS_PERSISTENCE_MODULE")


class EnvironmentCase(TestCase):
    """Points the library at a store of the test's own through ``os.environ``."""

    env: ClassVar[dict[str, str]] = {}

    def setUp(self) -> None:
        """Set the variables."""
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        for key, value in zip(
            _SETTINGS, ("aurora_es", self.root, "eventsourcing.popo"), strict=True
        ):
            os.environ[key] = value
            self.addCleanup(os.environ.pop, key, None)
        super().setUp()


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


class TestEventCountersView(EnvironmentCase, EventCountersViewTestCase):
    """The library's view case, which the in-memory view below has to pass."""

    def construct_event_counters_view(self) -> EventCountersView:
        """The in-memory view."""
        return InMemoryCounters()


class TestAggregateEventCountersProjection(
    EnvironmentCase, AggregateEventCountersProjectionTestCase
):
    """The library's projection case: our application, its view."""

    view_class = InMemoryCounters


class TestEventSourcedProjection(EnvironmentCase, EventSourcedProjectionTestCase):
    """The library's event-sourced projection case."""


del AggregateEventCountersProjectionTestCase, ApplicationTestCase, EnvironmentCase
del EventCountersViewTestCase, EventSourcedProjectionTestCase, ExampleApplicationTestCase
del FastMapperCase
