"""``aurora-es repair`` and ``rebuild``: what they say, ask, refuse, and leave."""

from __future__ import annotations

import json
import os
from pathlib import Path

from aurora_es import Journal
from aurora_es.format.checksum import crc32c
from aurora_es.format.names import MANIFEST
from aurora_es.journal import background
from tests.cli.support import refused, run
from tests.cli.terminal import run_at_terminal
from tests.cli.test_upkeep import make_rolled, states
from tests.journal.support import flip


def damaged(path: Path) -> Path:
    """A journal of six records, of which the second is damaged and the first four are sealed."""
    make_rolled(path)
    background.seal(str(path))
    flip(sorted(path.glob("*.segment"))[1], 260)
    return path


def test_a_dry_run_says_what_the_repair_then_does(tmp_path: Path) -> None:
    """The plan has a line for each file, the lost positions, and where the originals are kept."""
    path = damaged(tmp_path / "j")
    planned = run("repair", path, "--dry-run")
    assert (planned.returncode, planned.stderr) == (3, "")
    lines = planned.stdout.splitlines()
    assert lines[0] == f"{path}:"
    assert lines[1].startswith("0000000002-00000000000000000002.segment: offset 216: expected ")
    assert lines[1].endswith("lost: 2")
    assert lines[-2:] == ["lost: 1 position: 2", f"kept as it was: {path}.broken-1"]
    done = run("repair", path, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    *same, last = done.stdout.splitlines()
    assert same == lines
    assert last == f"repaired; epoch 1; next: aurora-es verify {path}"
    assert run("repair", path, "--dry-run").stdout == f"{path}: nothing to repair\n"
    assert run("verify", path).returncode == 0
    assert [state[-1:] for state in states(path)] == [b"1", b"3", b"4", b"5", b"6"]
    assert {*os.listdir(f"{path}.broken-1")} >= {"repair.json", "manifest.broken"}


def test_what_a_killed_repair_has_lost_is_told_by_the_next(tmp_path: Path) -> None:
    """Killed behind everything but its end, it has told nobody; then it is told once."""
    path = damaged(tmp_path / "j")
    done = run("repair", path, "--yes", "--json")
    kept = Path(json.loads(done.stdout)["journals"][0]["kept_in"])
    (kept / "unfinished").write_text('{"lost":[[2,2]],"lost_behind":null}')
    told = [
        f"{path}: a repair was killed; what it changed is kept: {kept}",
        f"{path}: nothing to repair",
        "lost: 1 position: 2",
    ]
    for arguments in (("--dry-run",), ("--yes",)):
        again = run("repair", path, *arguments)
        assert (again.returncode, again.stdout.splitlines()) == (0, told)
    assert run("repair", path, "--dry-run").stdout == f"{path}: nothing to repair\n"


def test_nobody_to_ask_needs_yes(tmp_path: Path) -> None:
    """Behind a pipe nothing is changed without --yes, and the command says so."""
    path = damaged(tmp_path / "j")
    done = run("repair", path)
    assert done.returncode == 1
    assert "lost: 1 position: 2" in done.stdout
    assert (
        done.stderr == f"aurora-es: not repaired: {path}; add --yes to do it without being asked\n"
    )
    assert not list(tmp_path.glob("*.broken*"))


def test_a_terminal_is_asked(tmp_path: Path) -> None:
    """What the terminal says at its end is no."""
    path = damaged(tmp_path / "j")
    shown = run_at_terminal("repair", path, "--yes")
    assert "repaired; epoch 1" in shown


def test_json_is_one_object(tmp_path: Path) -> None:
    """With --json the report of each journal comes as one object."""
    path = damaged(tmp_path / "j")
    planned = json.loads(run("repair", path, "--dry-run", "--json").stdout)
    (journal,) = planned["journals"]
    assert journal["lost"] == [[2, 2]]
    assert [one["file"] for one in journal["repairs"]] == [
        "0000000002-00000000000000000002.segment",
        "manifest",
    ]
    done = json.loads(run("repair", path, "--yes", "--json").stdout)["journals"][0]
    assert done | {"dry_run": True} == journal


def test_foreign_directories_are_refused(tmp_path: Path) -> None:
    """What is no journal is not touched."""
    (tmp_path / "notes.txt").write_text("mine")
    refused(1, "repair", tmp_path, "--yes")
    refused(1, "rebuild", tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_rebuild_makes_indexes_anew(tmp_path: Path) -> None:
    """Runs and tables that are gone are there again; a dry run makes none."""
    path = make_rolled(tmp_path / "j")
    background.seal(str(path))
    names = sorted(os.listdir(path))
    for name in names:
        if name.endswith((".index", ".frames")):
            os.unlink(path / name)
    said = "index runs and tables of 5 segments anew\n"
    assert run("rebuild", path, "--dry-run").stdout == f"{path}: would make {said}"
    assert run("verify", path).returncode == 3
    assert run("rebuild", path, "--indexes").stdout == f"{path}: made {said}"
    assert run("verify", path).returncode == 0
    assert {*os.listdir(path)} <= {*names}  # but for those that were obsolete


def test_rebuild_makes_the_manifest_anew(tmp_path: Path) -> None:
    """Settings of a valid manifest are kept; of a missing one the report says what was assumed."""
    path = make_rolled(tmp_path / "App" / "events")
    background.seal(str(path))
    before = states(path)
    done = run("rebuild", path, "--manifest")
    assert done.returncode == 0, done.stderr
    assert "assumed" not in done.stdout
    with Journal.open(path, read_only=True) as journal:
        assert journal.statistics().sync == "never"
    os.unlink(path / MANIFEST)
    done = run("rebuild", path, "--manifest", "--json")
    (report,) = json.loads(done.stdout)["journals"]
    assert report["kept_in"] is None
    assert report["assumptions"][0].startswith("application name 'App', by the directories; sync")
    assert run("verify", path).returncode == 0
    assert states(path) == before
    with Journal.open(path) as journal:
        assert journal.statistics().sync == "always"


def test_rebuild_refuses_what_only_a_repair_can_do(tmp_path: Path) -> None:
    """A damaged segment is named, with the command to run; nothing is changed."""
    path = damaged(tmp_path / "j")
    before = sorted(os.listdir(path))
    for options in ((), ("--manifest",)):
        message = refused(3, "rebuild", path, *options)
        assert "aurora-es verify" in message
    assert sorted(os.listdir(path)) == before


def test_json_tells_what_was_done_before_a_failure(tmp_path: Path) -> None:
    """The second journal is of a newer version: what was done to the first is told all the same."""
    first = damaged(tmp_path / "store" / "a" / "events")
    second = make_rolled(tmp_path / "store" / "b" / "events")
    background.seal(str(second))
    segment = min(second.glob("*.segment"))
    data = bytearray(segment.read_bytes())
    data[8] = 99  # the version
    data[124:128] = crc32c(bytes(data[:124])).to_bytes(4, "little")
    segment.write_bytes(data)
    done = run("repair", tmp_path / "store", "--yes", "--json")
    assert done.returncode == 1
    (told,) = json.loads(done.stdout)["journals"]
    assert (told["path"], told["lost"], told["dry_run"]) == (str(first), [[2, 2]], False)
    assert "found version 99" in done.stderr


def test_rebuilding_names_the_missing_segment_and_one_next_step(tmp_path: Path) -> None:
    """The file has its own name, and the error one command to run."""
    path = damaged(tmp_path / "j")
    missing = sorted(path.glob("*.segment"))[2]
    missing.unlink()
    flip(sorted(path.glob("*.segment"))[1], 260)  # back as it was
    error = refused(3, "rebuild", path, "--manifest")
    assert f"corruption in {missing} " in error
    assert error.count("`aurora-es ") == 1
