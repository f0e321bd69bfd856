"""``doctor`` sees what applications see, and says what to do about it."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from eventsourcing.persistence import InfrastructureFactory, StoredEvent, Tracking
from eventsourcing.utils import Environment

from aurora_es import AuroraFactory, Journal, Record, RollCycle, Sync
from aurora_es.care import Advice, DoctorReport, doctor
from aurora_es.care.applications import look_at_application
from aurora_es.care.journals import JournalReport, advise_on_journal
from aurora_es.care.machine import advise_on_machine, look_at_machine
from aurora_es.care.places import advise_on_place, look_at_place
from aurora_es.environment import PARSERS
from aurora_es.files.layer import SYSTEM_EFFECTS, SystemFiles
from aurora_es.files.surroundings import Probed, Space, flock_excludes
from tests.care.test_settings import snapshot

OURS = {"PERSISTENCE_MODULE": "aurora_es"}


def make_store(root: Path, name: str = "Bank", **settings: str) -> Path:
    """Make the events of an application; returns the path of the journal."""
    env = Environment(name, {"AURORA_PATH": str(root), **settings})
    recorder = AuroraFactory(env).application_recorder()
    recorder.insert_events([StoredEvent("a", 1, "t", b"")])
    recorder.close()  # one that is dropped keeps its journal open until it is collected
    return root / name / "events"


def kinds(advice: Iterator[Advice] | DoctorReport | tuple[Advice, ...]) -> dict[str, Advice]:
    """What was advised, by its kind."""
    listed = advice.advice if isinstance(advice, DoctorReport) else advice
    return {one.kind: one for one in listed}


def test_a_healthy_store_needs_nothing(tmp_path: Path) -> None:
    """Nothing but what the machine itself may have; and nothing is changed by looking."""
    path = make_store(tmp_path / "store")
    before = snapshot(path)
    report = doctor(env={**OURS, "AURORA_PATH": str(tmp_path / "store")})
    machine = kinds(advise_on_machine(report.machine)) | {"file-system-polled": None}
    assert set(kinds(report)) <= set(machine)
    assert snapshot(path) == before
    (journal,) = report.journals
    assert (journal.name, journal.sync, journal.last_position) == ("Bank", "always", 1)
    assert (journal.durable, journal.is_open, journal.mode) == (True, False, "0700")
    assert report.places[0].flock


def test_an_application_s_key_wins_over_the_common_one(tmp_path: Path) -> None:
    """Each setting names the key under which it was found."""
    env = {
        **OURS,
        "AURORA_PATH": "/common",
        "BANK_AURORA_PATH": str(tmp_path),
        "AURORA_SYNC": "5ms",
    }
    application = look_at_application(env, "Bank", asked_for=True)
    seen = {one.setting: one for one in application.settings}
    assert (seen["AURORA_PATH"].key, seen["AURORA_PATH"].text) == (
        "BANK_AURORA_PATH",
        str(tmp_path),
    )
    assert (seen["AURORA_SYNC"].key, seen["AURORA_SYNC"].text) == ("AURORA_SYNC", "5ms")
    assert seen["AURORA_ROLL_CYCLE"].key is None
    assert application.directory == str(tmp_path / "Bank")


@pytest.mark.parametrize(
    ("env", "module"),
    [
        ({}, "popo"),
        ({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": ":memory:"}, "sqlite"),
        ({"TOTALS_PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": "/x"}, "aurora_es"),
        ({"FACTORY_TOPIC": "aurora_es.factory:AuroraFactory", "AURORA_PATH": "/x"}, "aurora_es"),
        ({"PERSISTENCE_MODULE": "", "INFRASTRUCTURE_FACTORY": "aurora_es", "AURORA_PATH": "/x"},
         "aurora_es"),
    ],
)  # fmt: skip
def test_where_a_view_lands_is_where_the_library_puts_it(env: dict[str, str], module: str) -> None:
    """The factory that the library constructs for the projection's name is the one that is told."""
    application = look_at_application(env, "Totals", asked_for=True)
    factory = InfrastructureFactory.construct(Environment("Totals", env))
    assert module in type(factory).__module__
    if module == "aurora_es":
        assert application.view == "/x/Totals/tracking"
    else:
        assert module in application.view
        assert application.directory is None


