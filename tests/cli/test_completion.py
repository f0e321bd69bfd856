"""Completion of commands, options and paths, in the shells themselves."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_es import Sync
from aurora_es.cli import completing
from aurora_es.queue.blocking import open_queue
from tests.cli.support import COMMAND, environment, make_journal, run
from tests.patience import PATIENCE_SECONDS

# Each prints what the shell offers for the words typed so far, the last one unfinished.
BASH = """
source {sourced}
COMP_WORDS=("$@")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p aurora-es | sed 's/.* -F //; s/ .*//') aurora-es
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
compdef() {{ completer=$1 }}
_files() {{ }}
_arguments() {{ print -r -- "$@" | grep -oE '"[^"]*"(:"[^"]*")?' | sed 's/^"//; s/".*//' }}
source {sourced}
words=("$@")
CURRENT=$#words
$completer
"""
FISH = """
source {sourced}
complete -C {line} | string split -f1 \\t
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
Completer = Callable[..., list[str]]


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """A directory for PATH with the command in it."""
    directory = tmp_path / "bin"
    directory.mkdir()
    script = directory / "aurora-es"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    script.chmod(0o755)
    return directory


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with stores and a queue, and with other things."""
    place = tmp_path / "place"
    make_journal(place / "store" / "Bank" / "events")
    make_journal(place / "stove")
    (place / "other").mkdir()
    (place / "stories.txt").write_text("Once")
    make_journal(place / ".hidden" / "events")
    with open_queue(place / "orders", sync=Sync.NEVER) as queue:
        queue.subscribe("billing audit")
        queue.join("billing")
    return place


@pytest.fixture(params=sorted(SCRIPTS))
def offered(request: pytest.FixtureRequest, command: Path, place: Path) -> Completer:
    """What a shell offers for words, the last of them unfinished."""
    shell = request.param
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")

    sourced = place.parent / f"sourced.{shell}"  # as users do who want it fast
    printed = run(_AURORA_ES_COMPLETE=f"source_{shell}")
    assert printed.returncode == 0
    sourced.write_text(printed.stdout)

    def complete(*words: str) -> list[str]:
        line = shlex.quote(" ".join(["aurora-es", *words]))
        options = ("-f",) if shell == "zsh" else ()
        script = SCRIPTS[shell].format(line=line, sourced=shlex.quote(str(sourced)))
        arguments = () if shell == "fish" else (shell, "aurora-es", *words)
        env = environment(HOME=str(place.parent))
        done = subprocess.run(
            [found, *options, "-c", script, *arguments],
            env=env | {"PATH": f"{command}:{env['PATH']}"},
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert done.stderr == ""
        return sorted(line for line in done.stdout.splitlines() if line)

    return complete


def test_commands_and_options(offered: Completer) -> None:
    """Those that begin as typed, of groups too."""
    assert offered("re") == ["rebuild", "repair", "restore", "retain"]
    assert offered("projection", "re") == ["rebuild"]
    assert offered("queue", "redeliver", "orders", "billing", "--d") == ["--dry-run"]


def test_paths_that_hold_journals(offered: Completer) -> None:
    """Stores, applications and journals; with none of them it is left to the shell's own files."""
    stores = ["store", "store/Bank", "store/Bank/events", "stove"]
    assert offered("verify", "st") == stores
    assert offered("fork", "store/") == ["store/Bank", "store/Bank/events"]
    assert offered("queue", "names", "") == ["orders"]
    assert "store" not in offered("queue", "names", "s")


def test_names_in_a_queue(offered: Completer) -> None:
    """Of the queue that was typed before."""
    assert offered("queue", "parked", "orders", "b") == ["billing"]
    assert [name.replace("\\", "") for name in offered("queue", "lag", "orders", "billing")] == [
        "billing",
        "billing audit",
    ]


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_a_shell_is_told_its_own_script(command: Path, shell: str, tmp_path: Path) -> None:
    """``--show-completion`` finds out from which shell it is called."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    env = environment(HOME=str(tmp_path))
    done = subprocess.run(
        [found, "-c", "aurora-es --show-completion; true"],
        env=env | {"PATH": f"{command}:{env['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert f"complete_{shell}" in done.stdout


def test_nothing_is_offered_where_nothing_can_be_read(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No directory, hidden ones unless typed, and of many the first ones only."""
    monkeypatch.chdir(place)
    assert completing.complete_stores("missing/x") == []
    assert completing.complete_stores("oth") == []
    assert completing.complete_stores(".h") == [".hidden", ".hidden/events"]
    assert completing.complete_stores(f"{place}/sto") == [
        f"{place}/{name}" for name in ("store", "store/Bank", "store/Bank/events", "stove")
    ]
    monkeypatch.setattr(completing, "_DIRECTORIES_MAX", 2)
    assert completing.complete_stores("") == ["orders", "orders/cursors", "orders/messages"]
