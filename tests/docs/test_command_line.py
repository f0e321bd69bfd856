"""The help and the reference name every command and every option, and the reference is the help."""

from __future__ import annotations

import re

import pytest

from tests.docs.command_line import PAGE, Command, commands, page

COMMANDS = list(commands())
ROOT = PAGE.parents[2]


def test_the_reference_is_what_the_command_says() -> None:
    """Whoever changes an option makes the page anew: python -m tests.docs.command_line."""
    assert PAGE.read_text("utf-8") == page(), "run python -m tests.docs.command_line"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_itself(command: Command) -> None:
    """What it is for, an example that calls it, and a word on each argument and option."""
    assert command.command.help
    assert command.examples, "no example"
    assert all(re.search(rf"\b{command.name}\b", line) for line in command.examples)
    for parameter in (*command.arguments, *command.options):
        assert parameter.help, parameter.name


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_reference_names_every_option(command: Command) -> None:
    """In the section of its command."""
    section = PAGE.read_text("utf-8").split(f"\n## {command.name}\n")[1].split("\n## ")[0]
    for option in command.options:
        for name in (*option.opts, *option.secondary_opts):
            assert f"`{name}`" in section, name
    for argument in command.arguments:
        assert f"`{command.metavar(argument)}`" in section


def test_every_command_is_in_a_guide() -> None:
    """A page beside the reference, or the README, shows how it is used."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(one.read_text("utf-8") for one in pages if one != PAGE)
    assert [one.name for one in COMMANDS if one.name not in text] == []


def test_what_the_guide_types_exists() -> None:
    """No page shows an option that no command has."""
    known = {name for one in COMMANDS for option in one.options for name in option.opts}
    known |= {"--help", "--install-completion", "--show-completion"}
    for shown in (ROOT / "docs" / "how-to" / "look-inside.md",):
        for line in re.findall(r"^\$ aurora-es .*$", shown.read_text("utf-8"), re.MULTILINE):
            own = line.split("|")[0]
            assert set(re.findall(r"(?<=\s)--[a-z-]+", own)) <= known, line
