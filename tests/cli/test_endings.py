"""How the command ends: refusals, exit codes, help, and that it never writes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from aurora_es.cli.commands import app
from tests.cli.support import (
    COMMAND,
    call,
    damage,
    environment,
    make_journal,
    opened,
    refused,
    run,
    run_into,
    started,
    writer,
)
from tests.cli.terminal import run_at_terminal

READING = ("info", "ls", "stats", "cat", "tail", "at", "streams", "topics")
CHANGING = ("seal", "merge", "cool", "retain", "compact", "set", "repair", "rebuild")
COMMANDS = (*READING, *CHANGING, "verify")
ALL_COMMANDS = (
    *COMMANDS,
    "backup",
    "bench",
    "diff",
    "doctor",
    "export",
    "fork",
    "grep",
    "import",
    "init",
    "projection",
    "queue",
    "restore",
    "show",
    "ui",
)
BEHIND_THE_PATH = {
    "at": ("2026-11-25T20:00:00Z",),
    "retain": ("--bytes-max", "0"),
}  # what some have to be given as well


def snapshot(path: Path) -> dict[str, tuple[object, ...]]:
    """Everything about a directory that a reader must leave alone."""
    return {
        str(file): (
            (status := file.stat()).st_ino,
            status.st_mode,
            status.st_size,
            status.st_mtime_ns,
            file.read_bytes() if file.is_file() else sorted(os.listdir(file)),
        )
        for file in [path, *path.rglob("*")]
    }


@pytest.fixture
def obeying() -> tuple[str, ...]:
    """What has to precede a command for permissions to bind it, even if we are root."""
    if os.geteuid() != 0:
        return ()
    dropped = "-dac_override,-dac_read_search"
    prefix = ("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}")
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("runs as root, whom no permission binds")
    return prefix


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_without_a_journal_is_told(tmp_path: Path, command: str) -> None:
    """Missing, a file, empty, and somebody else's directory are four messages with exit code 1."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "manifest").write_text("Manifest-Version: 1.0")
    before = snapshot(tmp_path)

    def told(name: str) -> str:
        return refused(1, command, tmp_path / name, *BEHIND_THE_PATH.get(command, ()))

    assert "missing: no such directory; expected" in told("missing")
    assert "Beside it" not in told("missing")
    assert "file is not a directory; expected" in told("file")
    assert "empty: found no journal here: the directory is empty" in told("empty")
    assert "foreign: found no journal here or up to two levels below" in told("foreign")
    assert snapshot(tmp_path) == before


def test_a_mistyped_name_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    """Whoever follows a page with a store of his own sees what to write instead."""
    make_journal(tmp_path / "Bank" / "events")
    make_journal(tmp_path / "School" / "dcb")
    assert "Beside it: Bank, School" in refused(1, "cat", tmp_path / "Bnak")
    assert "Beside it" not in refused(1, "cat", tmp_path / "a" / "b" / "c")


@pytest.mark.parametrize("command", ["cat", "tail"])
def test_several_journals_are_named(tmp_path: Path, command: str) -> None:
    """Where a path could mean more than one journal, the message lists them."""
    paths = [make_journal(tmp_path / name / "events") for name in ("Bank", "Shipping")]

    message = refused(1, command, tmp_path)

    assert f"holds 2 journals; name one of them: {paths[0]}, {paths[1]}" in message


def test_damage_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    """Rot is told with file, offset and what to do, and exit code 3."""
    path = make_journal(tmp_path / "j")
    segment = damage(path, b"pickled")

    for command in ("cat", "tail"):
        message = refused(3, command, path)
        assert re.search(rf"corruption in {segment} at offset \d+: expected .*, found ", message)


def test_a_terminal_shows_errors_in_lines_of_its_width(tmp_path: Path) -> None:
    """On a terminal the paragraph is wrapped between words and carries a colour."""
    shown = run_at_terminal("cat", tmp_path / "missing", columns=60)

    assert shown.startswith("\x1b[1;31maurora-es: \x1b[0m")
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert all(len(line) <= 60 or " " not in line for line in plain.splitlines())
    assert "or an AURORA_PATH" in " ".join(plain.split())


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("cat",),
        ("cat", "--unknown", "a"),
        ("cat", "--start", "0", "a"),
        ("cat", "--limit", "-1", "a"),
        ("tail", "-n", "-1", "a"),
    ],
)
def test_wrong_arguments_have_an_exit_code_of_their_own(arguments: tuple[str, ...]) -> None:
    """Each ends with 2 and points to the usage."""
    done = run(*arguments)
    assert done.returncode == 2
    assert "Usage: aurora-es" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_ever_written(tmp_path: Path) -> None:
    """No reading command changes a byte, a time or a name, also where a writer is at work."""
    path = make_journal(tmp_path / "Bank" / "events")
    with writer(path) as other:
        other.append("t", "1")
        before = snapshot(tmp_path)
        for command in READING:
            assert run(command, path, *BEHIND_THE_PATH.get(command, ())).returncode == 0
        assert run("info", tmp_path).returncode == 0
        with started("tail", "-f", path) as process:
            assert opened(process.stdout).readline()
        assert snapshot(tmp_path) == before


