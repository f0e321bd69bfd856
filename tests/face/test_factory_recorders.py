"""What the factory constructs, and what it refuses to construct."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eventsourcing.dcb.api import DCBEvent
from eventsourcing.persistence import (
    InterfaceError,
    Mapper,
    Tracking,
)
from eventsourcing.popo import POPOTrackingRecorder

from aurora_es import (
    AuroraAggregateRecorder,
    AuroraApplicationRecorder,
    AuroraConfigurationError,
    AuroraProcessRecorder,
    AuroraStore,
    AuroraTrackingRecorder,
)
from tests.face.support import OpenFactory, event


class OwnApplicationRecorder(AuroraApplicationRecorder):
    """An application recorder of somebody's own."""


class OwnTrackingRecorder(AuroraTrackingRecorder):
    """A tracking recorder of somebody's own, which passes on what it gets."""

    def __init__(self, store: AuroraStore, **kwargs: Any) -> None:
        """Keep the arguments."""
        self.given = store
        super().__init__(store, **kwargs)


class OwnProcessRecorder(AuroraProcessRecorder):
    """A process recorder of somebody's own."""


class OwnMapper(Mapper[Any]):
    """A mapper of somebody's own."""


def test_a_class_that_is_no_subclass_is_refused_by_name(open_factory: OpenFactory) -> None:
    """A view for another backend is a wrong setting, and the message says what is wrong."""
    with pytest.raises(AuroraConfigurationError) as caught:
        open_factory().tracking_recorder(POPOTrackingRecorder)
    message = str(caught.value)
    for text in ("AuroraTrackingRecorder", "POPOTrackingRecorder", "_PERSISTENCE_MODULE"):
        assert text in message


@pytest.mark.parametrize(
    ("key", "method"),
    [
        ("APPLICATION_RECORDER_TOPIC", "application_recorder"),
        ("TRACKING_RECORDER_TOPIC", "tracking_recorder"),
        ("PROCESS_RECORDER_TOPIC", "process_recorder"),
    ],
)
def test_recorder_topics(open_factory: OpenFactory, key: str, method: str) -> None:
    """A recorder class may be named by a setting; a class of another kind is refused."""
    own = "Own" + method.title().replace("_", "")
    factory = open_factory(**{key: f"{__name__}:{own}"})
    assert type(getattr(factory, method)()).__name__ == own
    factory = open_factory(**{key: f"{__name__}:OwnMapper"})
    with pytest.raises(AuroraConfigurationError, match="OwnMapper"):
        getattr(factory, method)()


def test_a_tracking_recorder_gets_the_store(open_factory: OpenFactory) -> None:
    """A subclass is given the store by position and may pass keywords on."""
    factory = open_factory()
    recorder = factory.tracking_recorder(OwnTrackingRecorder)
    assert isinstance(recorder, OwnTrackingRecorder)
    assert recorder.given is factory.store
    recorder.insert_tracking(Tracking("up", 1))
    assert factory.tracking_recorder().max_tracking_id("up") == 1


def test_a_recorder_accepts_unknown_keywords(open_factory: OpenFactory) -> None:
    """Subclasses for several versions of the library may pass on what they do not know."""
    recorder = AuroraTrackingRecorder(open_factory().store, unheard_of=1)
    recorder.close()


def test_the_dcb_recorder_has_a_journal_of_its_own(
    tmp_path: Path, open_factory: OpenFactory
) -> None:
    """Constructing one writes nothing; positions of DCB events are their own."""
    factory = open_factory()
    recorder = factory.dcb_recorder()
    assert recorder.read().head is None
    assert list(tmp_path.iterdir()) == []
    factory.application_recorder().insert_events([event()])
    assert recorder.append([DCBEvent("type", b"")]) == 1
    assert {path.name for path in (tmp_path / "App").iterdir()} == {"dcb", "events"}
    factory.close()
    with pytest.raises(InterfaceError):
        recorder.read()


def test_a_factory_is_closed_twice(open_factory: OpenFactory) -> None:
    """Closing is idempotent, with and without recorders; runners do it."""
    factory = open_factory()
    factory.close()
    factory.application_recorder().insert_events([event()])
    factory.close()
    factory.close()


@pytest.mark.parametrize("opened", [False, True], ids=["absent", "existing"])
def test_recorders_of_a_closed_factory_are_closed(open_factory: OpenFactory, opened: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """Every later call raises the library's InterfaceError."""
    factory = open_factory()
    if opened:
        open_factory().process_recorder().insert_events([event()])
    process, tracking = factory.process_recorder(), factory.tracking_recorder()
    aggregate = factory.aggregate_recorder("snapshots")
    factory.close()
    for call in (
        lambda: process.insert_events([event(2)]),
        lambda: process.insert_events([]),
        lambda: process.select_events("a"),
        lambda: process.select_notifications(1, 1),
        process.max_notification_id,
        process.subscribe,
        lambda: process.wait("up", 1),
        lambda: process.max_tracking_id("up"),
        lambda: process.journal,
        lambda: tracking.insert_tracking(Tracking("up", 1)),
        lambda: aggregate.insert_events([event()]),
        lambda: aggregate.select_events("a"),
    ):
        with pytest.raises(InterfaceError, match="was closed"):
            call()
    process.close()


def test_another_factory_goes_on(open_factory: OpenFactory) -> None:
    """Closing one of two factories of a store leaves the other one's recorders open."""
    first, second = open_factory(), open_factory()
    one, two = first.application_recorder(), second.application_recorder()
    assert isinstance(one, AuroraAggregateRecorder)
    one.insert_events([event(1)])
    first.close()
    assert two.insert_events([event(2)]) == [2]
    with pytest.raises(InterfaceError):
        one.max_notification_id()
