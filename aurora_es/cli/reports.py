"""Tells what was done to each of several journals, as one JSON object, even if one of them fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aurora_es.cli.text import encodable, json_bytes


@contextmanager
def reports_told(path: str, *, as_json: bool, **more: object) -> Iterator[list[object]]:
    """Collect the reports of journals under ``path``, each without bytes that JSON could not hold.

    With ``as_json`` they are printed at the end, with ``more`` beside them. Where a journal fails, those before it were
    worked on: they are told all the same, and the error goes on.
    """
    reports: list[object] = []
    is_done = False
    try:
        yield reports
        is_done = True
    finally:
        if as_json and (is_done or reports):
            found = {"path": encodable(path), "journals": reports, **more}
            sys.stdout.buffer.write(json_bytes(found))
