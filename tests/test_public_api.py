"""What users may import, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment

import aurora_es

ROOT = Path(__file__).parent.parent

PUBLIC = """
    ArgumentError
    AsyncApplicationSubscription
    AuroraAggregateRecorder
    AuroraApplication
    AuroraApplicationRecorder
    AuroraConfigurationError
    AuroraDCBRecorder
    AuroraDcbRecorder
    AuroraError
    AuroraFactory
    AuroraNotificationLog
    AuroraProcessRecorder
    AuroraProjectionRunner
    AuroraSection
    AuroraStore
    AuroraTrackingRecorder
    ClosedError
    CommitOutcomeUnknownError
    CompressionFormat
    Conflict
    ConflictError
    CorruptionError
    Factory
    ForeignDirectoryError
    ForkedHandle
    HistoryChangedError
    InUseError
    Journal
    JournaledView
    LockTimeoutError
    NeedsRecoveryError
    Originator
    PoisonedHandleError
    ReadOnlyError
    Record
    RollCycle
    Statistics
    StillNeededError
    StorageError
    StorageFullError
    StoredRecord
    Sync
    Tailer
    TooLargeError
    TruncatedError
    UnsupportedFormatError
    ViewTable
    rebuild_projection
""".split()

HEAVY = ("numpy", "asyncio", "ctypes", "multiprocessing", "concurrent.futures", "sqlite3", "rich")


def test_the_public_names() -> None:
    """Adding, renaming or removing a public name is a decision; it shows here."""
    assert aurora_es.__all__ == PUBLIC
    for name in PUBLIC:
        assert name in vars(aurora_es)


def test_no_other_name_is_public() -> None:
    """What ``import aurora_es`` shows besides are its own modules."""
    # Names with @ are pytest's: it rewrites the assertions of a package that brings a plugin.
    others = {name for name in vars(aurora_es) if name[0] not in "_@"} - set(PUBLIC)
    modules = {path.stem for path in (ROOT / "aurora_es").iterdir()}
    assert others <= modules


@pytest.mark.parametrize("base", [InfrastructureFactory, DCBInfrastructureFactory])
def test_the_library_finds_exactly_one_factory(base: type, tmp_path: Path) -> None:
    """``PERSISTENCE_MODULE=aurora_es`` works for applications of both kinds."""
    found = {
        thing
        for thing in vars(aurora_es).values()
        if isinstance(thing, type) and issubclass(thing, base)
    }
    assert found == {aurora_es.AuroraFactory}
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path)}
    assert issubclass(base, InfrastructureFactory | DCBInfrastructureFactory)
    assert type(base.construct(Environment("App", env))) is aurora_es.AuroraFactory


def test_importing_is_light() -> None:
    """`import aurora_es` brings in no module that costs as much as all the rest."""
    script = (
        "import sys, aurora_es; found = sys.modules.keys() & set(sys.argv[1:]);"
        " import eventsourcing.persistence, eventsourcing.dcb.persistence; print(*sorted(found))"
    )
    imported = subprocess.run(
        [sys.executable, "-c", script, *HEAVY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert imported.stdout.split() == []
