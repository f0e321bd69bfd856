"""An extension of griffe: what stands in the source becomes Markdown for the reference.

A docstring introduces an example by two colons at the end of a paragraph, and an indented block.
Markdown knows the block, and would show both colons. And a field is described by a comment, on its
line or above it, where a docstring below it would be one more line: the comment becomes its text.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any

import griffe

TWO_COLONS = re.compile(r"::$(?=\n\n? )", re.MULTILINE)
TRAILING = re.compile(r"^.*?\S {2}#\s+(?P<text>.+)$")
WHOLE_LINE = re.compile(r"^\s*#\s+(?P<text>.+)$")
# Comments for tools, not for readers.
FOR_TOOLS = re.compile(r"\s*#?\s*(?:noqa|type:|tidy:|pragma:|fmt:)")


class Reference(griffe.Extension):
    """Writes one colon where a docstring has two, and takes comments of fields for docstrings."""

    def on_object(self, *, obj: griffe.Object, **_others: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = TWO_COLONS.sub(":", obj.docstring.value)
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
