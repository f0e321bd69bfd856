"""What users call: ``import_events`` and ``export_events``."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

from aurora_es.errors import (
    ArgumentError,
    AuroraError,
    CommitOutcomeUnknownError,
    PoisonedHandleError,
    StorageError,
    StorageFullError,
)
from aurora_es.files.layer import SYSTEM_EFFECTS, exists
from aurora_es.format.names import MANIFEST, directory_name
from aurora_es.journal.tail_writes import FULL_DISK_ERRNOS
from aurora_es.moving.journals import ApplicationJournals
from aurora_es.moving.mover import MoveOptions, Mover
from aurora_es.moving.pages import EVENTS, TRACKING, Tracked
from aurora_es.moving.stretches import SOURCE_IDS, position_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aurora_es.files.layer import Effects
    from aurora_es.moving.mover import MoveReport
    from aurora_es.moving.sides import OpenableSource, OpenableTarget

    Progress = Callable[[int, int], object]

# Of the journal: the move compares what is there, also where nobody knew what had become of it.
_REFUSALS = (StorageError, StorageFullError, PoisonedHandleError, CommitOutcomeUnknownError)
GAPS = ("refuse", "renumber")


def import_events(  # noqa: PLR0913 - a user's choices, all by name
    source: OpenableSource,
    path: str | os.PathLike[str],
    *,
    gaps: Literal["refuse", "renumber"] = "refuse",
    dry_run: bool = False,
    progress: Progress | None = None,
    env: Mapping[str, str] | None = None,
    effects: Effects = SYSTEM_EFFECTS,
) -> MoveReport:
    """Import everything in ``source`` into the application's directory ``path``, AURORA_PATH/NAME.

    Positions are the source's notification ids. Where ids are missing, ``gaps="refuse"`` raises
    GapsError, and ``gaps="renumber"`` numbers anew and keeps a record for ``position_of_source_id``,
    by which tracking records of followers in the same AURORA_PATH are translated when those are
    imported, after the application that they follow.

    The directory gets its name when all is read back, compared and on disk. An interrupted import
    is repeated by the same call, which goes on where it ended; so is a finished one, after which the
    source has more. ``progress`` is told of rows done, and of how many. ``dry_run`` reads and
    checks the source and changes nothing. New journals get the settings that ``env`` (None: that of
    the process) has for the application: AURORA_SYNC, AURORA_ROLL_CYCLE, AURORA_COMPRESSION.

    Raises SourceError, GapsError, TargetError if something else is there, NotMovedError,
    InUseError, StorageFullError, StorageError, and what ``Journal.append`` raises.
    """
    if gaps not in GAPS:
        message = f"gaps: expected {' or '.join(GAPS)}, found {gaps!r}"
        raise ArgumentError(message)
    with _way_on_told("import"), ExitStack() as stack:
        stack.callback(source.close)  # before: what is no database is found out when it is open
        source.open_source()
        source.extents()  # what is no source makes no directory
        target = ApplicationJournals(
            os.fspath(path),
            "look" if dry_run else "append",
            env=os.environ if env is None else env,
            effects=effects,
        )
        stack.callback(target.close)
        root = os.path.dirname(target.path)
        options = MoveOptions(renumber=gaps == "renumber", dry_run=dry_run, progress=progress)
        mover = Mover(source, target, options)
        return mover.move(lambda tracked: _translated(effects, root, tracked), source.left_out())


def _translated(effects: Effects, root: str, tracked: Tracked) -> Tracked:
    """Tracking records, with positions where the application that is followed was renumbered."""
    ids = {}
    for name, reached in tracked.ids.items():
        upstream = os.path.join(root, directory_name(name) or "")
        renumbered = exists(effects.files, os.path.join(upstream, SOURCE_IDS, MANIFEST))
        ids[name] = position_in(effects, upstream, reached) if renumbered else reached
    return Tracked(tracked.part, ids)


def export_events(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    target: OpenableTarget,
    *,
    without_extras: bool = False,
    progress: Progress | None = None,
    env: Mapping[str, str] | None = None,
    effects: Effects = SYSTEM_EFFECTS,
) -> MoveReport:
    """Export everything in the application's directory ``path``, which may be in use, to ``target``.

    Notification ids are the positions. ``without_extras`` leaves out tags, uuids and metadata that
    the target cannot hold. An interrupted export is repeated by the same call, which goes on where
    it ended. Raises SourceError, TargetError, NotMovedError, StorageFullError, StorageError, and what
    ``Journal.read`` raises.
    """
    with _way_on_told("export"), ExitStack() as stack:
        source = ApplicationJournals(
            os.fspath(path),
            "read",
            env=os.environ if env is None else env,
            effects=effects,
        )
        stack.callback(source.close)
        source.extents()
        is_process = any(source.tracked(part) for part in (EVENTS, TRACKING))
        stack.callback(target.close)
        target.open_target(source.application_name, is_process=is_process)
        mover = Mover(source, target, MoveOptions(without_extras=without_extras, progress=progress))
        return mover.move(lambda tracked: tracked, source.left_out())


@contextmanager
def _way_on_told(command: str) -> Iterator[None]:
    """Turn refusals of the operating system into errors that say how to go on."""
    way_on = (
        "What was moved before is kept. `aurora-es doctor` looks at rights and space; run"
        f" `aurora-es {command}` again, which goes on there (a stream begins anew)"
    )
    try:
        yield
    except _REFUSALS as error:
        raise type(error)(f"{error}. {way_on}") from error
    except (AuroraError, BrokenPipeError):
        raise
    except OSError as error:
        kind = StorageFullError if error.errno in FULL_DISK_ERRNOS else StorageError
        raise kind(f"{error}. {way_on}") from error
