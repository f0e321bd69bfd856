"""Which directories there are, how they are named, and when they are made."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from eventsourcing.persistence import OperationalError, Tracking
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import (
    AuroraConfigurationError,
    AuroraFactory,
    AuroraStore,
    ForeignDirectoryError,
    StorageError,
)
from aurora_es.files.layer import SystemFiles
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.sharing import LeaseOptions
from tests.face.support import OpenFactory, event, factory_on, names_below

DIRECTORIES = {
    "App": "App",
    "": "_default",
    ".": "%2E",
    "..": "%2E%2E",
    "...": "...",
    "%2E": "%252E",
    "a/b": "a%2Fb",
    "/absolute": "%2Fabsolute",
    "../escape": "..%2Fescape",
    "a\\b": "a%5Cb",
    "a\0b": "a%00b",
    "two words\n": "two%20words%0A",
    "Übung": "%C3%9Cbung",
    "日本": "%E6%97%A5%E6%9C%AC",
    "-rf": "-rf",
    "x" * 200: "x" * 200,
}
JOURNAL = {
    "background.lock",
    "lock",
    "manifest",
    "manifest.lock",
    "mark",
    "turn",
    "0000000001-00000000000000000001.segment",
}
READS: list[Callable[[AuroraFactory], object]] = [
    lambda factory: factory.aggregate_recorder().select_events("a"),
    lambda factory: factory.aggregate_recorder("snapshots").select_events("a"),
    lambda factory: factory.application_recorder().max_notification_id(),
    lambda factory: factory.application_recorder().select_notifications(1, 10),
    lambda factory: factory.process_recorder().max_tracking_id("up"),
    lambda factory: factory.tracking_recorder().has_tracking_id("up", 1),
    lambda factory: factory.application_recorder().insert_events([]),
    lambda factory: factory.process_recorder().insert_events([]),
    lambda factory: factory.application_recorder().subscribe().stop(),
]


@pytest.mark.parametrize("read", READS)
def test_nothing_is_made_before_the_first_append(
    tmp_path: Path, open_factory: OpenFactory, read: Callable[[AuroraFactory], object]
) -> None:
    """Recorders of an absent store read it as empty and leave no trace."""
    assert not read(open_factory())
    assert names_below(tmp_path) == []


def test_the_first_append_makes_the_directories(tmp_path: Path) -> None:
    """Each purpose has its own journal, made when it is needed; the root may be missing, too."""
    root = tmp_path / "root"
    factory = factory_on(root)
    process = factory.process_recorder()
    snapshots = factory.aggregate_recorder("snapshots")
    process.insert_events([event()])
    assert os.listdir(root) == ["App"]
    assert os.listdir(root / "App") == ["events"]
    assert set(os.listdir(root / "App" / "events")) == JOURNAL
    snapshots.insert_events([event()])
    factory.tracking_recorder().insert_tracking(Tracking("up", 1))
    factory.aggregate_recorder("archive of 2024").insert_events([event()])
    assert set(os.listdir(root / "App")) == {
        "events",
        "snapshots",
        "tracking",
        "archive%20of%202024",
    }
    assert root.stat().st_mode & 0o777 == 0o700
    factory.close()


def test_purposes_are_apart(open_factory: OpenFactory) -> None:
    """The same event may stand in events and in snapshots."""
    factory = open_factory()
    recorders = [factory.aggregate_recorder(purpose) for purpose in ("events", "snapshots", "x")]
    for recorder in recorders:
        recorder.insert_events([event(state=recorder.journal.handle.path.encode())])
    found = [recorder.select_events(event().originator_id) for recorder in recorders]
    assert [len(one) for one in found] == [1, 1, 1]
    assert len({one[0].state for one in found}) == 3


@pytest.mark.parametrize("purpose", ["tracking", "dcb"])
def test_some_purposes_are_reserved(open_factory: OpenFactory, purpose: str) -> None:
    """Events never land among tracking records or DCB events."""
    with pytest.raises(AuroraConfigurationError, match=f"'{purpose}' is reserved"):
        open_factory().aggregate_recorder(purpose)


@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_name_becomes_a_directory(tmp_path: Path, open_factory: OpenFactory, name: str) -> None:
    """Any name works; the directory lies in the root, and the manifest has the exact name."""
    open_factory(name).application_recorder().insert_events([event()])
    assert os.listdir(tmp_path) == [DIRECTORIES[name]]
    manifest = read_manifest(SystemFiles(), str(tmp_path / DIRECTORIES[name] / "events"))
    assert manifest is not None
    assert manifest.name == name


@pytest.mark.parametrize(
    "name", ["x" * 201, "é" * 34, "\ud800"], ids=["long", "long when encoded", "no text"]
)
def test_a_name_unfit_for_a_directory_is_refused(
    tmp_path: Path, open_factory: OpenFactory, name: str
) -> None:
    """More than 200 bytes, or text that the manifest cannot hold, is a wrong setting."""
    with pytest.raises(AuroraConfigurationError, match="application name"):
        open_factory(name).application_recorder()
    assert names_below(tmp_path) == []


@given(st.text(max_size=40))
def test_no_name_leads_out_of_the_root(name: str) -> None:
    """Whatever the name, its directory is a child of the root."""
    store = AuroraStore("/stores", name, LeaseOptions())
    try:
        path = store.path
    except AuroraConfigurationError:
        return
    assert os.path.dirname(path) == "/stores"
    assert os.path.normpath(path) == path


@pytest.mark.parametrize("purpose", ["..", "a/b", ""])
def test_a_purpose_never_leads_out_of_the_store(
    tmp_path: Path, open_factory: OpenFactory, purpose: str
) -> None:
    """Purposes are encoded as names are."""
    open_factory().aggregate_recorder(purpose).insert_events([event()])
    assert os.listdir(tmp_path) == ["App"]
    assert len(os.listdir(tmp_path / "App")) == 1


def test_a_directory_with_another_name_is_refused(
    tmp_path: Path, open_factory: OpenFactory
) -> None:
    """A store that was renamed or copied to another application's place is not written to."""
    factory = open_factory()
    factory.application_recorder().insert_events([event()])
    factory.close()
    os.rename(tmp_path / "App", tmp_path / "Other")
    before = (tmp_path / "Other" / "events" / "mark").read_bytes()
    with pytest.raises(ForeignDirectoryError, match="'Other', found that of 'App'") as caught:
        open_factory("Other").application_recorder()
    assert isinstance(caught.value, OperationalError)
    assert (tmp_path / "Other" / "events" / "mark").read_bytes() == before
    open_factory("").application_recorder().insert_events([event()])
    with pytest.raises(ForeignDirectoryError, match="'_default', found that of ''"):
        open_factory("_default").application_recorder()


