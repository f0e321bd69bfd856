"""Every error says what to do next, and what it names exists.

The sources are parsed: each `aurora-es <command>` in any text of the package must be a command, and
each text with which one of our errors is raised must hold a cure of its class: one of the words in
backticks in the last column of the table in docs/errors.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main

from aurora_es import errors
from aurora_es.cli.commands import app

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "aurora_es").rglob("*.py"))
PAGE = ROOT / "docs" / "errors.md"
COMMAND = re.compile(r"aurora-es ([a-z]+)")
NO_COMMANDS = {"command"}  # "the aurora-es command"
CLASSES = {
    name: thing
    for name, thing in vars(errors).items()
    if isinstance(thing, type) and issubclass(thing, errors.AuroraError)
}
# It makes its own text, of what it is given.
SELF_MADE = {"CorruptionError"}
PREFIX = "Recorder"  # of the face's classes
# What a person has to do with by command: a word of ours in backticks is not enough there.
BY_COMMAND = ("aurora_es/care/", "aurora_es/cli/", "aurora_es/inspection/")
NEXT = re.compile(
    r"`(aurora-es [a-z]|mkdir -p|pip install|--[a-z]|[A-Za-z]+\.[a-z_]+|\w+=|\{cure)|`aurora-es \{command\}"
)


class Raised(NamedTuple):
    """A text with which an error is made."""

    place: str
    class_name: str
    text: str


def commands() -> set[str]:
    """Names of all commands that there are."""
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def strings_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text in a module, docstrings too; adjacent parts are one already."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, text_of(node, [])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def text_of(node: ast.expr, scopes: list[ast.AST]) -> str:
    """The text of an expression, as far as it stands in the source."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part, scopes) for part in parts)
        case ast.FormattedValue(value=value):
            return assigned_constant(value, scopes) or f"{{{ast.unparse(value)}}}"
        case ast.BinOp(left=left, right=right):
            return text_of(left, scopes) + text_of(right, scopes)
        case ast.IfExp(body=body, orelse=other):
            return text_of(body, scopes) + text_of(other, scopes)
        case ast.Name(id=name):
            return assigned(name, node.lineno, scopes)
        case ast.Call(func=ast.Name(id=name)):
            return returned(name, scopes)
    return ""


def assigned_constant(value: ast.expr, scopes: list[ast.AST]) -> str:
    """The text of a module's constant."""
    is_constant = isinstance(value, ast.Name) and value.id.isupper()
    return text_of(value, scopes) if is_constant else ""


def assigned(name: str, line: int, scopes: list[ast.AST]) -> str:
    """What a name was given last above ``line``."""
    found = [
        (node.lineno, node.value)
        for scope in scopes
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign)
        and node.lineno <= line
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]
    return text_of(max(found, key=lambda it: it[0])[1], scopes) if found else ""


def returned(name: str, scopes: list[ast.AST]) -> str:
    """The shortest text that a function of the module returns: each of them must hold a cure."""
    texts = [
        text_of(node.value, [])
        for scope in scopes
        for function in ast.walk(scope)
        if isinstance(function, ast.FunctionDef) and function.name == name
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]
    return min(texts, key=len, default="")


def raised(source: str, name: str, also: AbstractSet[str] = frozenset()) -> Iterator[Raised]:
    """Every text with which a module makes an error of ours, or one of ``also``."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called = ast.unparse(node.func).rpartition(".")[2].removeprefix(PREFIX)
            if called in {*CLASSES, *also} - SELF_MADE:
                text = text_of(node.args[0], [function, tree])
                yield Raised(f"{name}:{node.lineno}", called, text)


def cures() -> dict[str, list[str]]:
    """For each class of the table what its texts may name, from its last column."""
    found = {}
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if matched := re.match(r"\[`(\w+)`\]", cells[0]):
            found[matched[1]] = re.findall(r"`([^`]+)`", cells[-1])
    return found


def test_every_command_that_is_named_exists() -> None:
    """In messages, help and docstrings alike."""
    known = commands() | NO_COMMANDS
    found = [
        f"{path.relative_to(ROOT)}:{line}: aurora-es {command}"
        for path in SOURCES
        for line, text in strings_of(ast.parse(path.read_text("utf-8")))
        for command in COMMAND.findall(text)
        if command not in known
    ]
    assert found == []


def test_every_command_that_the_documentation_names_exists() -> None:
    """Where it stands as a command, in backticks or after a prompt."""
    known = commands()
    found = [
        f"{path.relative_to(ROOT)}: {command}"
        for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
        for command in re.findall(
            r"(?:`|^\$ )aurora-es ([a-z]+)", path.read_text("utf-8"), re.MULTILINE
        )
        if command not in known
    ]
    assert found == []


def test_every_class_has_a_cure_in_the_documentation() -> None:
    """The table lists every class, and names a call, a setting or a command for each."""
    assert set(cures()) == set(CLASSES) - {"AuroraError"}
    assert [name for name, words in cures().items() if not words] == []


def test_every_error_is_raised_with_a_cure() -> None:
    """Its text holds a call, a setting or a command of its class's row."""
    allowed = cures()
    found = [
        f"{one.place}: {one.class_name}: none of {allowed[one.class_name]} in {one.text!r}"
        for path in SOURCES
        for one in raised(path.read_text("utf-8"), str(path.relative_to(ROOT)))
        if not any(cure in one.text for cure in allowed[one.class_name])
    ]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_every_error_of_a_command_says_what_to_run_or_pass_next() -> None:
    """A command, a call or an option in backticks, also where the class's row asks for less."""
    found = [
        f"{one.place}: {one.class_name}: {one.text!r}"
        for path in SOURCES
        if (name := str(path.relative_to(ROOT))).startswith(BY_COMMAND)
        for one in raised(path.read_text("utf-8"), name, also={"PathError"})
        if not NEXT.search(one.text)
    ]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_corruption_names_a_command() -> None:
    """Whatever is damaged, the text says which command to run next."""
    text = str(errors.CorruptionError("/store/mark", 8, expected="a", found="b"))
    assert any(cure in text for cure in cures()["CorruptionError"])
    assert COMMAND.search(text)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def f():\n    raise ClosedError('a' 'b')", "ab"),
        ("def f():\n    raise errors.ClosedError(f'a{x}b')", "a{x}b"),
        ("def f():\n    m = 'old'\n    m = 'new'\n    raise RecorderClosedError(m)", "new"),
        ("C = 'constant'\ndef f():\n    raise ClosedError(C)", "constant"),
        ("def f():\n    return ClosedError(g(1))\ndef g(x):\n    return 'of g'", "of g"),
        ("def f():\n    return ClosedError(str(x))", ""),
    ],
)
def test_texts_are_found_however_they_are_made(source: str, text: str) -> None:
    """The check sees the text that is raised, and nothing where it stands elsewhere."""
    (found,) = raised(source, "module")
    assert (found.class_name, found.text) == ("ClosedError", text)