def test_a_view_in_memory_is_a_warning_that_names_the_class_s_env(tmp_path: Path) -> None:
    """The projection's runner does not see a class-level env; asked for by name, that is said."""
    make_store(tmp_path)
    (found,) = [
        one
        for one in doctor(tmp_path, apps=["Totals"], env={}).advice
        if one.where == "application 'Totals'"
    ]
    assert (found.kind, found.severity) == ("other-backend", "warning")
    assert "TOTALS_PERSISTENCE_MODULE=aurora_es" in found.cure
    assert "class-level env" in found.cure
    # Of a store that was only found, the program's settings need not be in this shell.
    assert kinds(doctor(tmp_path, env={}))["other-backend"].severity == "note"


def test_settings_that_differ_from_what_is_recorded(tmp_path: Path) -> None:
    """A sync mode that opening refuses is an error; what opening records is a warning."""
    path = make_store(tmp_path)
    env = {**OURS, "AURORA_PATH": str(tmp_path), "BANK_AURORA_SYNC": "5ms"}
    (found,) = [it for it in doctor(env=env).advice if it.kind == "setting-differs"]
    assert (found.severity, found.where) == ("error", str(path))
    assert found.found.startswith("BANK_AURORA_SYNC asks for 5ms, and the journal records always")
    assert f"`aurora-es set {path} --sync 5ms`" in found.cure
    env = {
        **OURS,
        "AURORA_PATH": str(tmp_path),
        "AURORA_SYNC": " Always ",
        "AURORA_ROLL_CYCLE": "hour",
        "AURORA_COMPRESSION": "none",
        "AURORA_COOL_AFTER": "24h",
    }
    warned = [it for it in doctor(env=env).advice if it.kind == "setting-differs"]
    assert [it.severity for it in warned] == ["warning", "warning"]
    assert ["ROLL_CYCLE" in warned[0].found, "COOL_AFTER" in warned[1].found] == [True, True]


def test_a_store_that_the_settings_do_not_lead_to(tmp_path: Path) -> None:
    """The journals are somewhere else than where the application will look."""
    path = make_store(tmp_path / "old")
    env = {**OURS, "AURORA_PATH": str(tmp_path / "new")}
    found = kinds(doctor(tmp_path / "old", apps=["Bank"], env=env))["other-path"]
    assert (found.where, found.severity) == (str(path), "warning")
    assert f"set AURORA_PATH to {tmp_path / 'old'}" in found.cure


def test_keys_that_nobody_reads() -> None:
    """A misspelled key, one in lower case, and a name that no shell can set a key for."""
    env = {"AURORA_SYNCH": "always", "Bank_AURORA_SYNC": "never", "AURORA_CLUSTER_ARN": "x"}
    found = kinds(doctor(apps=["Bank", "my-app"], env=env))
    assert found["key-misspelled"].where == "AURORA_SYNCH"
    assert "AURORA_SYNC" in found["key-misspelled"].cure
    assert found["key-in-lower-case"].where == "Bank_AURORA_SYNC"
    assert "BANK_AURORA_SYNC" in found["key-in-lower-case"].cure
    assert "MY-APP_AURORA_PATH" in found["key-not-for-shells"].found


def test_wrong_and_missing_settings_are_all_told() -> None:
    """Every wrong one, not only the first, as the factory would tell it."""
    env = {**OURS, "AURORA_SYNC": "sometimes", "AURORA_BACKGROUND": "perhaps"}
    advice = doctor(apps=["Bank"], env=env).advice
    wrong = [one.found for one in advice if one.kind == "setting-wrong"]
    assert ["AURORA_SYNC" in wrong[0], "AURORA_BACKGROUND" in wrong[1]] == [True, True]
    assert "BANK_AURORA_PATH, AURORA_PATH" in kinds(advice)["path-missing"].found


def test_the_factory_s_settings_are_those_of_the_environment() -> None:
    """What the one reads, the other shows."""
    named = {
        value
        for value in vars(AuroraFactory).values()
        if isinstance(value, str) and value in PARSERS
    }
    assert named == set(PARSERS)


