"""Which index runs and tables of frames are not what the manifest lists, by their headers.

A damaged block deeper inside is found by ``verify``, and mended by whoever reads it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.errors import ForeignDirectoryError
from aurora_es.format.names import frames_name
from aurora_es.index.run import Run
from aurora_es.index.run_file import RunDamagedError
from aurora_es.journal.sealed_index import file_name_of
from aurora_es.journal.sealed_segments import identity_of
from aurora_es.segment.frame_table import FrameTable, TableDamagedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from aurora_es.care.survey import Survey
    from aurora_es.files.layer import Files


def damaged_caches(
    files: Files, found: Survey, repaired: Collection[int]
) -> dict[str, tuple[int, str]]:
    """Files that have to be made anew: each with the number of a segment that it covers, and why.

    Left out are those of segments that are ``repaired``: these are made anew anyway.
    """
    manifest = found.manifest
    if manifest is None:
        return {}
    damaged: dict[str, tuple[int, str]] = {}
    for segment in manifest.segments:
        if segment.segment_number in repaired:
            continue
        name = frames_name(segment.segment_number, segment.base_position, segment.revision)
        try:
            FrameTable(
                files, os.path.join(found.path, name), identity_of(found.genesis_id, segment)
            )
        except TableDamagedError as error:
            damaged[name] = segment.segment_number, _problem(error)
    for run in manifest.runs:
        if any(run.first_segment <= number <= run.last_segment for number in repaired):
            continue
        name = file_name_of(run)
        try:
            Run(
                files,
                os.path.join(found.path, name),
                genesis_id=found.genesis_id,
                source_digest=bytes.fromhex(run.source_digest),
            )
        except (RunDamagedError, FileNotFoundError, ForeignDirectoryError) as error:
            damaged[name] = run.first_segment, _problem(error)
    return damaged


def _problem(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) or isinstance(error.__cause__, FileNotFoundError):
        return "the file is missing"
    return str(error)
