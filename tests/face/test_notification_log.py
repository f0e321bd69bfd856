"""Sections of ``AuroraNotificationLog``: their bounds, and which of them are the same for ever."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from eventsourcing.application import Application, LocalNotificationLog, Section
from eventsourcing.domain import Aggregate, event
from eventsourcing.interface import NotificationLogJSONClient, NotificationLogJSONService
from eventsourcing.persistence import InterfaceError
from eventsourcing.system import NotificationLogReader
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import AuroraApplicationRecorder, AuroraNotificationLog, AuroraSection
from aurora_es.journal.background import cool, seal
from tests.face.support import SCRATCH, OpenFactory, events, factory_on

ROLL = 4  # events


def recorder_of(open_factory: OpenFactory, **settings: str) -> AuroraApplicationRecorder:
    """Open a recorder whose journal rolls after every few events."""
    return open_factory(AURORA_ROLL_CYCLE=f"{ROLL}events", **settings).application_recorder()


def ids(section: Section) -> list[int]:
    """Notification ids of a section."""
    return [item.id for item in section.items]


def linked(log: AuroraNotificationLog, section_id: str) -> list[AuroraSection]:
    """The section ``section_id`` and all that are linked behind it."""
    sections = [log[section_id]]
    while (following := sections[-1].next_id) is not None:
        sections.append(log[following])
    return sections


def test_a_section_ends_where_its_segment_ends(open_factory: OpenFactory) -> None:
    """It may be shorter than was asked for, and leads on all the same."""
    recorder = recorder_of(open_factory)
    recorder.insert_events(events(ROLL))
    recorder.insert_events(events(ROLL - 1, first=ROLL + 1))
    log = AuroraNotificationLog(recorder, section_size=3)

    found = [(it.id, it.next_id, it.is_archived) for it in linked(log, "1,3")]
    assert found == [
        ("1,3", "4,6", True),
        ("4,4", "5,7", True),  # cut at the segment's end
        ("5,7", "8,10", True),
        (None, None, False),
    ]
    assert ids(log["2,100"]) == [2, 3, 4]
    recorder.insert_events(events(1, first=2 * ROLL))
    last = log["8,10"]
    assert (last.id, last.next_id, last.is_archived) == ("8,8", None, False)  # still the tail
    recorder.insert_events(events(1, first=2 * ROLL + 1))
    last = log["8,10"]
    assert (last.id, last.next_id, last.is_archived) == ("8,8", "9,11", True)


def test_ids_of_archived_sections(open_factory: OpenFactory) -> None:
    """There is one for each sealed segment, and none for what may still change."""
    recorder = recorder_of(open_factory)
    log = AuroraNotificationLog(recorder, section_size=100)
    assert log.archived_section_ids() == []
    recorder.insert_events(events(5))
    recorder.insert_events(events(4, first=6))
    recorder.insert_events(events(1, first=10))
    assert log.archived_section_ids() == []
    seal(recorder.journal.handle.path)
    assert log.archived_section_ids() == ["1,5", "6,9"]
    for section_id in log.archived_section_ids():
        section = log[section_id]
        assert (section.id, section.is_archived) == (section_id, True)


def test_what_may_be_taken_back_is_not_archived(open_factory: OpenFactory) -> None:
    """Under a weak sync mode a full section is archived once it is known to be on disk."""
    recorder = recorder_of(open_factory, AURORA_SYNC="never")
    log = AuroraNotificationLog(recorder, section_size=2)
    recorder.insert_events(events(3))
    section = log["1,2"]
    assert (section.id, section.next_id, section.is_archived) == ("1,2", "3,4", False)
    recorder.journal.sync()
    assert log["1,2"].is_archived
    assert not log["3,4"].is_archived  # not full


@pytest.mark.parametrize("section_id", ["", "1", "a,b", "1,"])
def test_what_is_no_section_id_is_refused(open_factory: OpenFactory, section_id: str) -> None:
    """A ValueError, as the library raises for text that holds no numbers."""
    with pytest.raises(ValueError, match=r"invalid literal|not enough values"):
        AuroraNotificationLog(recorder_of(open_factory))[section_id]


def test_limits_are_checked_as_in_the_library(open_factory: OpenFactory) -> None:
    """A selection may not be longer than a section; a closed recorder raises its own error."""
    recorder = recorder_of(open_factory)
    log = AuroraNotificationLog(recorder, section_size=3)
    with pytest.raises(ValueError, match="Requested limit 4 greater than section size 3"):
        log.select(start=1, limit=4)
    assert log["1,3"] == AuroraSection(id=None, items=[], next_id=None)
    assert AuroraNotificationLog(recorder).section_size == LocalNotificationLog.DEFAULT_SECTION_SIZE
    recorder.close()
    for ask in (lambda: log["1,3"], log.archived_section_ids):
        with pytest.raises(InterfaceError):
            ask()


@given(
    commits=st.lists(st.integers(1, 9), max_size=12),
    sealed_at=st.sets(st.integers(0, 12)),
    section_size=st.integers(1, 12),
    asked=st.tuples(st.integers(-2, 60), st.integers(-2, 70)),
)
def test_an_archived_section_is_the_same_for_ever(
    commits: list[int], sealed_at: set[int], section_size: int, asked: tuple[int, int]
) -> None:
    """Whatever comes later, and however it is stored by then."""
    first, last = asked
    section_id = f"{first},{last}"
    wanted = range(max(first, 1), last + 1)[:section_size]
    seen: list[AuroraSection] = []
    bounds = [0]
    with (
        TemporaryDirectory(dir=SCRATCH) as directory,
        factory_on(directory, AURORA_ROLL_CYCLE=f"{ROLL}events", AURORA_SYNC="never") as factory,
    ):
        recorder = factory.application_recorder()
        log = AuroraNotificationLog(recorder, section_size)
        total = 0
        for number, size in enumerate(commits):
            if total - bounds[-1] >= ROLL:
                bounds.append(total)  # the commit that comes now rolls first
            recorder.insert_events(events(size, first=total + 1))
            total += size
            if number in sealed_at:
                seal(recorder.journal.handle.path)
                cool(recorder.journal.handle.path)
            seen.append(log[section_id])
            # The model: cut at bounds and at the head, never longer than asked for.
            end = next((bound for bound in bounds if bound >= wanted.start), None)
            items = [at for at in wanted if at <= min(total, total if end is None else end)]
            assert ids(seen[-1]) == items
            is_whole = bool(items) and (items[-1] == end or len(items) == len(wanted))
            assert (seen[-1].next_id is not None) == is_whole
            assert is_whole or not seen[-1].is_archived
        archived = [section for section in seen if section.is_archived]
        assert all(section == archived[0] for section in archived)
        if archived:
            assert seen[-1].is_archived
        assert [*log.archived_section_ids()] == [
            f"{bounds[at] + 1},{bounds[at + 1]}" for at in range(len(log.archived_section_ids()))
        ]


class Page(Aggregate):
    """A page of text."""

    @event("Written")
    def __init__(self, text: str) -> None:
        """Write the first text."""
        self.text = text

    @event("Changed")
    def change(self, text: str) -> None:
        """Write another text."""
        self.text = text


class Wiki(Application[UUID]):
    """An application whose log ends its sections where segments end."""

    def construct_notification_log(self) -> AuroraNotificationLog:
        """Use ours."""
        assert isinstance(self.recorder, AuroraApplicationRecorder)
        return AuroraNotificationLog(self.recorder, section_size=3)


def test_the_library_reads_such_a_log(tmp_path: Path) -> None:
    """Its reader, its JSON service and its client yield every event once, in order."""
    env = {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": str(tmp_path),
        "AURORA_ROLL_CYCLE": f"{ROLL}events",
    }
    with Wiki(env=env) as wiki:
        page = Page("first")
        for number in range(10):
            wiki.save(page)
            page.change(f"text {number}")
        service = NotificationLogJSONService(wiki)
        client = NotificationLogJSONClient(service)
        for log in (wiki.notification_log, client):
            reader = NotificationLogReader(log, section_size=3)
            assert [found.id for found in reader.read(start=1)] == [*range(1, 11)]
            assert [found.id for found in reader.read(start=6)] == [*range(6, 11)]
        said = json.loads(service.get_log_section("4,6"))
        assert (said["id"], said["next_id"]) == ("4,4", "5,7")
        assert said.keys() == {"id", "next_id", "items"}
