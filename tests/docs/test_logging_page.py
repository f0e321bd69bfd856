"""docs/reference/logging.md lists every message of the package, and none that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "logging.md"
LEVELS = {"debug", "info", "warning", "error"}
ROW = re.compile(r"\| (?P<level>\w+) \| `(?P<message>[^`]+)` \| \S.* \|")


def logged() -> set[tuple[str, str]]:
    """Level and text of each call of a logger."""
    found = set()
    for path in (ROOT / "aurora_es").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr=level), args=[text, *_]) if (
                    level in LEVELS | {"exception", "critical", "log"}
                    and "logger" in ast.unparse(owner)
                ):
                    assert level in LEVELS
                    found.add((level, ast.literal_eval(text)))
    return found


def test_every_message_is_listed() -> None:
    """With its level; the text is that of the code, so that a reader can search for it."""
    rows = [ROW.fullmatch(line) for line in PAGE.read_text("utf-8").splitlines()]
    listed = [(row["level"], row["message"]) for row in rows if row and row["level"] != "level"]
    assert len(listed) == len(set(listed))
    assert set(listed) == logged()
