"""``aurora-es tail``: the newest records, and those that other processes append meanwhile."""

from __future__ import annotations

import json
import select
import signal
from pathlib import Path

import pytest

from aurora_es import Journal, Record
from tests.cli.support import call, make_journal, opened, run, started, writer
from tests.patience import PATIENCE_SECONDS


def positions(printed: str) -> list[int]:
    """Positions of the records that were printed for a program."""
    return [int(line.split("\t")[0]) for line in printed.splitlines()]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), [1, 2, 3, 4, 5, 6, 7]),
        (("-n", 2), [6, 7]),
        (("--count", 0), []),
        (("-n", 2, "--originator", "cargo-7"), [5, 6]),
        (("-n", 1, "--topic", "bank:Account.Opened", "--topic", "ship:Cargo.Booked"), [3]),
        (("-n", 5, "--topic", "bank:Account.Opened"), [1]),
    ],
)
def test_the_newest_records_come_oldest_first(
    tmp_path: Path,
    options: tuple[object, ...],
    wanted: list[int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """-n counts the records that are printed, after --topic and --originator."""
    call("tail", make_journal(tmp_path / "j"), *options)
    assert positions(capfd.readouterr().out) == wanted


def test_a_record_far_back_is_found(tmp_path: Path) -> None:
    """The search backwards goes on until it has enough, in order, across its windows."""
    path = make_journal(tmp_path / "j")
    with Journal.open(path) as journal:
        for at in range(4):
            journal.append([Record(topic=f"batch {at}", state=b"")] * 1000)

    done = run("tail", path, "-n", 2, "--topic", "note", "--topic", "bank:Account.Opened")
    assert positions(done.stdout) == [1, 7]
    done = run("tail", path, "-n", 1001, "--topic", "batch 1", "--topic", "batch 2")
    assert positions(done.stdout) == list(range(2007, 3008))


def test_what_another_process_appends_is_shown_at_once(tmp_path: Path) -> None:
    """With -f each commit appears before the next is made, across rolls; Ctrl-C ends with 0."""
    path = make_journal(tmp_path / "Bank" / "events")
    with writer(path) as other, started("tail", "-f", "-n", 1, tmp_path / "Bank") as process:
        shown = opened(process.stdout)
        assert shown.readline().split("\t")[0] == "7"
        for at in range(8, 16):
            assert other.append("live", f"state {at}") == at
            fields = shown.readline().rstrip("\n").split("\t")
            assert (fields[0], fields[4:]) == (str(at), ["live", f"state {at}"])
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert (shown.read(), opened(process.stderr).read()) == ("", "")
    assert len(list(path.glob("*.segment"))) > 4


def test_following_obeys_filters_and_json(tmp_path: Path) -> None:
    """Records that come later pass through the same filters as those before."""
    path = make_journal(tmp_path / "j")
    options = ("--follow", "--count", 1, "--topic", "note", "--json")
    with writer(path) as other, started("tail", path, *options) as process:
        shown = opened(process.stdout)
        assert json.loads(shown.readline())["position"] == 7
        other.append("other", "{}")
        other.append("note", '{"seen": true}')
        found = json.loads(shown.readline())
        assert (found["position"], found["state"]) == (9, {"seen": True})


def test_following_can_begin_at_the_end(tmp_path: Path) -> None:
    """With -n 0 nothing older is shown than what is appended once the command runs."""
    path = make_journal(tmp_path / "j")
    with writer(path) as other, started("tail", "-f", "-n", 0, path) as process:
        shown = opened(process.stdout)
        last = 7
        while not select.select([shown], [], [], 0.05)[0]:
            last = other.append("knock", "knock")
        first = int(shown.readline().split("\t")[0])
        assert 7 < first <= last


def test_a_follower_whose_reader_leaves_ends(tmp_path: Path) -> None:
    """The next record that nobody reads ends the command quietly."""
    path = make_journal(tmp_path / "j")
    with writer(path) as other, started("tail", "-f", "-n", 1, path) as process:
        assert opened(process.stdout).readline()
        opened(process.stdout).close()
        other.append("one", "more")
        assert opened(process.stderr).read() == ""
        assert process.wait(PATIENCE_SECONDS) == 0
