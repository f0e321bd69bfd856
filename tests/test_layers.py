"""Imports inside the package point down its layers.

The sources are parsed, not imported, so that an import under TYPE_CHECKING or inside a function
counts like any other: it is a dependency of the reader, if not of the interpreter.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "aurora_es"

FACE = {
    "application",
    "async_subscription",
    "compat",
    "dcb",
    "decoding",
    "face_logs",
    "factory",
    "mapper",
    "notification_log",
    "projecting",
    "rebuilding",
    "recorder_errors",
    "recorders",
    "runner",
    "state_coding",
    "store",
    "subscription",
    "tracking_recorders",
    "upstream",
    "upstream_events",
    "view_state",
    "view_transaction",
    "views",
}
# Bottom first. A unit may import itself and the rows below; units of one row are strangers. Finer
# than the drawing in two rows: options raise errors, and codecs obey the limits of the format.
# Modules of the eventsourcing face are one unit; PACKAGE stands for aurora_es/__init__.py.
LAYERS = (
    {"errors", "late_imports", "weak_sets"},
    {"options"},
    {"files"},
    {"format"},
    {"codecs"},
    {"index", "segment"},
    {"journal"},
    {"environment"},
    {"care"},
    {"face", "queue"},
    {"metrics"},
    {PACKAGE},
    {"inspection", "moving"},
    {"ui"},
    {"__main__", "cli"},
    {"testing"},
)
ROW = {unit: row for row, units in enumerate(LAYERS) for unit in units}

# The byte layer takes clock and randomness as arguments and leaves all I/O to others, files/ too.
EFFECTS = {
    "asyncio",
    "fcntl",
    "io",
    "mmap",
    "os",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}


def unit_of(module: str) -> str:
    """Name the unit of LAYERS to which a dotted name in the package belongs."""
    parts = module.split(".")
    if len(parts) == 1:
        return PACKAGE
    return "face" if parts[1] in FACE else parts[1]


def imports_of(module: str, source: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield line and absolute dotted name of everything that a module imports, by any means."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=origin, names=names, level=level):
                base = origin or ""
                if level:
                    parents = module.split(".")
                    ups = level - 1 if is_package else level
                    base = ".".join([*parents[: len(parents) - ups], *([origin] if origin else [])])
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if ast.unparse(
                func
            ).split(".")[-1] in {"import_module", "__import__"}:
                yield node.lineno, name


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """List the imports of one module that break a rule of the layers."""
    unit = unit_of(module)
    if unit not in ROW:
        return [f"{module}: unknown; give it a place in LAYERS of {Path(__file__).name}"]
    found = []
    for line, name in imports_of(module, source, is_package=is_package):
        top = name.partition(".")[0]
        if top == PACKAGE:
            target = unit_of(name)
            # A name that is no unit is an attribute of aurora_es/__init__.py.
            target = target if target in ROW else PACKAGE
            if target != unit and ROW[target] >= ROW[unit]:
                found.append(f"{module}:{line} imports {name}: {target} is not below {unit}")
            elif unit == "format" and target == "files":
                found.append(f"{module}:{line} imports {name}: format has no effects")
        elif top == "eventsourcing" and unit not in {"face", "moving", PACKAGE}:
            found.append(f"{module}:{line} imports {name}: only the eventsourcing face may")
        elif top in EFFECTS and unit == "format":
            found.append(f"{module}:{line} imports {name}: format has no effects")
    return found


def modules() -> list[tuple[str, Path]]:
    """List dotted name and path of every module of the package."""
    names = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return names


@pytest.mark.skipif(not modules(), reason="no package yet")
def test_imports_point_down() -> None:
    """A module imports only its own unit and lower layers, and eventsourcing only in the face."""
    found = []
    for module, path in modules():
        source = path.read_text("utf-8")
        found += violations(module, source, is_package=path.name == "__init__.py")
    if found:
        pytest.fail("\n".join(found), pytrace=False)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("aurora_es.format.frame", "import aurora_es.files.locks"),
        ("aurora_es.format.frame", "from aurora_es.codecs import lz4"),
        ("aurora_es.format.frame", "from time import time_ns"),
        ("aurora_es.segment.reader", "from ..journal import open"),
        ("aurora_es.segment.reader", "from .. import Journal"),
        ("aurora_es.segment.reader", "from aurora_es import journal"),
        ("aurora_es.journal.open", "if TYPE_CHECKING:\n    from aurora_es.recorders import X"),
        ("aurora_es.journal.open", "def f():\n    import eventsourcing.persistence"),
        ("aurora_es.journal.open", "importlib.import_module('aurora_es.queue')"),
        ("aurora_es.queue.sender", "from aurora_es.factory import Factory"),
        ("aurora_es.factory", "from aurora_es.testing import crash"),
        ("aurora_es.surprise", ""),
    ],
)
def test_upward_and_sideways_imports_are_noticed(module: str, source: str) -> None:
    """The check sees every way to import, also those that run late or never."""
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("aurora_es.format.frame", "import struct\nfrom aurora_es.errors import AuroraError"),
        ("aurora_es.format.frame", "from . import header\nfrom .header import Header"),
        ("aurora_es.recorders", "from eventsourcing.persistence import Tracking\nimport os"),
        ("aurora_es.cli", "from aurora_es import Journal"),
        ("aurora_es.testing.crash", "from aurora_es.files.layer import FileLayer"),
    ],
)
def test_downward_imports_are_allowed(module: str, source: str) -> None:
    """The check leaves alone what the layers allow."""
    assert violations(module, source) == []


def test_relative_imports_of_a_package_start_at_the_package() -> None:
    """In a package's __init__ one dot is the package itself, in a module it is the parent."""
    source = "from .open import Journal"
    assert list(imports_of("aurora_es.journal", source, is_package=True)) == [
        (1, "aurora_es.journal.open.Journal")
    ]
    assert list(imports_of("aurora_es.journal", source, is_package=False)) == [
        (1, "aurora_es.open.Journal")
    ]


