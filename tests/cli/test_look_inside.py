"""``aurora-es show``, ``diff``, ``grep``, ``ls`` and ``stats``, on stores at rest and in use."""

from __future__ import annotations

import json
import os
import select
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from aurora_es import Journal, Record
from aurora_es.journal import background
from tests.cli.support import OWNER, call, make_journal, opened, refused, run, started, writer
from tests.cli.terminal import run_at_terminal
from tests.inspection.bank import make_bank, make_counters
from tests.patience import PATIENCE_SECONDS

APP = "tests.inspection.bank:Bank"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, UUID]:
    """A bank's store that no test changes, partly sealed, and one of its accounts."""
    root = tmp_path_factory.mktemp("bank")
    ids = make_bank(root, accounts=6)
    background.seal(str(root / "Bank" / "events"))
    return root / "Bank", ids[1]


def printed(*arguments: object) -> str:
    """What a successful run prints."""
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def printed_json(*arguments: object) -> list[dict[str, Any]]:
    """The objects that a successful run prints."""
    return [json.loads(line) for line in printed(*arguments, "--json").splitlines()]


# show


def test_show_prints_events_with_indented_states(tmp_path: Path) -> None:
    """JSON is indented, text is itself, anything else is hex; a pipe gets no colours."""
    path = make_journal(tmp_path / "j")
    assert printed("show", path, OWNER).splitlines()[1:4] == [
        "  {",
        '    "owner": "Zoë",',
        '    "limit": 1.00',
    ]
    lines = printed("show", path, OWNER).splitlines()
    assert lines[0].startswith("version 1  2")
    assert lines[0].endswith("Z  bank:Account.Opened  position 1")
    assert lines[-1] == "  0x80017069636b6c6564"
    assert [one["originator_version"] for one in printed_json("show", path, "cargo-7")] == [
        1,
        2,
        3,
        4,
    ]
    chosen = printed_json("show", path, "cargo-7", "--after", 1, "--until", 3, "--newest-first")
    assert [one["originator_version"] for one in chosen] == [3, 2]
    assert printed_json("show", path, "cargo-7", "--limit", 1)[0]["state"] == {"leg": 1}


def test_show_decodes_with_the_application(bank: tuple[Path, UUID]) -> None:
    """Its transcodings are undone, and what it is told from is said."""
    path, account = bank
    (opened_, first, *_) = printed_json("show", path, account, "--app", APP)
    assert (opened_["coding"], opened_["state"]["iban"]) == ("application", "DE0001")
    assert first["state"]["amount"] == "0.50"
    assert printed_json("show", path, account)[1]["state"]["amount"] == {
        "_type_": "decimal_str",
        "_data_": "0.50",
    }


def test_show_state_is_the_aggregate_at_a_version(bank: tuple[Path, UUID]) -> None:
    """The newest, or that of --until."""
    path, account = bank
    (state,) = printed_json("show", path, account, "--app", APP, "--state")
    assert state["attributes"]["balance"] == "4.50"
    (state,) = printed_json("show", path, account, "--app", APP, "--state", "--until", 2)
    assert (state["version"], state["attributes"]["balance"]) == (2, "0.50")
    text = printed("show", path, account, "--app", APP, "--state")
    assert '    "note 1",\n' in text


def test_show_uses_a_projector(tmp_path: Path) -> None:
    """For events without mutate."""
    counter = make_counters(tmp_path, 3)
    options = ("--app", APP, "--projector", "tests.inspection.bank:project", "--state")
    (state,) = printed_json("show", tmp_path / "Bank", counter, *options)
    assert state["attributes"]["count"] == 6
    assert "--projector" in refused(1, "show", tmp_path / "Bank", counter, "--app", APP, "--state")


def test_show_says_what_is_not_there(bank: tuple[Path, UUID]) -> None:
    """An aggregate, an application, an option that is needed with another."""
    path, account = bank
    assert "found no record of it" in refused(1, "show", path, "nobody")
    assert "PYTHONPATH" in refused(1, "show", path, account, "--app", "absent:App")
    done = run("show", path, account, "--state")
    assert (done.returncode, "--app MODULE:CLASS" in " ".join(done.stderr.split())) == (2, True)
    assert run("show", path, account, "--projector", "a:b").returncode == 2
    assert printed("show", path, account, "--after", 99) == ""


def test_an_event_that_the_application_does_not_know_hides_no_other(
    bank: tuple[Path, UUID], tmp_path: Path
) -> None:
    """It is shown as it is stored, with what the mapper said."""
    with Journal.open(tmp_path / "j") as journal:
        record = Record(
            topic="gone:Away", state=b'{"a":1}', originator_id="x", originator_version=1
        )
        journal.append([record])
    (shown,) = printed_json("show", tmp_path / "j", "x", "--app", APP)
    assert (shown["coding"], shown["state"]) == ("json", {"a": 1})
    assert "gone" in shown["problem"]
    assert "not decoded: " in printed("show", tmp_path / "j", "x", "--app", APP)
    (line,) = printed_json("cat", tmp_path / "j", "--app", APP)
    assert (line["state"], "gone" in line["problem"]) == ({"a": 1}, True)


