"""Makes docs/reference/command-line.md from the command line itself: python -m tests.docs.command_line.

Theory of operation: the page is nothing but what ``--help`` says, command by command, groups and what
is in them included; so it can be wrong in no other way than the help. A test compares the two.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import typer

from aurora_es.cli.commands import app
from aurora_es.cli.endings import EXIT_CODES_HELP

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
PROGRAM = "aurora-es"
_HEAD = """\
# The command `aurora-es`

<!-- Made by `python -m tests.docs.command_line` from the command line itself: change the help. -->

`pip install 'aurora-es[cli]'` installs it. `aurora-es COMMAND --help` says what is here, too.
How its commands are used: [look inside](../how-to/look-inside.md).

"""


class Command(NamedTuple):
    """A command with the words that call it."""

    words: tuple[str, ...]
    command: Any  # of typer

    @property
    def name(self) -> str:
        """As a user types it."""
        return " ".join(self.words)

    @property
    def arguments(self) -> list[Any]:
        """What stands behind its name, in order."""
        return [one for one in self.command.params if one.param_type_name == "argument"]

    @property
    def options(self) -> list[Any]:
        """Those that are its own."""
        return [one for one in self.command.params if one.param_type_name == "option"]

    def metavar(self, parameter: Any) -> str:
        """What a value is called; nothing for a flag."""
        if getattr(parameter, "is_flag", False):
            return ""
        if parameter.metavar:
            return str(parameter.metavar).strip("[]")
        kind = str(get_type_hints(self.command.callback).get(parameter.name))
        return "NUMBER" if "int" in kind else "TEXT"

    @property
    def usage(self) -> str:
        """Its words, options and arguments."""
        shown = [self.metavar(one) for one in self.arguments]
        needed = [
            name if one.required else f"[{name}]"
            for name, one in zip(shown, self.arguments, strict=True)
        ]
        return " ".join([*self.words, *(["[OPTIONS]"] if self.options else []), *needed])

    @property
    def examples(self) -> list[str]:
        """The lines that its help gives as examples."""
        return re.findall(r"^\$ (.*)$", self.command.epilog or "", re.MULTILINE)

    @property
    def exit_codes(self) -> list[str]:
        """What its help says of exit codes beyond those of every command."""
        epilog = (self.command.epilog or "").replace(EXIT_CODES_HELP, "")
        found = (part.strip() for part in epilog.split("\n\n"))
        return [part for part in found if part and not part.startswith(("$", "Examples:"))]


def commands() -> Iterator[Command]:
    """Every command, those of groups included, in the order of the help."""
    yield from _commands_of((PROGRAM,), typer.main.get_command(app))


def _commands_of(words: tuple[str, ...], command: Any) -> Iterator[Command]:
    if not hasattr(command, "commands"):
        yield Command(words, command)
        return
    for name, inner in command.commands.items():
        if not inner.hidden:
            yield from _commands_of((*words, name), inner)


def page() -> str:
    """The whole page."""
    found = list(commands())
    lines = [_HEAD]
    codes = EXIT_CODES_HELP.removeprefix("Exit codes: ")
    lines.append(f"Exit codes of all commands: {codes}\n\n")
    lines.append("| command | |\n|---|---|\n")
    for command in found:
        summary = _cell((command.command.help or "").split("\n\n")[0])
        lines.append(f"| [`{command.name}`](#{_anchor(command.name)}) | {summary} |\n")
    lines += ["\n" + _section(command) for command in found]
    return "".join(lines)


def _section(command: Command) -> str:
    text = f"## {command.name}\n\n```text\n{command.usage}\n```\n\n"
    for paragraph in (command.command.help or "").split("\n\n"):
        text += _prose(" ".join(paragraph.split())) + "\n\n"
    for paragraph in command.exit_codes:
        text += _prose(paragraph) + "\n\n"
    rows = [(f"`{command.metavar(one)}`", one) for one in command.arguments]
    for option in command.options:
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        value = command.metavar(option)
        rows.append((f"{names} `{value}`" if value else names, option))
    if rows:
        text += "| argument or option | |\n|---|---|\n"
        text += "".join(f"| {name} | {_cell(_meaning(one))} |\n" for name, one in rows) + "\n"
    if command.examples:
        text += "```console\n" + "".join(f"$ {line}\n" for line in command.examples) + "```\n"
    return text


def _meaning(parameter: Any) -> str:
    text = " ".join((parameter.help or "").split())
    default = parameter.default
    is_shown = getattr(parameter, "show_default", True) is not False
    if is_shown and default not in {None, False, True, ""} and not callable(default):
        text += f" Default: {default}."
    return text


def _prose(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", r"\*").replace("_", r"\_")


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).replace("|", r"\|")


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stderr.write(f"{PAGE}: {sum(1 for _ in commands())} commands\n")
