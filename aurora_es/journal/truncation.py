"""What holds in a journal whose first segments were dropped: which reads are refused.

Theory of operation: positions below ``retained_from`` are gone, and nothing says whose they were.
Positions below the first retained one are refused wherever a record is read. Of an originator the
lowest version that is left tells: versions have no gap, so those below it, from 1 on, are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import CorruptionError, TruncatedError
from aurora_es.journal.manifest_file import read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.files.layer import Files
    from aurora_es.format.payload import RecordData
    from aurora_es.index.tail import Key
    from aurora_es.journal.handle import Handle

_FIRST_VERSION = 1  # where the library's aggregates begin, as a rule


def check_position(handle: Handle, position: int) -> None:
    """Raise TruncatedError for a position below the first retained one."""
    if position < handle.retained_from:
        raise truncated(handle.path, position, handle.retained_from)


def truncated(path: str, position: int, retained_from: int) -> TruncatedError:
    """The error for a position that was dropped."""
    return TruncatedError(
        f"{path}: position {position} was asked for, but the journal is retained from position"
        f" {retained_from} on: earlier segments were dropped by `retain` or `compact`. Start at"
        f" {retained_from} (Journal.first_position), or read a copy that was made before",
        retained_from,
    )


def missing_segment(
    files: Files, path: str, base_position: int, error: OSError
) -> TruncatedError | CorruptionError:
    """The error for a segment that is not there: dropped, or lost."""
    manifest = read_manifest(files, path)
    if manifest is not None and base_position < manifest.retained_from:
        return truncated(path, base_position, manifest.retained_from)
    return CorruptionError(error.filename or path, 0, expected="a segment", found="no file")


def check_complete(  # noqa: PLR0913 - the library's own arguments
    handle: Handle,
    key: Key,
    found: Sequence[RecordData],
    *,
    gt: int | None,
    lte: int | None,
    desc: bool,
    limit: int | None,
) -> None:
    """Raise TruncatedError if what was asked of an originator includes versions that are gone.

    ``found`` is what was found of it, all confirmed. An originator of which nothing is left cannot
    be told from one that never was.
    """
    lowest_asked = _FIRST_VERSION if gt is None else gt + 1
    if (lte is not None and lte < lowest_asked) or limit == 0:
        return
    if desc and limit is not None and len(found) >= limit:
        return  # the newest are all there
    versions = [found[0].originator_version, found[-1].originator_version] if found else []
    if any(version is not None and version <= lowest_asked for version in versions):
        return
    lowest = handle.state.index.first_version(key)
    if lowest is None or lowest <= lowest_asked:
        return
    raise TruncatedError(
        f"{handle.path}: versions of originator {_text(key)} from {lowest_asked} on were asked for,"
        f" but those below {lowest} are gone: the journal is retained from position"
        f" {handle.retained_from} on. Ask for versions from {lowest} on (gt={lowest - 1}), as a"
        " snapshot allows, or read a copy that was made before",
        handle.retained_from,
    )


def _text(key: Key) -> str:
    from uuid import UUID

    return str(UUID(bytes=key)) if isinstance(key, bytes) else repr(key)