# diff


def test_diff_shows_attributes_that_changed(bank: tuple[Path, UUID]) -> None:
    """What was, and what is; as JSON with the way to it. Backwards, too."""
    path, account = bank
    lines = printed("diff", path, account, 1, 3, "--app", APP).splitlines()
    assert '- balance: "0"' in lines
    assert '+ balance: "2.00"' in lines
    assert '+ notes[0]: "note 0"' in lines
    (found,) = printed_json("diff", path, account, 3, 1, "--app", APP)
    assert {"path": ["balance"], "before": "2.00", "after": "0"} in found["changes"]
    (found,) = printed_json("diff", path, account, 0, 1, "--app", APP)
    assert {"path": ["owner"], "after": "Zoë 1"} in found["changes"]
    assert printed("diff", path, account, 2, 2, "--app", APP) == ""


def test_diff_without_the_application_shows_events(bank: tuple[Path, UUID]) -> None:
    """Those behind the first version, up to the second."""
    path, account = bank
    (found,) = printed_json("diff", path, account, 1, 3)
    assert [one["originator_version"] for one in found["events"]] == [2, 3]
    assert printed("diff", path, account, 1, 3).count("version ") == 2
    assert run("diff", path, account, 3, 1).returncode == 2
    assert "expected version 9" in refused(1, "diff", path, account, 1, 9)
    assert "expected version 9" in refused(1, "diff", path, account, 1, 9, "--app", APP)


# grep


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (("Zoë 3",), [13]),
        (("zoë 3", "-i"), [13]),
        (("Account.Opened",), [1, 5, 9, 13, 17, 21]),
        (("note 2", "--limit", 2, "--newest-first"), [24, 20]),
        (("note 2", "--start", 9, "--stop", 16), [12, 16]),
        (('"iban":"DE0001"', "--app", APP), [5]),
        (("note", "--topic", "tests.inspection.bank:Account.Opened"), None),
        (("nowhere",), None),
    ],
)
def test_grep_searches_topics_and_states(
    bank: tuple[Path, UUID], options: tuple[object, ...], positions: list[int] | None
) -> None:
    """Its exit code is that of grep, and -c counts what would be printed."""
    path = bank[0]
    done = run("grep", path, *options)
    assert (done.returncode, done.stderr) == (1 if positions is None else 0, "")
    found = [int(line.split("\t")[0]) for line in done.stdout.splitlines()]
    assert found == (positions or [])
    assert run("grep", path, *options, "-c").stdout == f"{len(found)}\n"
    counted = run("grep", path, *options, "--count", "--json")
    assert json.loads(counted.stdout) == {"count": len(found)}


def test_a_wrong_pattern_is_a_wrong_argument(bank: tuple[Path, UUID]) -> None:
    """Nothing is searched."""
    assert run("grep", bank[0], "(").returncode == 2
    assert run("cat", bank[0], "--text", "(").returncode == 2


# cat and tail with the same choices


def test_cat_and_tail_choose_by_time_text_and_position(tmp_path: Path) -> None:
    """All choices hold at once."""
    path = make_journal(tmp_path / "j")
    times = {one["position"]: one["timestamp"] for one in printed_json("cat", path)}

    def positions(*arguments: object) -> list[int]:
        return [one["position"] for one in printed_json(*arguments)]

    assert positions("cat", path, "--text", '"leg":[23]') == [4, 5]
    assert positions("cat", path, "--since", times[4]) == [4, 5, 6, 7]
    assert positions("cat", path, "--until", times[3]) == [1, 2, 3]
    assert positions("cat", path, "--since", times[3], "--until", times[3], "--start", 1) == [3]
    assert positions("tail", path, "--after", 5) == [6, 7]
    assert positions("tail", path, "--since", times[4], "--originator", "cargo-7") == [4, 5, 6]
    assert positions("tail", path, "-n", 1, "--text", "Booked") == [3]
    assert run("cat", path, "--since", "yesterday").returncode == 2


def test_tail_follows_what_is_chosen_and_decodes_it(tmp_path: Path) -> None:
    """Records of another process appear if they pass, and only these; Ctrl-C ends with 0."""
    path = make_journal(tmp_path / "j")
    with writer(path) as other, started("tail", "-f", "-n", 0, path, "--text", "yes") as process:
        # The first one is shown once the command follows, which nobody can see before.
        shown = opened(process.stdout)
        while not select.select([shown], [], [], 0.05)[0]:
            other.append("t", "yes, it follows")
        shown.readline()
        other.append("t", "no")
        last = other.append("t", "yes, the last")
        line = ""
        while "last" not in line:
            line = shown.readline()
            assert "yes" in line
        assert line.startswith(f"{last}\t")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0


# ls and stats