# Brought in by `import aurora_es` already, so that nothing is locked when they are asked for again.
LOADED = {"array", "uuid"}
# Programs of their own, which fork nothing while they import.
PROGRAMS = {"cli", "testing"}


def unguarded_imports(source: str) -> list[int]:
    """Lines of imports inside functions that a fork in another thread would not wait for."""
    found = []

    def look(node: ast.AST, *, late: bool) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                late = True
            case ast.With(items=items) if any("fork_waits" in ast.unparse(it) for it in items):
                return
            case ast.If(test=test) if "TYPE_CHECKING" in ast.unparse(test):
                return
            case ast.Import(names=[ast.alias(name=name)]) | ast.ImportFrom(module=str(name)):
                if late and name.partition(".")[0] not in LOADED:
                    found.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            look(child, late=late)

    look(ast.parse(source), late=False)
    return found


def test_forks_wait_for_late_imports() -> None:
    """A child of a fork in the middle of an import would wait for ever for the same module."""
    found = [
        f"{module}:{line}"
        for module, path in modules()
        if unit_of(module) not in PROGRAMS
        for line in unguarded_imports(path.read_text("utf-8"))
    ]
    assert found == []


def test_a_late_import_that_no_fork_waits_for_is_noticed() -> None:
    """Inside a function, and not under ``fork_waits``."""
    source = """
import os
def f():
    import numpy
    with fork_waits:
        import ctypes
    from uuid import UUID
    def g():
        from a.b import c
"""
    assert unguarded_imports(source) == [4, 9]


@pytest.mark.skipif(not (ROOT / PACKAGE / "__init__.py").exists(), reason="no package yet")
def test_importing_the_package_stays_light() -> None:
    """`import aurora_es` brings in none of the modules that each cost as much as all the rest."""
    heavy = "asyncio ctypes multiprocessing numpy rich typer"
    script = f"import sys, aurora_es; print(*sorted(sys.modules.keys() & {set(heavy.split())}))"
    imported = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert imported.stdout.split() == []
