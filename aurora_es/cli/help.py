"""Gives the help of all commands one form: paragraphs that fit any terminal, and groups of commands.

Theory of operation: typer keeps the line breaks of a docstring, which fit the source and no
terminal, so each paragraph is joined to one line, which is wrapped where it is shown.
"""

from __future__ import annotations

import inspect

import typer

_PANELS = {
    "Look inside": tuple("info stats ls streams topics show diff cat tail grep at ui".split()),
    "Begin, copy, move": ("init", "backup", "restore", "fork", "import", "export"),
    "Is it well?": ("doctor", "verify", "repair", "rebuild", "bench"),
    "Look after": ("set", "seal", "merge", "cool", "retain", "compact", "projection", "queue"),
}
_PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names}


def finish_help(app: typer.Typer) -> None:
    """Join the paragraphs of every command's help, and sort the commands of ``app`` into panels."""
    for group in app.registered_groups:
        assert group.typer_instance is not None
        info = group.typer_instance.info
        info.rich_help_panel = _PANEL_OF.get(str(info.name), info.rich_help_panel)
        finish_help(group.typer_instance)
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        command.help = _joined(command.help or command.callback.__doc__ or "")
        command.rich_help_panel = _PANEL_OF.get(name, command.rich_help_panel)


def _joined(text: str) -> str:
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