def test_ls_lists_segments_and_runs(bank: tuple[Path, UUID]) -> None:
    """Positions without a gap; tiers, times, sizes and files."""
    path = bank[0]
    found = printed_json("ls", path)
    segments = [one for one in found if one["kind"] == "segment"]
    assert [one["tier"] for one in segments] == ["sealed", "sealed", "tail"]
    assert [(one["base_position"], one["last_position"]) for one in segments] == [
        (1, 8),
        (9, 16),
        (17, 24),
    ]
    assert all(one["first_timestamp"] <= one["last_timestamp"] for one in segments)
    assert all((path / "events" / one["file_name"]).exists() for one in found)
    assert {one["kind"] for one in found} == {"segment", "run"}
    text = printed("ls", path)
    assert segments[0]["file_name"] in text
    assert "index runs" in text


def test_stats_add_up(bank: tuple[Path, UUID]) -> None:
    """Rates and topics count every record once."""
    path = bank[0]
    (found,) = printed_json("stats", path, "--buckets", 5)
    assert found["counts"]["events"] == 24
    assert sum(one["record_count"] for one in found["rates"]) == 24
    assert len(found["rates"]) == 5
    assert sum(found["topics"].values()) == 24
    text = printed("stats", path, "--topics", 1)
    assert "75.0 %  tests.inspection.bank:Account.Credited" in text
    assert "... more: see aurora-es topics" in text
    assert "█" in text
    assert run("stats", path, "--buckets", 0).returncode == 2
    assert printed_json("stats", path, "--since", "2100-01-01T00:00:00Z")[0]["rates"] == []


def test_an_empty_journal_has_nothing_to_show(tmp_path: Path) -> None:
    """No command stumbles over that."""
    with Journal.open(tmp_path / "j") as journal:
        journal.create()
    assert printed("stats", tmp_path / "j").startswith("path")
    assert "tail" in printed("ls", tmp_path / "j")
    assert run("grep", tmp_path / "j", "x").returncode == 1
    assert printed("cat", tmp_path / "j", "--since", "2026-01-01T00:00:00Z") == ""


# Everybody, everywhere


LOOKS: list[tuple[str, ...]] = [
    ("show", "ID", "--app", APP),
    ("show", "ID", "--app", APP, "--state"),
    ("diff", "ID", "1", "3", "--app", APP),
    ("grep", "note"),
    ("ls",),
    ("stats",),
    ("streams", "--limit", "3"),
    ("cat", "--app", APP),
    ("tail", "--text", "note"),
]


def arguments(look: tuple[str, ...], path: Path, account: UUID) -> list[str]:
    """The command with its path and id."""
    command, *rest = look
    return [command, str(path), *(str(account) if one == "ID" else one for one in rest)]


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_every_look_works_on_what_cannot_be_written(
    tmp_path: Path, look: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    """A read-only directory reads the same, and nothing in it has changed."""
    account = make_bank(tmp_path)[1]
    path = tmp_path / "Bank" / "events"
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    call(*arguments(look, tmp_path / "Bank", account))
    shown = capfd.readouterr().out
    for file in path.iterdir():
        file.chmod(0o400)
    for directory in (path, path.parent, tmp_path):
        directory.chmod(0o500)
    try:
        call(*arguments(look, tmp_path / "Bank", account))
    finally:
        for directory in (tmp_path, path.parent, path):
            directory.chmod(0o700)
    assert capfd.readouterr().out == shown
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_colours_are_for_terminals_that_want_them(
    bank: tuple[Path, UUID], look: tuple[str, ...]
) -> None:
    """NO_COLOR and pipes get none; what is shown is the same."""
    if look[0] in {"ls", "streams"}:
        pytest.skip("a table has no colours of its own")
    chosen = arguments(look, *bank)
    coloured = run_at_terminal(*chosen, columns=200)
    assert "\x1b[3" in coloured or "\x1b[1" in coloured or "\x1b[2" in coloured
    assert "\x1b[3" not in run_at_terminal(*chosen, columns=200, NO_COLOR="1")
    assert "\x1b" not in run(*chosen).stdout


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_a_pipe_that_closes_early_is_no_failure(tmp_path: Path, look: tuple[str, ...]) -> None:
    """As in ``aurora-es show … | head -1``."""
    account = make_bank(tmp_path, accounts=2, credited=2_000)[0]
    with started(*arguments(look, tmp_path / "Bank", account)) as process:
        opened(process.stdout).readline()
        opened(process.stdout).close()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert opened(process.stderr).read() == ""


def test_looking_beside_a_writer(tmp_path: Path) -> None:
    """Each look sees what another process has committed before it."""
    path = make_journal(tmp_path / "j")
    with writer(path) as other:
        for at in range(3):
            position = other.append("live", f"word {at}")
            assert run("grep", path, f"word {at}").stdout.startswith(f"{position}\t")
            assert printed_json("stats", path)[0]["counts"]["last_position"] == position
            assert printed_json("ls", path)[-1]["last_position"] == position


def test_an_application_is_found_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As python -m finds it."""
    (tmp_path / "shop.py").write_text(
        "from eventsourcing.application import Application\nclass Shop(Application):\n    pass\n"
    )
    make_journal(tmp_path / "j")
    monkeypatch.chdir(tmp_path)
    assert os.getcwd() == str(tmp_path)
    done = run("cat", tmp_path / "j", "--app", "shop:Shop", "--limit", 1)
    assert done.returncode == 0, done.stderr