def test_a_file_where_a_directory_belongs_is_refused(
    tmp_path: Path, open_factory: OpenFactory
) -> None:
    """Nothing is written when the root, or a journal, is a file."""
    (tmp_path / "App").write_text("precious")
    with pytest.raises(ForeignDirectoryError, match="expected a directory or nothing") as caught:
        open_factory().application_recorder().insert_events([event()])
    assert isinstance(caught.value, OperationalError)
    assert (tmp_path / "App").read_text() == "precious"


def test_a_directory_with_foreign_files_is_refused(
    tmp_path: Path, open_factory: OpenFactory
) -> None:
    """A directory that holds something else is left alone."""
    (tmp_path / "App" / "events").mkdir(parents=True)
    (tmp_path / "App" / "events" / "thesis.tex").write_text("precious")
    with pytest.raises(ForeignDirectoryError, match=r"thesis\.tex"):
        open_factory().application_recorder().insert_events([event()])
    assert names_below(tmp_path) == ["App", "App/events", "App/events/thesis.tex"]


def test_only_the_last_part_of_the_root_is_made(tmp_path: Path) -> None:
    """A mistyped path fails with a message instead of making a tree."""
    recorder = factory_on(tmp_path / "no" / "such" / "root").application_recorder()
    with pytest.raises(StorageError, match="below an existing one") as caught:
        recorder.insert_events([event()])
    assert isinstance(caught.value, OperationalError)
    assert f"`mkdir -p {tmp_path / 'no' / 'such'}`" in str(caught.value)
    assert names_below(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is permitted to root")
def test_missing_permission_is_said(tmp_path: Path) -> None:
    """The operating system's refusal comes as the library's error, with user and path."""
    (tmp_path / "closed").mkdir(mode=0o500)
    recorder = factory_on(tmp_path / "closed").application_recorder()
    with pytest.raises(StorageError, match="Permission denied") as caught:
        recorder.insert_events([event()])
    assert isinstance(caught.value, OperationalError)
