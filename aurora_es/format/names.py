"""Names of files and directories. No topic, id or tag ever becomes part of a path."""

from __future__ import annotations

import re

MANIFEST = "manifest"
MARK = "mark"
LOCK = "lock"
TURN = "turn"
BACKGROUND_LOCK = "background.lock"
MANIFEST_LOCK = "manifest.lock"
RECOVERED = "recovered"
LOCK_FILES = (LOCK, TURN, BACKGROUND_LOCK, MANIFEST_LOCK)
NEW_SUFFIX = ".new"

_SEGMENT_PATTERN = re.compile(r"([0-9]{10})-([0-9]{20})\.segment")
_RUN_PATTERN = re.compile(r"([0-9]{2})-([0-9]{10})-([0-9]{10})\.index")
_UNSAFE_PATTERN = re.compile(r"[^A-Za-z0-9_.-]")
NAME_BYTES_MAX = 200


def segment_name(segment_number: int, base_position: int) -> str:
    """Name of a segment file."""
    return f"{segment_number:010d}-{base_position:020d}.segment"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """Segment number and base position of a segment file's name; None for any other name."""
    matched = _SEGMENT_PATTERN.fullmatch(name)
    return (int(matched[1]), int(matched[2])) if matched else None


def run_name(*, level: int, first_segment: int, last_segment: int) -> str:
    """Name of an index run's file."""
    return f"{level:02d}-{first_segment:010d}-{last_segment:010d}.index"


def parse_run_name(name: str) -> tuple[int, int, int] | None:
    """Level, first and last segment number of a run's name; None for any other name."""
    matched = _RUN_PATTERN.fullmatch(name)
    return (int(matched[1]), int(matched[2]), int(matched[3])) if matched else None


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
