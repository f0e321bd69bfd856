"""Gives all commands one form: help in paragraphs that fit any terminal, groups, and an end.

Theory of operation: typer keeps the line breaks of a docstring, which fit the source and no
terminal, so each paragraph is joined to one line, which is wrapped where it is shown. It says
``<bool>`` behind options that take no value, and puts options into columns that a narrow terminal
cuts; `_Command` puts both right.
"""

from __future__ import annotations

import inspect
import shutil
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from aurora_es.cli.endings import ending_well

if TYPE_CHECKING:
    _Explained = TyperCommand
else:
    _Explained = object

_PANELS = {
    "Look inside": tuple("info stats ls streams topics show diff cat tail grep at ui".split()),
    "Begin, copy, move": ("init", "backup", "restore", "fork", "import", "export"),
    "Is it well?": ("doctor", "verify", "repair", "rebuild", "bench"),
    "Look after": ("set", "seal", "merge", "cool", "retain", "compact", "projection", "queue"),
}
_NARROW_COLUMNS = 60
_PATHS = {"PATH", "SOURCE", "TARGET", "FILE", "BACKUP", "QUEUE", "DIRECTORY"}
_PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names}


class _WithoutTypes(_Explained):
    """Says nothing of the type of what takes no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters; those without a value have no word for it."""
        parameters: list[Any] = list(super().get_params(ctx))
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters


class _Command(_WithoutTypes, TyperCommand):
    """A command whose help can be read on a narrow terminal, too."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an empty path is refused: as "$STORE" it means a variable without value.

        It would be the current directory, which may be a store, too.
        """
        for parameter in self.get_params(ctx):
            if parameter.metavar in _PATHS and ctx.params.get(parameter.name) == "":
                message = "expected a path, found an empty text; the current directory is `.`"
                raise typer.BadParameter(message, ctx=ctx, param=parameter)
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help; plainly where columns would cut the names of options."""
        columns = shutil.get_terminal_size().columns
        if columns < _NARROW_COLUMNS:
            self.rich_markup_mode = None
            formatter.width = columns
        super().format_help(ctx, formatter)


class _Group(_WithoutTypes, TyperGroup):
    """A command with commands, which need one column only."""


def finish(app: typer.Typer) -> None:
    """Finish all commands of ``app``, and sort its own into panels.

    Whatever goes wrong in one of them is told (`errors_told`), its output included.
    """
    for group in app.registered_groups:
        assert group.typer_instance is not None
        info = group.typer_instance.info
        info.rich_help_panel = _PANEL_OF.get(str(info.name), info.rich_help_panel)
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        command.rich_help_panel = _PANEL_OF.get(name, command.rich_help_panel)
    _finish_commands(app)


def _finish_commands(app: typer.Typer) -> None:
    app.info.cls = _Group
    for group in app.registered_groups:
        assert group.typer_instance is not None
        _finish_commands(group.typer_instance)
    for command in app.registered_commands:
        assert command.callback is not None
        command.help = _joined(command.help or command.callback.__doc__ or "")
        command.callback = ending_well(command.callback)
        command.cls = _Command


def _joined(text: str) -> str:
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
