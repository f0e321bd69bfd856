"""Moving in and out: from and to other recorders of the library, and files of JSON lines."""

from aurora_es.moving.importing import export_events, import_events
from aurora_es.moving.json_lines import JsonLines
from aurora_es.moving.library_recorders import LibraryDcbRecorder, LibraryRecorders
from aurora_es.moving.mover import MovedPart, MoveReport
from aurora_es.moving.moving_errors import (
    GapsError,
    MovingError,
    NotMovedError,
    SourceError,
    TargetError,
)
from aurora_es.moving.postgres_database import PostgresDatabase
from aurora_es.moving.sqlite_file import SqliteFile
from aurora_es.moving.stretches import position_of_source_id

__all__ = [
    "GapsError",
    "JsonLines",
    "LibraryDcbRecorder",
    "LibraryRecorders",
    "MoveReport",
    "MovedPart",
    "MovingError",
    "NotMovedError",
    "PostgresDatabase",
    "SourceError",
    "SqliteFile",
    "TargetError",
    "export_events",
    "import_events",
    "position_of_source_id",
]
