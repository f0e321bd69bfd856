"""Every kind of recorder against a plain list and the library's SQLite recorder."""

from __future__ import annotations

from typing import Any

from eventsourcing.sqlite import SQLiteFactory

from aurora_es import AuroraFactory
from tests.face.recorder_machine import EventRules, NotificationRules, TrackingRules


class AggregateMachine(EventRules):
    """Recorders of events only."""

    def recorder_of(self, factory: AuroraFactory) -> Any:
        """Ours."""
        return factory.aggregate_recorder()

    def oracle_of(self, factory: SQLiteFactory) -> Any:
        """The library's."""
        return factory.aggregate_recorder()


class ApplicationMachine(NotificationRules):
    """Recorders with an application sequence."""

    def recorder_of(self, factory: AuroraFactory) -> Any:
        """Ours."""
        return factory.application_recorder()

    def oracle_of(self, factory: SQLiteFactory) -> Any:
        """The library's."""
        return factory.application_recorder()


class ProcessMachine(TrackingRules, NotificationRules):
    """Recorders with an application sequence and tracking."""

    def recorder_of(self, factory: AuroraFactory) -> Any:
        """Ours."""
        return factory.process_recorder()

    def oracle_of(self, factory: SQLiteFactory) -> Any:
        """The library's."""
        return factory.process_recorder()


class TrackingMachine(TrackingRules):
    """Recorders of tracking only."""

    purpose = "tracking"

    def recorder_of(self, factory: AuroraFactory) -> Any:
        """Ours."""
        return factory.tracking_recorder()

    def oracle_of(self, factory: SQLiteFactory) -> Any:
        """The library's."""
        return factory.tracking_recorder()


TestAggregateRecorderModel = AggregateMachine.TestCase
TestAggregateRecorderModel.__doc__ = "Aggregate recorders read what was inserted."
TestApplicationRecorderModel = ApplicationMachine.TestCase
TestApplicationRecorderModel.__doc__ = "Application recorders read what was inserted, in order."
TestProcessRecorderModel = ProcessMachine.TestCase
TestProcessRecorderModel.__doc__ = "Process recorders record events and tracking together."
TestTrackingRecorderModel = TrackingMachine.TestCase
TestTrackingRecorderModel.__doc__ = "Tracking recorders take rising ids of each name only."
