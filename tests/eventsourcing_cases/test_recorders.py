"""The library's recorder cases on aurora_es, once alone and once with a second process beside it.

In the second form another process opens the journal, reads it and records in it again and again
while the case runs; what it records stays out of the case's way by its own originators only where
the case allows foreign events, so it opens, reads and closes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from unittest import TestCase

from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    InfrastructureFactoryTestCase,
    NonInterleavingNotificationIDsBaseCase,
    ProcessRecorderTestCase,
    TrackingRecorderTestCase,
)
from eventsourcing.utils import Environment

import aurora_es
from aurora_es import (
    AuroraAggregateRecorder,
    AuroraApplicationRecorder,
    AuroraFactory,
    AuroraProcessRecorder,
    AuroraTrackingRecorder,
)
from tests.patience import PATIENCE_SECONDS

# Opens every journal below the store for appending, which takes the lock and recovers, reads it
# whole, closes it, and starts again until its standard input is closed.
_INTRUDER = """
import os, select, sys
from aurora_es import Journal
root = sys.argv[1]
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.005)[0]:
    for directory, _, names in os.walk(root):
        if "manifest" in names:
            with Journal.open(directory) as journal:
                count = sum(1 for _ in journal.read())
                assert count <= journal.last_position
"""


class StoreCase(TestCase):
    """Gives each test a store of its own."""

    beside_a_second_process = False

    def setUp(self) -> None:
        """Make the directory, and start the second process if asked."""
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.factories: list[AuroraFactory] = []
        self.addCleanup(self.close_factories)
        if self.beside_a_second_process:
            self.start_intruder()
        super().setUp()

    def start_intruder(self) -> None:
        """Start a process that opens and closes the journals until the test ends."""
        intruder = subprocess.Popen(
            [sys.executable, "-c", _INTRUDER, self.root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(aurora_es.__file__))},
        )
        assert intruder.stdin is not None
        assert intruder.stdout is not None
        intruder.stdout.readline()

        def stop() -> None:
            assert intruder.stdin is not None
            assert intruder.stdout is not None
            intruder.stdin.close()
            code = intruder.wait(PATIENCE_SECONDS)
            intruder.stdout.close()
            self.assertEqual(code, 0)

        self.addCleanup(stop)

    def factory_of(self, name: str = "app", **settings: str) -> AuroraFactory:
        """A factory on this test's store."""
        env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": self.root, **settings}
        factory = InfrastructureFactory.construct(Environment(name, env))
        assert isinstance(factory, AuroraFactory)
        self.factories.append(factory)
        return factory

    def close_factories(self) -> None:
        """Close what the test opened."""
        for factory in self.factories:
            factory.close()


class TestAggregateRecorder(StoreCase, AggregateRecorderTestCase):
    """The library's aggregate recorder case."""

    def create_recorder(self) -> AuroraAggregateRecorder:
        """A recorder of events."""
        return self.factory_of().aggregate_recorder()


class TestApplicationRecorder(StoreCase, ApplicationRecorderTestCase[AuroraApplicationRecorder]):
    """The library's application recorder case."""

    def create_recorder(self) -> AuroraApplicationRecorder:
        """A recorder of events."""
        return self.factory_of().application_recorder()

    def test_insert_subscribe(self) -> None:
        """Subscriptions work as the library's optional case says."""
        self.optional_test_insert_subscribe()


class TestTrackingRecorder(StoreCase, TrackingRecorderTestCase):
    """The library's tracking recorder case."""

    def create_recorder(self) -> AuroraTrackingRecorder:
        """A tracking recorder."""
        return self.factory_of().tracking_recorder()


class TestProcessRecorder(StoreCase, ProcessRecorderTestCase):
    """The library's process recorder case."""

    def create_recorder(self) -> AuroraProcessRecorder:
        """A process recorder."""
        return self.factory_of().process_recorder()


class TestNonInterleavingNotificationIDs(StoreCase, NonInterleavingNotificationIDsBaseCase):
    """The library's case on commits that stay together."""

    def create_recorder(self) -> AuroraApplicationRecorder:
        """A recorder of events."""
        return self.factory_of().application_recorder()


class TestAggregateRecorderBesideAProcess(TestAggregateRecorder):
    """The same with a second process."""

    beside_a_second_process = True


class TestApplicationRecorderBesideAProcess(TestApplicationRecorder):
    """The same with a second process."""

    beside_a_second_process = True


class TestTrackingRecorderBesideAProcess(TestTrackingRecorder):
    """The same with a second process."""

    beside_a_second_process = True


class TestProcessRecorderBesideAProcess(TestProcessRecorder):
    """The same with a second process."""

    beside_a_second_process = True


class TestNonInterleavingBesideAProcess(TestNonInterleavingNotificationIDs):
    """The same with a second process."""

    beside_a_second_process = True


class AuroraTrackingRecorderSubclass(AuroraTrackingRecorder):
    """What the factory case asks for."""


class TestInfrastructureFactory(StoreCase, InfrastructureFactoryTestCase[AuroraFactory]):
    """The library's factory case."""

    def setUp(self) -> None:
        """Give the case its environment."""
        self.env = Environment("TestCase")
        self.env["PERSISTENCE_MODULE"] = "aurora_es"
        super_setup = super().setUp
        self.env["AURORA_PATH"] = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.env["AURORA_PATH"])
        super_setup()

    def expected_factory_class(self) -> type[AuroraFactory]:
        """Ours."""
        return AuroraFactory

    def expected_aggregate_recorder_class(self) -> type[AuroraAggregateRecorder]:
        """Ours."""
        return AuroraAggregateRecorder

    def expected_application_recorder_class(self) -> type[AuroraApplicationRecorder]:
        """Ours."""
        return AuroraApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[AuroraTrackingRecorder]:
        """Ours."""
        return AuroraTrackingRecorder

    def tracking_recorder_subclass(self) -> type[AuroraTrackingRecorder]:
        """A subclass of ours."""
        return AuroraTrackingRecorderSubclass

    def expected_process_recorder_class(self) -> type[AuroraProcessRecorder]:
        """Ours."""
        return AuroraProcessRecorder


del AggregateRecorderTestCase, ApplicationRecorderTestCase, InfrastructureFactoryTestCase
del NonInterleavingNotificationIDsBaseCase, ProcessRecorderTestCase, TrackingRecorderTestCase
del StoreCase
