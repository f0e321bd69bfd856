"""Reads the field tables of docs/format/, from which tests and the worked example take them.

A table of fields follows a line ``<!-- fields: name -->`` and has the columns offset, size, type,
field and meaning.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FORMAT_PAGES = Path(__file__).parent.parent.parent / "docs" / "format"
_MARKER = re.compile(r"<!-- fields: (?P<name>[a-z ]+) -->\n\n(?P<table>(?:\|.*\n)+)")
_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}


class Field(NamedTuple):
    """One row of a field table; offset and size in bytes."""

    offset: int
    size: int
    kind: str
    name: str

    @property
    def code(self) -> str:
        """What the struct module calls the type."""
        word, _, count = self.kind.partition(" ")
        return _CODES[word] if not count else count + {"bytes": "s", "zero": "x"}[word]


def field_tables() -> dict[str, list[Field]]:
    """All field tables of the format pages, by name."""
    tables = {}
    for page in sorted(FORMAT_PAGES.glob("*.md")):
        for match in _MARKER.finditer(page.read_text("utf-8")):
            rows = [line.split("|")[1:5] for line in match["table"].splitlines()[2:]]
            tables[match["name"]] = [
                Field(int(offset), int(size), kind.strip(), name.strip())
                for offset, size, kind, name in rows
            ]
    return tables
