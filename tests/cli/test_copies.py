"""``aurora-es backup`` and ``restore``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.support import make_journal, refused, run
from tests.journal.support import flip


def test_a_backup_is_restored(tmp_path: Path) -> None:
    """Both commands tell what they did, and a full target is refused."""
    source, target = make_journal(tmp_path / "store" / "Bank" / "events"), tmp_path / "backup"
    done = run("backup", tmp_path / "store", target, "--verify")
    assert done.returncode == 0, done.stderr
    assert "up to position 7, commit 4" in done.stdout
    assert "digest " in done.stdout
    told = json.loads(run("backup", tmp_path / "store", target, "--json").stdout)
    assert told["journals"][0]["copied_files"] == 0
    done = run("restore", target, tmp_path / "new", "--position", 5)
    assert done.returncode == 0, done.stderr
    assert "up to position 3, commit 2" in done.stdout
    assert "expected an absent or empty directory" in refused(1, "restore", target, source)
    assert run("verify", tmp_path / "new").returncode == 0


def test_places_that_cannot_be_are_refused_with_a_next_step(tmp_path: Path) -> None:
    """A missing parent, a file in the place of a directory, no backup at all."""
    source, target = make_journal(tmp_path / "j"), tmp_path / "backup"
    assert run("backup", source, target).returncode == 0
    file, missing = tmp_path / "file", tmp_path / "no" / "such"
    file.touch()
    for place in (missing, file / "below"):
        for arguments in (("backup", source, place), ("restore", target, place)):
            error = refused(1, *arguments)
            assert f"mkdir -p {place.parent}" in error
            assert "nothing was written" in error
    assert "expected a directory, or nothing" in refused(1, "backup", source, file)
    assert "expected a directory, or nothing" in refused(1, "restore", target, file)
    assert "found no such directory" in refused(1, "restore", missing, tmp_path / "new")
    assert "found no journal in it" in refused(1, "restore", file, tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"j", "backup", "file"}


def test_a_point_behind_the_end_is_refused(tmp_path: Path) -> None:
    """Whoever asks for a position that is not there would get less than expected."""
    source, target = make_journal(tmp_path / "j"), tmp_path / "backup"
    assert run("backup", source, target).returncode == 0
    error = refused(1, "restore", target, tmp_path / "new", "--position", 8)
    assert "a position up to 7, where the backup ends, found 8" in error
    arguments = ("--position", 3, "--time", "2026-01-01T00:00:00Z")
    done = run("restore", target, tmp_path / "new", *arguments)
    assert done.returncode == 2
    assert "found both" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_failed_copy_is_removed(tmp_path: Path) -> None:
    """Nothing of it stays, as the error says: the next one needs the space."""
    source, target = make_journal(tmp_path / "j"), tmp_path / "backup"
    segment = max(source.glob("*.segment"))
    flip(segment, 300)
    refused(3, "backup", source, target)
    assert [path.name for path in target.iterdir()] == ["lock"]
    flip(segment, 300)
    assert run("backup", source, target, "--copy").returncode == 0
    flip(max((target / "0000000001").glob("*.segment")), 300)
    refused(3, "restore", target, tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"j", "backup"}


def test_a_damaged_copy_is_told_and_replaced(tmp_path: Path) -> None:
    """The next backup names what was wrong, in its report and as JSON, and the one after is as ever."""
    source, target = make_journal(tmp_path / "j"), tmp_path / "backup"
    for number, options in enumerate(((), ("--json",)), 1):
        assert run("backup", source, target).returncode == 0
        mark = target / f"{2 * number - 1:010d}" / "mark"
        mark.write_bytes(b"?")
        done = run("backup", source, target, *options)
        assert done.returncode == 0, done.stderr
        told = done.stdout
        if options:
            (told,) = json.loads(told)["journals"][0]["warnings"]
        assert f"{mark}: expected a valid slot in the mark" in told
        assert run("verify", target).returncode == 0
