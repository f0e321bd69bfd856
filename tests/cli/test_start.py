"""What every command pays before it begins."""

from __future__ import annotations

import subprocess
import sys

import typer

from aurora_es.cli.commands import app
from tests.patience import PATIENCE_SECONDS

# Needed by some commands only, and slow to import.
LATE = ("aurora_es.care", "aurora_es.moving", "asyncio", "numpy", "multiprocessing", "sqlite3")


def test_what_only_some_commands_need_is_imported_by_them() -> None:
    """Who looks at a store does not wait for what repairs and moves stores."""
    code = f"import sys, aurora_es.cli.commands; print(*(set(sys.modules) & set({LATE!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stdout.split() == []


def test_every_command_has_its_place_in_the_help() -> None:
    """None is left over beside the panels."""
    command = typer.main.get_command(app)
    found = command.commands.values()  # type: ignore[attr-defined]
    assert [one.name for one in found if not one.rich_help_panel] == []
