"""``aurora-es set``: shows and changes what journals record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aurora_es import Journal, Record, Sync
from tests.cli.support import call, refused, run, writer


def make(path: Path) -> Path:
    """Make a journal of one record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal.open(path, sync=Sync.NEVER) as journal:
        journal.append([Record(topic="t", state=b"")])
    return path


def test_what_holds_and_what_held_is_told(tmp_path: Path) -> None:
    """One line for each journal under the path."""
    bank, ship = make(tmp_path / "Bank" / "events"), make(tmp_path / "Ship" / "events")
    shown = run("set", bank)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == (
        f"{bank}: sync never, roll cycle day, compression none, cool after never\n"
    )
    done = run("set", tmp_path, "--sync", "always", "--cool-after", "7d")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(
        f"{path}: sync always (was never), roll cycle day, compression none, cool after 168h (was"
        " never)\n"
        for path in (bank, ship)
    )


def test_json_is_one_object(tmp_path: Path) -> None:
    """With --json the reports come as one object."""
    path = make(tmp_path / "j")
    done = run("set", path, "--roll-cycle", "64MiB", "--compression", "lz4", "--json")
    (report,) = json.loads(done.stdout)["journals"]
    assert report == {
        "path": str(path),
        "name": None,
        "sync": "never",
        "roll_cycle": "64MiB",
        "compression": "lz4",
        "cool_after_hours": None,
        "changed": {"roll_cycle": "day", "compression": "none"},
    }


def test_an_open_journal_is_refused(tmp_path: Path) -> None:
    """Who has it open, and what to do then, is said; the settings are as before."""
    path = make(tmp_path / "j")
    with writer(path) as other:
        other.append("t", "")
        message = refused(1, "set", path, "--sync", "always")
        assert f"{path} is open for appending" in message
        assert "`aurora-es set`" in message
        assert "sync never" in run("set", path).stdout
    call("set", path, "--sync", "always")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--sync", "sometimes", "always, never or <n>ms"),
        ("--roll-cycle", "fortnight", "five_minutes"),
        ("--compression", "zip", "lz4"),
        ("--cool-after", "soon", "24h"),
    ],
)
def test_what_is_no_setting_is_a_wrong_argument(
    tmp_path: Path, option: str, value: str, expected: str
) -> None:
    """The values allowed are told, and nothing is changed."""
    done = run("set", make(tmp_path / "j"), option, value, COLUMNS="300")
    assert done.returncode == 2
    assert expected in done.stderr


def test_never_ends_cooling(tmp_path: Path) -> None:
    """A policy can be taken back."""
    path = make(tmp_path / "j")
    call("set", path, "--cool-after", "1h")
    assert "cool after never (was 1h)" in run("set", path, "--cool-after", "never").stdout