def test_what_a_repair_and_a_recovery_have_left(tmp_path: Path) -> None:
    """Directories set aside are told with their journal, and are no journals of their own."""
    path = make_store(tmp_path)
    aside = path.parent / "events.broken-1"
    aside.mkdir()
    (aside / "0000000001-00000000000000000001.segment").write_bytes(b"")
    (path / "recovered").mkdir(mode=0o700)
    (path / "recovered" / "x").write_bytes(b"cut")
    (path / "manifest.new").write_bytes(b"")
    report = doctor(tmp_path, env={})
    assert [one.path for one in report.journals] == [str(path)]
    found = kinds(report)
    assert found["set-aside"].where == str(aside)
    assert f"`aurora-es verify {path}`" in found["set-aside"].cure
    assert "1 files" in found["recovered-files"].found
    assert "manifest.new" in found["new-files"].found


def test_a_damaged_journal_is_told_beside_the_rest(tmp_path: Path) -> None:
    """Damage is an observation: the report comes, and names the command that says more."""
    path = make_store(tmp_path)
    (path / "mark").unlink()
    report = doctor(tmp_path, env={})
    found = kinds(report)["journal-damaged"]
    assert found.severity == "error"
    assert f"`aurora-es verify {path}`" in found.cure
    assert report.journals[0].sync == "always"
    assert report.advice[0] == found


def test_work_that_waits(tmp_path: Path) -> None:
    """Segments that nobody sealed, and sealed ones that are to be cooled."""
    path = tmp_path / "journal"
    with Journal.open(
        path, roll_cycle=RollCycle.events(1), sync=Sync.NEVER, background=False
    ) as journal:
        for number in range(5):
            journal.append([Record(topic="t", state=b"%d" % number)])
    report = doctor(path, env={})
    unsealed = report.journals[0].unsealed_segments
    assert unsealed is not None
    # An appender seals the older of two by itself: what waits is judged, not made.
    waiting = msgspec.structs.replace(
        report.journals[0], unsealed_segments=3, segments_to_cool=2, cool_after_hours=24
    )
    found = kinds(advise_on_journal(waiting, os.geteuid()))
    assert f"`aurora-es seal {path}`" in found["unsealed"].cure
    assert "cool" in found["cooling-due"].cure


def test_a_clock_behind_the_last_commit(tmp_path: Path) -> None:
    """Timestamps stand still until it has caught up."""
    path = make_store(tmp_path)
    early = replace(SYSTEM_EFFECTS, clock=lambda: SYSTEM_EFFECTS.clock() - 7200 * 1_000_000)
    found = kinds(doctor(tmp_path, env={}, effects=early))["clock-behind"]
    assert found.where == str(path)
    assert "7,1" in found.found or "7,2" in found.found


def test_what_follows_may_not_be_more_durable(tmp_path: Path) -> None:
    """A projection under ``always`` of events under ``never`` may get ahead of them."""
    make_store(tmp_path, "Bank", AURORA_SYNC="never")
    factory = AuroraFactory(Environment("Totals", {"AURORA_PATH": str(tmp_path)}))
    recorder = factory.tracking_recorder()
    recorder.insert_tracking(Tracking("Bank", 1))
    recorder.close()
    report = doctor(tmp_path, env={})
    found = kinds(report)["more-durable-than-upstream"]
    assert found.where == str(tmp_path / "Totals" / "tracking")
    assert "--sync never" in found.cure


def test_rights_are_looked_at(tmp_path: Path) -> None:
    """Others who may look or write, and files of another user."""
    journal = JournalReport(path="/store/Bank/events", sync="always", mode="0755", user=7)
    found = kinds(advise_on_journal(journal, 7))
    assert "look into" in found["mode-open"].found
    assert "other-user" not in found
    assert kinds(advise_on_journal(journal, 8))["other-user"].severity == "error"
    assert kinds(advise_on_journal(journal, 0))["other-user"].severity == "warning"
    public = msgspec.structs.replace(journal, mode="0777")
    refused = kinds(advise_on_journal(public, 7))["mode-public"]
    assert (refused.severity, refused.cure) == ("error", "`chmod 700 /store/Bank/events`")
    sticky = msgspec.structs.replace(journal, mode="1777")
    assert kinds(advise_on_journal(sticky, 7))["mode-open"].severity == "warning"
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    place = look_at_place(SYSTEM_EFFECTS, str(tmp_path / "open"), [], probing=False)
    assert "directory-writable" in kinds(advise_on_place(place, network_allowed=False))


def test_an_unfinished_journal_is_a_note(tmp_path: Path) -> None:
    """A creator that died before the manifest has left nothing that matters."""
    journal = JournalReport(path=str(tmp_path), mode="0700", user=os.geteuid())
    assert kinds(advise_on_journal(journal, os.geteuid()))["journal-unborn"].severity == "note"