def test_a_read_only_directory_is_enough(tmp_path: Path, obeying: tuple[str, ...]) -> None:
    """Every reading command serves a user who may read the files and no more."""
    path = make_journal(tmp_path / "events")
    for entry in [*path.rglob("*"), path]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    try:
        touch = subprocess.run([*obeying, "touch", path / "x"], check=False, capture_output=True)
        assert touch.returncode
        for command in READING:
            more = BEHIND_THE_PATH.get(command, ())
            done = run(command, path, *more, prefix=obeying)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout
    finally:
        path.chmod(stat.S_IRWXU)


def test_what_may_not_be_read_is_told(tmp_path: Path, obeying: tuple[str, ...]) -> None:
    """A directory without permission is refused by name, and left out of a list with a note."""
    secret = make_journal(tmp_path / "Secret" / "events").parent
    make_journal(tmp_path / "Bank" / "events")
    secret.chmod(0)
    try:
        done = run("cat", secret, prefix=obeying)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"aurora-es: {secret}: Permission denied\n"
        done = run("info", tmp_path, prefix=obeying)
        assert done.returncode == 0
        assert done.stdout.count("events") == 1
        assert done.stderr == f"aurora-es: {secret} cannot be read and is left out\n"
    finally:
        secret.chmod(stat.S_IRWXU)


def commands_of(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of a group, those of its groups included, by the names that lead to it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, *names, name)
        else:
            yield (*names, name), command


def test_help_names_every_command_and_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each --help tells all options, an example of the command itself, and the exit codes.

    All report as JSON, too; and no line break of the source is left in a paragraph.
    """
    monkeypatch.setenv("COLUMNS", "200")
    group: Any = typer.main.get_command(app)
    assert sorted(group.commands) == sorted(ALL_COMMANDS)
    for names, command in commands_of(group):
        call(*names, "--help")
        shown = capsys.readouterr().out
        assert "\n" not in command.help.replace("\n\n", "")
        assert any("--json" in parameter.opts for parameter in command.params), names
        for parameter in command.params:
            for option in parameter.opts:
                is_option = option.startswith("-")
                word = option if is_option else (parameter.metavar or option.upper()).strip("[]")
                assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", shown), option
        assert re.search(rf"\$ (\w+=\S+ )?aurora-es {' '.join(names)} ", shown), names
        for text in ("0 done", "1 not found", "2 wrong arguments", "3 the journal is damaged"):
            assert text in shown
    overview = run("--help", COLUMNS="200").stdout
    assert all(re.search(rf"^. {name} ", overview, re.MULTILINE) for name in ALL_COMMANDS)


def test_help_fits_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 40 columns no option's name is cut, and no flag seems to want a value."""
    monkeypatch.setenv("COLUMNS", "40")
    for names, command in commands_of(typer.main.get_command(app)):
        call(*names, "--help")
        shown = capsys.readouterr().out
        assert "<bool>" not in shown
        for option in (one for parameter in command.params for one in parameter.opts):
            assert not option.startswith("--") or re.search(
                rf"^ +(-\w, )?{option}\b", shown, re.MULTILINE
            )
        assert max(map(len, shown.splitlines())) < 50  # where names leave no room for words
    for group in ((), ("queue",), ("import",), ("projection",)):
        call(*group, "--help")
        assert "<bool>" not in capsys.readouterr().out


def test_panels_are_for_the_commands_at_the_top(capsys: pytest.CaptureFixture[str]) -> None:
    """What is in a group stays together, though a command at the top has the same name."""
    for group in ("queue", "projection"):
        call(group, "--help")
        shown = capsys.readouterr().out
        assert "Commands" in shown
        assert "─ Look after" not in shown
        assert "─ Is it well?" not in shown


def _outputs(path: Path) -> list[tuple[object, ...]]:
    """One of every way to print: records, lists, tables, JSON, and what was done."""
    return [
        *((command, path) for command in ("info", "ls", "stats", "cat", "streams", "verify")),
        *((command, path, "--json") for command in ("ls", "stats")),
        ("show", path, "cargo-7"),
        ("doctor", path.parents[1]),
        ("seal", path),
    ]


