"""The shipped cases of the library's 10.0 on the same code base: recorders, DCB, ids, metadata."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import TestCase
from uuid import uuid4

import pytest
from eventsourcing.utils import Environment

from aurora_es import (
    AuroraAggregateRecorder,
    AuroraApplicationRecorder,
    AuroraFactory,
    AuroraProcessRecorder,
    AuroraTrackingRecorder,
)
from aurora_es.compat import IS_10, NIL_UUID

if not IS_10:
    pytest.skip("needs eventsourcing 10.0: make test-next", allow_module_level=True)

if not TYPE_CHECKING:  # the types are those of the version in .venv
    from eventsourcing.dcb.api import DcbEvent
    from eventsourcing.dcb.tests import DcbRecorderTestCase
    from eventsourcing.persistence import IntegrityError, StoredEvent
    from eventsourcing.tests.persistence import (
        AggregateRecorderTestCase,
        ApplicationRecorderTestCase,
        InfrastructureFactoryTestCase,
        NonInterleavingNotificationIDsBaseCase,
        ProcessRecorderTestCase,
        TrackingRecorderTestCase,
    )


class StoreCase(TestCase):
    """Gives each test a store of its own."""

    def setUp(self) -> None:
        """Make the directory."""
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        super().setUp()

    def factory_of(self) -> Any:
        """A factory on this test's store."""
        env = {"AURORA_PATH": self.root, "AURORA_ROLL_CYCLE": "3events", "AURORA_BACKGROUND": "n"}
        factory = AuroraFactory(Environment("app", env))
        self.addCleanup(factory.close)
        return factory


if not TYPE_CHECKING:

    class TestAggregateRecorder(StoreCase, AggregateRecorderTestCase):
        """The library's aggregate recorder case."""

        recorder_supports_idempotent_appends = True

        def create_recorder(self) -> Any:
            """A recorder of events."""
            return self.factory_of().aggregate_recorder()

    class TestApplicationRecorder(StoreCase, ApplicationRecorderTestCase):
        """The library's application recorder case."""

        recorder_supports_idempotent_appends = True

        def create_recorder(self) -> Any:
            """A recorder of events."""
            return self.factory_of().application_recorder()

        def test_insert_subscribe(self) -> None:
            """Subscriptions work as the library's optional case says."""
            self.optional_test_insert_subscribe()

    class TestTrackingRecorder(StoreCase, TrackingRecorderTestCase):
        """The library's tracking recorder case."""

        def create_recorder(self) -> Any:
            """A tracking recorder."""
            return self.factory_of().tracking_recorder()

    class TestProcessRecorder(StoreCase, ProcessRecorderTestCase):
        """The library's process recorder case."""

        def create_recorder(self) -> Any:
            """A process recorder."""
            return self.factory_of().process_recorder()

    class TestNonInterleaving(StoreCase, NonInterleavingNotificationIDsBaseCase):
        """The library's case on commits that stay together."""

        def create_recorder(self) -> Any:
            """A recorder of events."""
            return self.factory_of().application_recorder()

    class TestDcbRecorder(StoreCase, DcbRecorderTestCase):
        """The library's DCB recorder case."""

        def test_append_read(self) -> None:
            """Queries and conditions answer as the library's case says."""
            self._test_append_read(self.factory_of().dcb_recorder())

        def test_append_subscribe(self) -> None:
            """A subscription blocks, and receives."""
            self._test_append_subscribe(self.factory_of().dcb_recorder())

    class OwnApplicationRecorder(AuroraApplicationRecorder):
        """What the factory case asks for."""

    class OwnProcessRecorder(AuroraProcessRecorder):
        """What the factory case asks for."""

    class OwnTrackingRecorder(AuroraTrackingRecorder):
        """What the factory case asks for."""

    class TestFactory(InfrastructureFactoryTestCase):
        """The library's factory case."""

        def setUp(self) -> None:
            """Give the case its environment."""
            root = tempfile.mkdtemp()
            self.addCleanup(shutil.rmtree, root)
            settings = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": root}
            self.env = Environment("TestCase", settings | {"AURORA_BACKGROUND": "n"})
            super().setUp()

        def expected_factory_class(self) -> type:
            """Ours."""
            return AuroraFactory

        def expected_aggregate_recorder_class(self) -> type:
            """Ours."""
            return AuroraAggregateRecorder

        def expected_application_recorder_class(self) -> type:
            """Ours."""
            return AuroraApplicationRecorder

        def expected_tracking_recorder_class(self) -> type:
            """Ours."""
            return AuroraTrackingRecorder

        def expected_process_recorder_class(self) -> type:
            """Ours."""
            return AuroraProcessRecorder

        def application_recorder_subclass(self) -> type:
            """A subclass of ours."""
            return OwnApplicationRecorder

        def process_recorder_subclass(self) -> type:
            """A subclass of ours."""
            return OwnProcessRecorder

        def tracking_recorder_subclass(self) -> type:
            """A subclass of ours."""
            return OwnTrackingRecorder

    class TestValues(StoreCase):
        """What events of 10.0 have beside those of 9.5."""

        def test_events_without_an_id(self) -> None:
            """An event without an id comes back as such, and its originator id as a str."""
            recorder = self.factory_of().application_recorder()
            event = StoredEvent(originator_id="a", originator_version=1, topic="t", state=b"")
            recorder.insert_events([event])
            assert recorder.select_events("a") == [event]
            assert recorder.select_notifications(1, 9)[0].metadata == {}

        def test_an_append_that_is_repeated(self) -> None:
            """Events with ids that are all recorded already are not recorded twice."""
            recorder = self.factory_of().application_recorder()
            events = [
                StoredEvent(
                    originator_id="a", originator_version=at, topic="t", state=b"", uuid=uuid4()
                )
                for at in range(1, 6)
            ]
            assert recorder.insert_events(events[:2]) == [1, 2]
            assert recorder.insert_events(events[2:4]) == [3, 4]
            assert recorder.insert_events(events[:2]) == [1, 2]
            assert recorder.insert_events(events[1:4]) == [2, 3, 4]
            others = [replace(events[0], uuid=uuid4())], [replace(events[0], uuid=NIL_UUID)]
            for refused in (*others, events[3:], events[:2] * 2, events[1::-1]):
                with pytest.raises(IntegrityError):
                    recorder.insert_events(refused)
            assert recorder.max_notification_id() == 4

        def test_the_head(self) -> None:
            """A DCB recorder tells its head; ids and metadata come back."""
            recorder = self.factory_of().dcb_recorder()
            assert recorder.head() is None
            event = StoredEvent(originator_id="a", originator_version=1, topic="t", state=b"")
            given = DcbEvent(type="t", data=b"", tags=[], uuid=event.uuid, metadata={"k": "v"})
            assert recorder.append([given]) == 1
            assert recorder.head() == 1
            assert [each.event for each in recorder.read()] == [given]

    del AggregateRecorderTestCase, ApplicationRecorderTestCase, DcbRecorderTestCase
    del InfrastructureFactoryTestCase
    del NonInterleavingNotificationIDsBaseCase, ProcessRecorderTestCase, TrackingRecorderTestCase
del StoreCase
