"""``aurora-es seal``, ``merge`` and ``cool``: what they say, and what they leave."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.cli.commands import app
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from tests.cli.support import call, damage, refused, run
from tests.cli.terminal import run_at_terminal


def make_rolled(path: Path, segments: int = 6) -> Path:
    """Make a journal of one record in each segment, none of them sealed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal.open(path, roll_cycle=RollCycle.events(1), sync=Sync.NEVER) as journal:
        for number in range(1, segments + 1):
            record = Record(
                topic="t", state=b"state %d" % number, originator_id="a", originator_version=number
            )
            journal.append([record])
    return path


def states(path: Path) -> list[bytes]:
    """Read all states of a journal."""
    with Journal.open(path, read_only=True) as journal:
        return [stored.record.state for stored in journal.read()]


def test_seal_merge_and_cool_say_what_they_did(tmp_path: Path) -> None:
    """One line for each journal under the path; a second time there is nothing left."""
    bank = make_rolled(tmp_path / "Bank" / "events")
    ship = make_rolled(tmp_path / "Ship" / "events", 2)
    before = states(bank)

    sealed = run("seal", tmp_path)
    assert (sealed.returncode, sealed.stderr) == (0, "")
    assert sealed.stdout == f"{bank}: sealed 5 segments\n{ship}: sealed 1 segment\n"
    assert run("merge", bank).stdout == f"{bank}: merged 0 runs\n"
    assert run("merge", bank, "--all").stdout == f"{bank}: merged 1 run\n"
    cooled = run("cool", bank, "--older-than", "0", "--codec", "snappy")
    assert cooled.stdout == f"{bank}: cooled 5 segments\n"
    assert run("cool", bank, "--older-than", "0").stdout == f"{bank}: cooled 0 segments\n"
    assert states(bank) == before


def test_json_is_one_object(tmp_path: Path) -> None:
    """With --json path and counts of each journal come as one object."""
    path = make_rolled(tmp_path / "j")
    assert json.loads(run("seal", path, "--json").stdout) == {
        "path": str(path),
        "journals": [{"path": str(path), "sealed_segments": 5}],
    }
    assert json.loads(run("cool", path, "--json").stdout)["journals"] == [
        {"path": str(path), "cooled_segments": 0}  # nothing is a day old
    ]


def test_a_terminal_shows_a_bar_that_vanishes(tmp_path: Path) -> None:
    """Long work shows how far it is, and leaves the result alone on the screen."""
    path = make_rolled(tmp_path / "j")
    shown = run_at_terminal("seal", path, columns=300)
    plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", shown)
    assert "sealing" in plain
    assert plain.rstrip().endswith("sealed 5 segments")


@pytest.mark.parametrize("age", ["90s", "30m", "24h", "7d", "4w"])
def test_an_age_has_a_unit(tmp_path: Path, age: str) -> None:
    """Each unit is understood."""
    call("cool", make_rolled(tmp_path / "j", 2), "--older-than", age)


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    """An age that is none and an unknown codec are wrong arguments; those that there are are told."""
    path = make_rolled(tmp_path / "j", 2)
    done = run("cool", path, "--older-than", "soon")
    assert done.returncode == 2
    assert "24h" in done.stderr
    done = run("cool", path, "--codec", "zip", COLUMNS="200")
    assert done.returncode == 2
    assert "expected one of lz4, none, snappy, zstd" in " ".join(done.stderr.split())


def test_damage_ends_with_its_own_code(tmp_path: Path) -> None:
    """A segment that is damaged is not sealed, and told."""
    path = make_rolled(tmp_path / "j")
    segment = damage(path, b"state 2")
    assert f"corruption in {segment}" in refused(3, "seal", path)


def test_one_works_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process works on the journal, the command gives up after its time-out."""
    path = make_rolled(tmp_path / "j")
    impatient = functools.partial(background.seal, lock_timeout=0.1)
    monkeypatch.setattr(background, "seal", impatient)
    with (
        BackgroundLock(SYSTEM_EFFECTS, str(path), timeout=1),
        pytest.raises(SystemExit, match="1"),
    ):
        app(["seal", str(path)], prog_name="aurora-es")


def test_a_run_that_is_built_anew_is_shown(tmp_path: Path) -> None:
    """At a terminal a bar tells why an answer takes long; elsewhere a warning does."""
    path = make_rolled(tmp_path / "j")
    run("seal", path)
    for index_run in path.glob("*.index"):
        index_run.unlink()
    shown = run_at_terminal("streams", path, columns=100)
    assert "building an index run anew" in shown
    piped = run("streams", path)
    assert piped.returncode == 0
    assert "it is built anew from segments 1 to 4" in piped.stderr
    assert "\x1b" not in piped.stderr
