"""An extension of griffe: what stands in the source becomes Markdown for the reference.

A docstring introduces an example by two colons at the end of a paragraph, and an indented block.
Markdown knows the block, and would show both colons. And a field is described by a comment, on its
line or above it, where a docstring below it would be one more line: the comment becomes its text.
An error that is named becomes a link to its class.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).resolve().parent.parent
ERRORS = (
    "aurora_es.errors",
    "aurora_es.moving.moving_errors",
    "aurora_es.queue.queue_errors",
)
# Code, in backticks or as an indented line, and names of classes.
CODE_OR_NAME = re.compile(r"`+[^`]+`+|^ {4}.*$|\b(?P<name>[A-Z][a-z]\w+)\b", re.MULTILINE)
TWO_COLONS = re.compile(r"::$(?=\n\n? )", re.MULTILINE)
TRAILING = re.compile(r"^.*?\S {2}#\s+(?P<text>.+)$")
WHOLE_LINE = re.compile(r"^\s*#\s+(?P<text>.+)$")
# Comments for tools, not for readers.
FOR_TOOLS = re.compile(r"\s*#?\s*(?:noqa|type:|tidy:|pragma:|fmt:)")


@cache
def error_paths() -> dict[str, str]:
    """The path of each error class of the package, by its name."""
    found = {}
    for module in ERRORS:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = f"{module}.{node.name}"
    return found


def with_links(text: str) -> str:
    """A docstring in which each error of the package is a link."""

    def linked(match: re.Match[str]) -> str:
        path = error_paths().get(match["name"] or "")
        return f"[{match['name']}][{path}]" if path else match[0]

    return CODE_OR_NAME.sub(linked, text)


class Reference(griffe.Extension):
    """Writes one colon where a docstring has two, and takes comments of fields for docstrings."""

    def on_object(self, *, obj: griffe.Object, **_others: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = with_links(TWO_COLONS.sub(":", obj.docstring.value))
        elif isinstance(obj, griffe.Attribute) and (text := comment_of(obj)):
            obj.docstring = griffe.Docstring(text, parent=obj)


def comment_of(attribute: griffe.Attribute) -> str:
    """The comment of a field of a class: on its line, or on lines of their own above it."""
    path = attribute.module.filepath
    is_field = isinstance(attribute.parent, griffe.Class)
    if attribute.lineno is None or not is_field or isinstance(path, list):
        return ""
    lines = attribute.lines_collection[path]
    return comment_at(lines, attribute.lineno, attribute.endlineno or attribute.lineno)


def comment_at(lines: list[str], first: int, last: int) -> str:
    """The comment that belongs to a field which is on these lines, counted from 1."""
    if match := TRAILING.match(lines[last - 1]):
        text = match["text"]
    else:
        above = [*takewhile(bool, map(WHOLE_LINE.match, reversed(lines[: first - 1])))]
        text = " ".join(match["text"] for match in reversed(above) if match)
    if not text or FOR_TOOLS.match(text):
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!:" else ".")