def test_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    """The last component is made by the first append; more than that is not."""
    env = {**OURS, "AURORA_PATH": str(tmp_path / "store")}
    assert kinds(doctor(env=env))["directory-missing"].severity == "note"
    env["AURORA_PATH"] = str(tmp_path / "no" / "store")
    found = kinds(doctor(env=env))["directory-missing"]
    assert found.severity == "error"
    assert f"mkdir -p {tmp_path / 'no'}" in found.cure
    assert list(tmp_path.iterdir()) == []


def test_file_systems_are_judged(tmp_path: Path) -> None:
    """Network, polling, no flock, no links, no room: each is told with what to do."""
    place = look_at_place(SYSTEM_EFFECTS, str(tmp_path), [], probing=False)
    assert (place.flock, place.hard_links, place.probed) == (None, None, None)
    network = msgspec.structs.replace(
        place,
        file_system="nfs4",
        is_network=True,
        flock=False,
        hard_links=False,
        space=Space(free_bytes=1 << 20, free_inodes=3, is_read_only=False),
    )
    found = kinds(advise_on_place(network, network_allowed=False))
    assert {"network-file-system", "flock-broken", "no-hard-links", "inodes-low"} <= set(found)
    assert (found["network-file-system"].severity, found["space-low"].severity) == (
        "error",
        "error",
    )
    allowed = kinds(advise_on_place(network, network_allowed=True))
    assert allowed["network-file-system"].severity == "warning"
    polled = msgspec.structs.replace(
        place,
        file_system="overlay",
        is_network=False,
        is_polled=True,
        space=Space(free_bytes=1 << 40, free_inodes=None, is_read_only=True),
        probed=Probed(flock=True, hard_links=True, sync_p50_us=50_000, sync_p99_us=90_000),
    )
    found = kinds(advise_on_place(polled, network_allowed=False))
    assert {"file-system-polled", "mounted-read-only", "sync-slow"} <= set(found)
    unbounded = msgspec.structs.replace(
        place, space=Space(free_bytes=None, free_inodes=None, is_read_only=False)
    )
    assert "space-low" not in kinds(advise_on_place(unbounded, network_allowed=False))


def test_a_probe_leaves_nothing_and_looks_at_everything(tmp_path: Path) -> None:
    """One file, in the directory and gone again; what it shows is in the report."""
    place = look_at_place(SYSTEM_EFFECTS, str(tmp_path), [], probing=True)
    assert place.probed is not None
    assert (place.flock, place.hard_links) == (True, True)
    assert 0 < place.probed.sync_p50_us <= place.probed.sync_p99_us
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_lies_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that exclude nobody, and links that are refused, leave nothing behind either."""

    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", source)

    monkeypatch.setattr(SystemFiles, "flock", staticmethod(lambda fd, operation: None))
    monkeypatch.setattr(SystemFiles, "link", staticmethod(refuse))
    place = look_at_place(SYSTEM_EFFECTS, str(tmp_path), [], probing=True)
    assert (place.flock, place.hard_links) == (False, False)
    assert list(tmp_path.iterdir()) == []


def test_looking_at_flock_disturbs_nobody(tmp_path: Path) -> None:
    """It works beside shared and exclusive owners of the lock, who keep it."""
    file = tmp_path / "mark"
    file.touch()
    for operation in (fcntl.LOCK_SH, fcntl.LOCK_EX):
        with file.open("rb") as owner, file.open("rb") as rival:
            fcntl.flock(owner, operation)
            assert flock_excludes(SYSTEM_EFFECTS.files, str(file))
            with pytest.raises(BlockingIOError):
                fcntl.flock(rival, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_machine_is_judged() -> None:
    """A slow checksum, a missing package, a library too new, no watcher left."""
    machine = look_at_machine()
    assert machine.versions["eventsourcing"] is not None
    worse = msgspec.structs.replace(
        machine,
        crc32c="python",
        watcher_error="inotify_init1: Too many open files",
        versions={**machine.versions, "lz4": None, "zstandard": None, "eventsourcing": "10.0.0"},
    )
    found = kinds(advise_on_machine(worse))
    assert set(found) == {"checksum-slow", "no-watcher", "package-missing", "eventsourcing-version"}
    assert found["package-missing"].where == "lz4"
