"""docs/reliability.md is what the script writes, and what it names is there."""

import ast
import functools
from pathlib import Path

import pytest

from tests.crash.mutants import MUTANTS
from tests.fault.figures import ROOT
from tests.fault.page import PAGE, render
from tests.fault.rules import EXPERIMENTS, RULES, TOOLS

NAMES = sorted({name for one in (*RULES, *EXPERIMENTS, *TOOLS) for name in one.tests})


def test_the_page_is_up_to_date() -> None:
    """``python -m tests.fault.page`` would change nothing."""
    assert PAGE.read_text("utf-8") == render()


@functools.cache
def functions_of(path: Path) -> list[str]:
    """Names of the functions of a module."""
    tree = ast.parse(path.read_text("utf-8"))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("name", NAMES)
def test_a_test_that_the_page_names_exists(name: str) -> None:
    """File and, if named, the beginning of a test's name."""
    file, _, beginning = name.partition("::")
    path = ROOT / "tests" / file
    assert path.exists()
    assert any(one.startswith(beginning) for one in functions_of(path))


def test_each_rule_was_broken() -> None:
    """By mutants that are hunted, and that are no equivalents."""
    killed = {mutant.name for mutant in MUTANTS if not mutant.why_alive}
    for rule in RULES:
        assert rule.mutants
        assert set(rule.mutants) <= killed


def test_nothing_of_a_journal_is_mapped() -> None:
    """The package does not import mmap: a disk error would be a signal, and kill the process."""
    for path in (ROOT / "aurora_es").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert "mmap" not in names, path
                assert "memmap" not in names, path
