"""Names of files and directories. No topic, id or tag ever becomes part of a path."""

from __future__ import annotations

import re

from aurora_es.format.limits import POSITION_MAX

MANIFEST = "manifest"
MARK = "mark"
LOCK = "lock"
TURN = "turn"
BACKGROUND_LOCK = "background.lock"
MANIFEST_LOCK = "manifest.lock"
RECOVERED = "recovered"
LOCK_FILES = (LOCK, TURN, BACKGROUND_LOCK, MANIFEST_LOCK)
SMALL_FILES = frozenset((MANIFEST, MARK, *LOCK_FILES))  # that a journal has one of each
BACKUP = "backup"  # in the target of backups, beside the copies
RUNNER_LOCK = "runner.lock"  # in the directory of an application, not in a journal
# The two journals of a queue, in its directory.
MESSAGES, CURSORS = "messages", "cursors"
NEW_SUFFIX = ".new"

_PLACE = r"([0-9]{10})-([0-9]{20})"
_SEGMENT_PATTERN = re.compile(_PLACE + r"\.segment")
# A revision has no leading zero, so that no two names mean one file.
_COOLED_PATTERN = re.compile(_PLACE + r"\.r([1-9][0-9]{0,8})\.segment")
_FRAMES_PATTERN = re.compile(_PLACE + r"(?:\.r([1-9][0-9]{0,8}))?\.frames")
_RUN_PATTERN = re.compile(r"([0-9]{2})-([0-9]{10})-([0-9]{10})\.index")
_UNSAFE_PATTERN = re.compile(r"[^A-Za-z0-9_.-]")
NAME_BYTES_MAX = 200
REVISION_MAX = 999_999_999


def segment_name(segment_number: int, base_position: int, revision: int = 0) -> str:
    """Name of a segment file; revision 0 is the segment as it was appended to, others are cooled."""
    return f"{_stem(segment_number, base_position, revision)}.segment"


def frames_name(segment_number: int, base_position: int, revision: int = 0) -> str:
    """Name of the table of frames beside a segment file."""
    return f"{_stem(segment_number, base_position, revision)}.frames"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """Segment number and base position of a segment file's name; None for any other name.

    A cooled revision is another name: see ``parse_cooled_name``.
    """
    matched = _SEGMENT_PATTERN.fullmatch(name)
    return _place_in(matched) if matched else None


def run_name(*, level: int, first_segment: int, last_segment: int) -> str:
    """Name of an index run's file."""
    return f"{level:02d}-{first_segment:010d}-{last_segment:010d}.index"


def parse_run_name(name: str) -> tuple[int, int, int] | None:
    """Level, first and last segment number of a run's name; None for any other name."""
    matched = _RUN_PATTERN.fullmatch(name)
    return (int(matched[1]), int(matched[2]), int(matched[3])) if matched else None


def parse_cooled_name(name: str) -> tuple[int, int, int] | None:
    """Segment number, base position and revision (from 1) of a cooled segment's name, or None."""
    matched = _COOLED_PATTERN.fullmatch(name)
    place = _place_in(matched) if matched else None
    return (*place, int(matched[3])) if matched and place else None


def parse_frames_name(name: str) -> tuple[int, int, int] | None:
    """Segment number, base position and revision (from 0) of a table of frames' name, or None."""
    matched = _FRAMES_PATTERN.fullmatch(name)
    place = _place_in(matched) if matched else None
    return (*place, int(matched[3] or 0)) if matched and place else None


def is_sealed_file_name(name: str) -> bool:
    """Whether ``name`` is one of a segment, a run or a table of frames: files that come and go."""
    return any(
        parse(name) is not None
        for parse in (parse_segment_name, parse_cooled_name, parse_frames_name, parse_run_name)
    )


def _place_in(matched: re.Match[str]) -> tuple[int, int] | None:
    segment_number, base_position = int(matched[1]), int(matched[2])
    return (segment_number, base_position) if base_position <= POSITION_MAX else None


def _stem(segment_number: int, base_position: int, revision: int) -> str:
    place = f"{segment_number:010d}-{base_position:020d}"
    return f"{place}.r{revision}" if revision else place


def directory_name(application_name: str) -> str | None:
    """Directory of an application: its name percent-encoded; None when that exceeds 200 bytes."""
    if not application_name:
        return "_default"
    if application_name in {".", ".."}:
        return application_name.replace(".", "%2E")
    encoded = _UNSAFE_PATTERN.sub(_percent, application_name)
    return encoded if len(encoded) <= NAME_BYTES_MAX else None


def _percent(matched: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in matched[0].encode("utf-8", "surrogatepass"))
