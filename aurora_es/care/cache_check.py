"""Which index runs and tables of frames are not what the segments make, as ``verify`` finds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.care.findings import CACHE_KINDS
from aurora_es.care.verify import verify
from aurora_es.format.names import parse_frames_name, parse_run_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from aurora_es.care.survey import Survey
    from aurora_es.files.layer import Effects


def damaged_caches(
    effects: Effects, found: Survey, repaired: Collection[int]
) -> dict[str, tuple[int, str]]:
    """Files that have to be made anew: each with the number of a segment that it covers, and why.

    Left out are those of segments that are ``repaired``: these are made anew anyway.
    """
    damaged: dict[str, tuple[int, str]] = {}
    if found.manifest is None:
        return damaged  # then all are
    for finding in verify(found.path, effects=effects).findings:
        if finding.kind not in CACHE_KINDS:
            continue
        name = os.path.basename(finding.path)
        run, table = parse_run_name(name), parse_frames_name(name)
        numbers = range(run[1], run[2] + 1) if run else [table[0]] if table else []
        if numbers and not any(number in repaired for number in numbers):
            where = "" if finding.offset is None else f"offset {finding.offset}: "
            text = f"{where}expected {finding.expected}, found {finding.found}"
            damaged[name] = numbers[0], text
    return damaged
