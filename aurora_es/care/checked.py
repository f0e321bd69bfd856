"""What ``verify`` says of a journal, as a repair needs it.

Theory of operation: what has been read and found whole need not be read again: a repair holds the
locks, so nobody has changed it since. Index runs and tables of frames are compared with the records
by ``verify`` alone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.care.findings import CACHE_KINDS, MANIFEST_WRONG
from aurora_es.care.verify import verify
from aurora_es.format.names import parse_frames_name, parse_run_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aurora_es.care.findings import Finding
    from aurora_es.care.survey import Survey
    from aurora_es.files.layer import Effects


class Checked(NamedTuple):
    """What is known to be whole, and what has to be made anew."""

    whole: frozenset[int] = frozenset()  # numbers of segments that are what the manifest lists
    caches: tuple[Finding, ...] = ()

    def damaged(self, repaired: Collection[int]) -> dict[str, tuple[int, str]]:
        """Runs and tables to be made anew: each with the number of a segment of it, and why.

        Left out are those of segments that are ``repaired``: these are made anew anyway.
        """
        damaged: dict[str, tuple[int, str]] = {}
        for finding in self.caches:
            name = os.path.basename(finding.path)
            run, table = parse_run_name(name), parse_frames_name(name)
            numbers = range(run[1], run[2] + 1) if run else [table[0]] if table else []
            if numbers and not any(number in repaired for number in numbers):
                where = "" if finding.offset is None else f"offset {finding.offset}: "
                text = f"{where}expected {finding.expected}, found {finding.found}"
                damaged[name] = numbers[0], text
        return damaged


def checked(
    effects: Effects, found: Survey, progress: Callable[[int, int], object] | None
) -> Checked:
    """Verify the journal, if its manifest can be believed; else nothing is known."""
    if found.manifest is None:
        return Checked()
    report = verify(found.path, progress=progress, effects=effects)
    caches = tuple(one for one in report.findings if one.kind in CACHE_KINDS)
    if any(one.kind == MANIFEST_WRONG for one in report.findings):
        return Checked(caches=caches)
    blamed = {os.path.basename(one.path) for one in report.findings}
    whole = set()
    for segment in report.segments:
        listed = found.listed(segment.segment_number)
        if (
            listed is not None
            and segment.digest == listed.digest
            and segment.file_name not in blamed
        ):
            whole.add(segment.segment_number)
    return Checked(frozenset(whole), caches)
