"""``aurora-es cat``: what it prints of each record, which records, and to whom."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aurora_es import Journal, Record, Sync
from tests.cli.support import COMMAND, OWNER, call, make_journal, opened, run, started
from tests.cli.terminal import run_at_terminal
from tests.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def journal_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal that no test changes."""
    return make_journal(tmp_path_factory.mktemp("cat") / "Bank" / "events")


def printed(*arguments: object) -> str:
    """What a successful run prints."""
    done = run("cat", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def printed_json(*arguments: object) -> list[dict[str, Any]]:
    """The objects that a successful run with --json prints."""
    return [json.loads(line) for line in printed(*arguments, "--json").splitlines()]


def journal_of_states(path: Path, *states: bytes) -> Path:
    """Make a journal with these states."""
    with Journal.open(path, sync=Sync.NEVER) as journal:
        journal.append([Record(topic="t", state=state) for state in states])
    return path


def test_a_pipe_gets_one_line_of_fields_per_record(journal_path: Path) -> None:
    """Position, time, originator id and version, topic and state stand between tabs."""
    lines = [line.split("\t") for line in printed(journal_path).splitlines()]

    with Journal.open(journal_path, read_only=True) as journal:
        times = [f"{s.timestamp:%Y-%m-%dT%H:%M:%S.%f}Z" for s in journal.read()]
    assert [(int(position), time) for position, time, *_ in lines] == list(enumerate(times, 1))
    assert [fields[2:] for fields in lines] == [
        [str(OWNER), "1", "bank:Account.Opened", '{"owner":"Zoë","limit":1.00}'],
        [str(OWNER), "2", "bank:Account.Deposited", "0x80017069636b6c6564"],
        *(["cargo-7", "1", "ship:Cargo.Booked", '{"leg":1}'],),
        *(["cargo-7", str(at), "ship:Cargo.Loaded", f'{{"leg":{at}}}'] for at in (2, 3, 4)),
        ["", "", "note", r"a\tword\nand another"],
    ]


def test_json_carries_everything_a_record_has(journal_path: Path) -> None:
    """Each line is an object with all fields; states are JSON where they are, else base64."""
    first, second, third, *_, last = printed_json(journal_path)

    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "position": 1,
        "originator_id": str(OWNER),
        "originator_version": 1,
        "topic": "bank:Account.Opened",
        "state": {"owner": "Zoë", "limit": 1.0},
        "tags": ["new"],
        "uuid": None,
        "metadata": {"by": "import"},
    }
    assert base64.b64decode(second["state"]["base64"]) == b"\x80\x01pickled"
    assert third["state"] == {"leg": 1}
    assert (last["originator_id"], last["originator_version"]) == (None, None)
    assert base64.b64decode(last["state"]["base64"]) == b"a\tword\nand another"


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        ((), [1, 2, 3, 4, 5, 6, 7]),
        (("--start", 6), [6, 7]),
        (("--stop", 2), [1, 2]),
        (("--stop", 0), []),
        (("--start", 2, "--stop", 6, "--limit", 3), [2, 3, 4]),
        (("--limit", 0), []),
        (("--start", 99), []),
        (("--topic", "note"), [7]),
        (("--topic", "ship:Cargo.Loaded", "--topic", "note", "--limit", 3), [4, 5, 6]),
        (("--originator", "cargo-7", "--start", 4, "--limit", 2), [4, 5]),
        (("--originator", "cargo-7", "--topic", "ship:Cargo.Booked"), [3]),
        (("--originator", str(OWNER).upper()), [1, 2]),
        (("--originator", OWNER.hex), [1, 2]),
        (("--originator", "nobody"), []),
    ],
)
def test_options_choose_the_records(
    journal_path: Path,
    options: tuple[object, ...],
    positions: list[int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Positions are inclusive, topics add up, and the limit counts what is printed."""
    call("cat", journal_path, "--json", *options)
    lines = capfd.readouterr().out.splitlines()
    assert [json.loads(line)["position"] for line in lines] == positions


def test_an_application_directory_stands_for_its_events(tmp_path: Path) -> None:
    """Beside other journals the one named events is read."""
    make_journal(tmp_path / "Bank" / "events")
    journal_of_states(tmp_path / "Bank" / "snapshots", b"1")

    assert len(printed_json(tmp_path / "Bank")) == 7


def test_json_states_are_copied_and_never_ambiguous(tmp_path: Path) -> None:
    """Numbers keep their digits; what is no JSON, and what looks like our base64, is base64."""
    digits = b'{"n": 12345678901234567890.10, "e": 1E5}'
    lookalike = b'{"base64":"AAAA"}'
    strange = (b"", b"NaN", b"[1,]", b"\xff", b"[" * 100_000, lookalike)
    path = journal_of_states(tmp_path / "j", digits, b"null", b' \n["a"]\n', *strange)

    lines = printed(path, "--json").splitlines()

    assert digits.decode() in lines[0]
    states = [json.loads(line)["state"] for line in lines]
    assert states[1:3] == [None, ["a"]]
    assert [base64.b64decode(state["base64"]) for state in states[3:]] == list(strange)


def test_nothing_in_a_record_can_steer_a_terminal(tmp_path: Path) -> None:
    """Control characters and marks of text direction come out escaped, in text and in JSON."""
    wild = "a\x1b[2Jb\x9b31mc\u202ed\u2028e\x7f"
    path = tmp_path / "wild.journal"
    with Journal.open(path, sync=Sync.NEVER) as journal:
        record = Record(
            topic=wild, state=json.dumps(wild, ensure_ascii=False).encode(),
            originator_id=wild, originator_version=1, tags=(wild,),
        )  # fmt: skip
        journal.append([record, Record(topic="t", state=wild.encode())])

    (as_json, _) = printed(path, "--json").splitlines()
    text = printed(path) + as_json + run_at_terminal("cat", path, NO_COLOR="1", TERM="dumb")

    assert text.replace("\n", "").replace("\t", "").isprintable()
    found = json.loads(as_json)
    assert (found["topic"], found["originator_id"], found["tags"]) == (wild, wild, [wild])
    assert found["state"] == wild


def test_a_terminal_gets_two_lines_per_record_cut_to_its_width(tmp_path: Path) -> None:
    """States are cut at the edge, wide characters count as two columns, and colours are used."""
    path = tmp_path / "wide.journal"
    with Journal.open(path, sync=Sync.NEVER) as journal:
        journal.append(
            [
                Record(
                    topic="shop:Order.Placed",
                    state=json.dumps({"items": ["本" * 50]}, ensure_ascii=False).encode(),
                    originator_id=OWNER,
                    originator_version=1,
                ),
                Record(topic="a.very.long.topic." * 3 + "End", state=b"x" * 100),
                Record(topic="[bold]markup[/bold] :smile:", state=b"[red]x"),
            ]
        )

    shown = run_at_terminal("cat", path, columns=80, NO_COLOR="1", TERM="dumb").splitlines()

    assert shown[0].startswith("       1  2")
    assert shown[0].endswith(f"Z  {OWNER} 1")
    assert shown[1].startswith('          shop:Order.Placed  {"items": ["本本')
    assert shown[1].endswith("本…")
    columns = sum(2 if c == "本" else 1 for c in shown[1])
    assert 79 <= columns <= 80
    assert shown[3:5] == [f"          {'a.very.long.topic.' * 3}End", f"          {'x' * 69}…"]
    assert shown[6] == "          [bold]markup[/bold] :smile:  [red]x"
    coloured = run_at_terminal("cat", path)
    assert "\x1b[36m" in coloured
    assert "\x1b[36m" not in run_at_terminal("cat", path, NO_COLOR="1")


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """As with ``| head -1``: the command ends with exit code 0 and says nothing."""
    path = journal_of_states(tmp_path / "long.journal", *[bytes(1000)] * 500)
    for option in ("--json", "--start=1"):
        with started("cat", path, option) as process:
            assert opened(process.stdout).readline()
            opened(process.stdout).close()
            assert opened(process.stderr).read() == ""
            assert process.wait(PATIENCE_SECONDS) == 0


def test_a_full_disk_behind_the_output_is_told(journal_path: Path) -> None:
    """Output that cannot be written is an error with one line, not a traceback at the end."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "cat", str(journal_path)], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"aurora-es: output: No space left on device\n"


def test_a_locale_without_unicode_still_prints(journal_path: Path) -> None:
    """Text falls back to escapes, and JSON is UTF-8 everywhere."""
    done = run("cat", journal_path, "--limit", 1, PYTHONIOENCODING="ascii")
    assert r'{"owner":"Zo\xeb"' in done.stdout
    done = run("cat", journal_path, "--limit", 1, "--json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["state"]["owner"] == "Zoë"