def _some_outputs(path: Path) -> list[tuple[object, ...]]:
    """One of records, of tables, of JSON, and of what was done: each is a start of Python."""
    return [("cat", path), ("ls", path), ("stats", path, "--json"), ("seal", path)]


def test_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """As on a full disk: exit code 1 and one paragraph, also where a command only prints."""
    for arguments in _outputs(make_journal(tmp_path / "store" / "Bank" / "events")):
        done = run_into("/dev/full", *arguments)
        assert (done.returncode, done.stderr) == (
            1,
            "aurora-es: output: No space left on device\n",
        ), arguments


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_streams_are_no_failure(tmp_path: Path, closed: str) -> None:
    """Whoever closes an output does not want it; files do not get its number either."""
    for arguments in _some_outputs(make_journal(tmp_path / "store" / "Bank" / "events")):
        line = f"{shlex.join([*COMMAND, *map(str, arguments)])} {closed}"
        done = subprocess.run(
            ["sh", "-c", line], env=environment(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), line
        assert bool(done.stdout) == (closed == "2>&-")


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    """As with ``| head -0``: nothing is said, and the exit code is 0, tables included."""
    for arguments in _some_outputs(make_journal(tmp_path / "store" / "Bank" / "events")):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, ""), arguments


@pytest.mark.parametrize("arguments", [("--help",), ("cat", "--help"), ("queue",)])
def test_help_that_cannot_be_written_is_told(arguments: tuple[str, ...]) -> None:
    """As all other output: 1 and one paragraph on a full disk, 0 where the reader has gone."""
    command = [*COMMAND, *arguments]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "aurora-es: output: No space left on device\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command, env=environment(), stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


# Runs the console script's entry, and presses Ctrl-C when the import of a module begins.
INTERRUPTED = """
import os, signal, sys
from aurora_es_command import main
if "ignored" not in sys.argv:  # as they are in what a shell has started in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
class Pressing:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Pressing())
sys.argv[0] = "aurora-es"
main()
"""


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("aurora_es", -signal.SIGINT),
        ("aurora_es.journal", -signal.SIGINT),
        ("typer", -signal.SIGINT),
        ("aurora_es.cli.upkeep", -signal.SIGINT),
        ("aurora_es.cli.rendering", -signal.SIGINT),
    ],
)
def test_ctrl_c_during_imports_shows_no_traceback(module: str, code: int) -> None:
    """Whoever changes his mind at once sees nothing of what there is inside."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_the_command_as_a_module_shows_no_traceback_either() -> None:
    """Where the script is not on the PATH: python -m aurora_es_command."""
    program = INTERRUPTED.replace(
        "main()\n", 'import runpy; runpy.run_module("aurora_es_command", run_name="__main__")\n'
    ).replace("from aurora_es_command import main\n", "")
    done = subprocess.run(
        [sys.executable, "-c", program, "aurora_es"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_before_there_is_a_command_shows_no_traceback() -> None:
    """Nor while commands are put together; the exit code is that of shells."""
    program = INTERRUPTED.replace("main()\n", "", 1) + (
        "import typer.main as m; m.get_command = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "none"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_user_who_ignores_ctrl_c_is_obeyed() -> None:
    """As under nohup: what is ignored stays ignored."""
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + INTERRUPTED
    done = subprocess.run(
        [sys.executable, "-c", program, "typer", "ignored"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2  # `typer` is no command


@pytest.mark.parametrize(
    "arguments", [("cat", ""), ("seal", ""), ("fork", ".", ""), ("queue", "lag", "")]
)
def test_an_empty_path_is_not_the_current_directory(arguments: tuple[str, ...]) -> None:
    """It comes from a variable that is not set, and a store may be right here."""
    done = run(*arguments)
    assert done.returncode == 2
    assert "found an empty text" in " ".join(done.stderr.split())


def test_the_installed_script_is_the_same_command() -> None:
    """The console script that the package declares answers like the module."""
    script = shutil.which("aurora-es", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("the package is not installed beside this interpreter")
    done = subprocess.run(
        [script, "info", "--help"], env=environment(), capture_output=True, text=True, check=True
    )
    assert "aurora-es info" in done.stdout


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_extra_is_told_with_its_installation(package: str) -> None:
    """Without typer or rich the command says what to install, and the library still imports."""
    program = (
        f"import sys; sys.modules[{package!r}] = None;"
        "import aurora_es; from aurora_es.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert package in done.stderr
    assert "pip install 'aurora-es[cli]'" in done.stderr
