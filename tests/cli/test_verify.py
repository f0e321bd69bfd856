"""``aurora-es verify``: what it prints, and how it ends."""

from __future__ import annotations

import json
import shutil
import struct
from fcntl import LOCK_SH, flock
from pathlib import Path

from aurora_es import Journal, Record
from aurora_es.format.checksum import crc32c
from aurora_es.journal import background
from aurora_es.journal.retention import retain
from tests.cli.support import damage, make_journal, refused, run


def test_a_whole_store_is_told_and_ends_with_zero(tmp_path: Path) -> None:
    """One line for each journal, with how far it goes and how large it is."""
    make_journal(tmp_path / "Bank" / "events")
    make_journal(tmp_path / "Ships" / "events")
    done = run("verify", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    bank, ships = done.stdout.splitlines()
    assert bank.startswith(f"{tmp_path}/Bank/events: whole; positions 1 to 7, 3 segments, ")
    assert ships.startswith(f"{tmp_path}/Ships/events: whole; ")


def test_a_damaged_store_is_told_and_ends_with_three(tmp_path: Path) -> None:
    """Kind, file, offset, expectation, finding, lost positions, and the command to run next."""
    path = make_journal(tmp_path / "my store" / "events")
    segment = damage(path, b"cargo-7")
    done = run("verify", path)
    assert done.returncode == 3
    head, finding, lost, following = done.stdout.splitlines()
    assert head.startswith(f"{path}: damaged; positions 1 to 7, 3 segments, ")
    assert finding.startswith(f"segment-frame-damaged: {segment}, offset ")
    assert "expected payload checksum 0x" in finding
    assert finding.endswith("; lost: 3")
    assert lost == "lost: 1 position: 3"
    assert following == f"next: aurora-es repair '{path}' --dry-run"
    # A whole journal beside it changes nothing about that.
    make_journal(tmp_path / "another" / "events")
    assert run("verify", tmp_path).returncode == 3


def test_caches_cost_nothing(tmp_path: Path) -> None:
    """A missing index run is a damage in which nothing is lost, and `rebuild` is the cure."""
    path = make_journal(tmp_path / "journal")
    background.seal(str(path))
    next(iter(path.glob("*.index"))).unlink()
    done = run("verify", path)
    assert done.returncode == 3
    assert "run-missing: " in done.stdout
    assert "\nlost: nothing\n" in done.stdout
    assert f"next: aurora-es rebuild {path}" in done.stdout


def test_what_could_not_be_checked_ends_with_four(tmp_path: Path) -> None:
    """A manifest of a newer version is no damage, and no proof that there is none."""
    path = make_journal(tmp_path / "journal")
    manifest = bytearray((path / "manifest").read_bytes())
    manifest[8] = 2
    manifest[28:32] = struct.pack("<I", crc32c(bytes(manifest[:28])))
    (path / "manifest").write_bytes(manifest)
    done = run("verify", path)
    assert done.returncode == 4
    assert f"{path}: not checked; " in done.stdout
    (line,) = (one for one in done.stdout.splitlines() if one.startswith("unsupported: "))
    assert line.startswith(f"unsupported: {path}/manifest: expected manifest version 1 ")
    assert (line.count("expected"), line.count("found"), line.count(str(path))) == (1, 1, 1)


def test_digests_of_copies(tmp_path: Path) -> None:
    """A copy that was sealed and cooled has the same digest, and so has a prefix up to a position."""
    path = make_journal(tmp_path / "journal")
    shutil.copytree(path, tmp_path / "copy")
    background.seal(str(tmp_path / "copy"))
    background.cool(str(tmp_path / "copy"), older_than_hours=-1)
    lines = [
        run("verify", "--digest", one).stdout.splitlines() for one in (path, tmp_path / "copy")
    ]
    assert lines[0][1] == lines[1][1]
    assert lines[0][1].startswith("digest ")
    assert lines[0][1].endswith(" up to position 7, commit 4")
    bounded = run("verify", "--until", 3, path).stdout.splitlines()[1]
    assert bounded.endswith(" up to position 3, commit 2")
    assert bounded != lines[0][1]


def test_copies_are_compared_up_to_a_commit(tmp_path: Path) -> None:
    """A commit without records has no position of its own: its number names the point exactly."""
    path = make_journal(tmp_path / "journal")
    with Journal.open(path) as journal:
        journal.append([], tracking=("upstream", 1))
    shutil.copytree(path, tmp_path / "copy")
    with Journal.open(path) as journal:
        journal.append([], tracking=("upstream", 2))
        journal.append([Record(topic="Later", state=b"")], tracking=("upstream", 3))
    copied = run("verify", tmp_path / "copy", "--digest").stdout.splitlines()[1]
    assert copied.endswith(" up to position 7, commit 5")
    same = run("verify", path, "--until-commit", 5)
    assert (same.returncode, same.stdout.splitlines()[1]) == (0, copied)
    # Up to a position no such commit counts, whatever comes behind: on both sides it is the same.
    bounded = {
        run("verify", one, "--until", 7).stdout.splitlines()[1] for one in (path, tmp_path / "copy")
    }
    (line,) = bounded
    assert line.endswith(" up to position 7, commit 4")


def test_a_digest_up_to_a_commit_that_is_not_there(tmp_path: Path) -> None:
    """What was asked for is not there: that is no success, at either end."""
    path = make_journal(tmp_path / "journal")
    assert "with commit 9, found commits up to 4 only" in refused(
        1, "verify", path, "--until-commit", 9
    )
    background.seal(str(path))
    retain(path, before_position=4)
    assert "with position 1, found one that begins at 4" in refused(1, "verify", path, "--until", 1)


def test_json_says_the_same(tmp_path: Path) -> None:
    """One object, with a report for each journal."""
    path = make_journal(tmp_path / "Bank" / "events")
    damage(path, b"cargo-7")
    done = run("verify", tmp_path, "--json", "--digest")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert found["path"] == str(tmp_path)
    assert found["unreadable"] == []
    (report,) = found["journals"]
    assert (report["is_whole"], report["is_damaged"], report["digest"]) == (False, True, None)
    (finding,) = report["findings"]
    assert finding["kind"] == "segment-frame-damaged"
    assert finding["lost"] == report["lost"] == [[3, 3]]
    assert [one["is_whole"] for one in report["segments"]].count(False) == 1


def test_a_digest_cannot_be_of_more_than_there_is(tmp_path: Path) -> None:
    """What was asked for is not there: that is no success."""
    path = make_journal(tmp_path / "j")
    done = run("verify", path, "--until", 99)
    assert done.returncode == 1
    assert "up to position 7" in done.stdout
    assert "up to position 99 at least, found one that ends at 7" in done.stderr


def test_a_target_of_backups_stands_for_its_copy(tmp_path: Path) -> None:
    """Its name stays the same while copies come and go; to be changed it is not."""
    source, target = make_journal(tmp_path / "store" / "Bank" / "events"), tmp_path / "backup"
    assert run("backup", tmp_path / "store", target).returncode == 0
    assert run("backup", tmp_path / "store", target).returncode == 0
    done = run("verify", target, "--digest")
    assert done.returncode == 0, done.stderr
    copy = target / "0000000002" / "Bank" / "events"
    assert done.stdout.startswith(f"{copy}: whole; positions 1 to 7")
    assert done.stdout.splitlines()[1] == run("verify", source, "--digest").stdout.splitlines()[1]
    assert run("info", target).stdout.count("events") == 1
    for command in ("seal", "repair", "set", "compact", "rebuild"):
        assert "found a target of backups" in refused(1, command, target)
    assert "found a target of backups" in refused(1, "retain", target, "--bytes-max", 0)


def test_a_copy_stays_while_it_is_verified(tmp_path: Path) -> None:
    """A backup to where the copy lies waits, and a verification waits for a backup."""
    make_journal(tmp_path / "j")
    assert run("backup", tmp_path / "j", tmp_path / "backup").returncode == 0
    with (tmp_path / "backup" / "lock").open("rb") as lock:
        flock(lock, LOCK_SH)
        assert run("verify", tmp_path / "backup" / "0000000001").returncode == 0
        assert "backup/lock" in refused(1, "backup", tmp_path / "j", tmp_path / "backup")


def test_half_a_backup_is_damaged(tmp_path: Path) -> None:
    """What the record names and is not there is told, though the rest is whole."""
    make_journal(tmp_path / "store" / "Bank" / "events")
    make_journal(tmp_path / "store" / "Bank" / "snapshots")
    assert run("backup", tmp_path / "store", tmp_path / "backup").returncode == 0
    lost = tmp_path / "backup" / "0000000001" / "Bank" / "events"
    shutil.rmtree(lost)
    done = run("verify", tmp_path / "backup")
    assert done.returncode == 3
    assert f"{lost}: expected a journal" in done.stderr


def test_a_damaged_copy_is_not_repaired_where_it_is(tmp_path: Path) -> None:
    """The next step is the backup again, for a copy that is gone, too; and that mends it."""
    source, target = make_journal(tmp_path / "j"), tmp_path / "backup"
    assert run("backup", source, target).returncode == 0
    copy = target / "0000000001"
    again = f"aurora-es backup {source} {target} --verify"
    (copy / "mark").write_bytes(b"?")
    for path in (target, copy):
        done = run("verify", path)
        assert done.returncode == 3
        assert f"next: {again}\n" in done.stdout
    for command in ("seal", "repair", "set", "compact", "rebuild"):
        error = refused(1, command, copy)
        assert "found a copy in a target of backups" in error
        assert again in error
    shutil.rmtree(copy)
    assert f"Next: `{again}`" in refused(3, "verify", target)
    assert f"`aurora-es verify {target}`" in refused(1, "info", target)
    source.rename(tmp_path / "moved")
    assert f"Next: `aurora-es backup SOURCE {target} --verify`" in refused(3, "verify", target)
    assert run("backup", tmp_path / "moved", target, "--verify").returncode == 0
    assert run("verify", target).returncode == 0
    assert run("fork", target / "0000000002", tmp_path / "fork").returncode == 0
