"""Moves on a disk that is full, or refuses: a typed error that says how to go on, and going on."""

from __future__ import annotations

import errno
import gc
import random
from pathlib import Path
from typing import cast

import pytest
from eventsourcing.persistence import StoredEvent

from aurora_es import AuroraError
from aurora_es.files.layer import Effects, Files
from aurora_es.moving import JsonLines, SqliteFile, export_events, import_events
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.journal.support import effects_with
from tests.moving.sides import ORDER, events, make_sqlite

SNAPSHOTS = [StoredEvent(ORDER, 7, "s", b"7")]
ENV = {"AURORA_ROLL_CYCLE": "3events"}


def _faulty(disk: CrashableDisk, step: int, number: int) -> tuple[FaultyFiles, Effects]:
    faulty = FaultyFiles(CrashableFiles(disk), random.Random(step))
    faulty.arm(Fault("error", error_number=number), step)
    return faulty, effects_with(cast("Files", faulty))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_import_that_is_refused_a_file_operation_goes_on(tmp_path: Path, number: int) -> None:
    """Whichever it is: there is a cure in the error, and the same call does the rest."""
    path = make_sqlite(tmp_path / "shop.db", events(6), snapshots=SNAPSHOTS, tracking=[("Up", 42)])
    whole = import_events(SqliteFile(path), tmp_path / "whole" / "Shop")
    step = 0
    told: list[str] = []
    while True:
        disk = CrashableDisk()
        disk.make_directories("/data")
        faulty, effects = _faulty(disk, step, number)
        try:
            import_events(SqliteFile(path), "/data/Shop", env=ENV, effects=effects)
        except AuroraError as error:
            told.append(f"{faulty.struck}: {error}")
        gc.collect()  # descriptors close with their last reference, which a traceback may be
        effects = effects_with(cast("Files", CrashableFiles(disk)))
        report = import_events(SqliteFile(path), "/data/Shop", env=ENV, effects=effects)
        assert [(part.count, part.digest) for part in report.parts] == [
            (part.count, part.digest) for part in whole.parts
        ]
        assert report.tracking == {"Up": 42}
        if faulty.struck is None:
            break
        step += 1 if step < 40 else 7
    assert len(told) > 30
    assert [text for text in told if "import` again" not in text] == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_export_that_is_refused_a_file_operation_goes_on(tmp_path: Path, number: int) -> None:
    """To a file of JSON lines, which is then the same, byte by byte."""
    path = make_sqlite(tmp_path / "shop.db", events(6), snapshots=SNAPSHOTS, tracking=[("Up", 42)])
    disk = CrashableDisk()
    disk.make_directories("/data")
    sound = effects_with(cast("Files", CrashableFiles(disk)))
    import_events(SqliteFile(path), "/data/Shop", effects=sound)
    whole = export_events("/data/Shop", JsonLines("/data/lines", effects=sound), effects=sound)
    step = 0
    told: list[str] = []
    while True:
        faulty, effects = _faulty(disk, step, number)
        target = f"/data/lines{step}"
        try:
            export_events("/data/Shop", JsonLines(target, effects=effects), effects=sound)
        except AuroraError as error:
            told.append(f"{faulty.struck}: {error}")
        gc.collect()
        again = export_events("/data/Shop", JsonLines(target, effects=sound), effects=sound)
        assert again.parts[0].digest == whole.parts[0].digest
        imported = import_events(
            JsonLines(target, effects=sound), f"/data/Shop{step}", effects=sound
        )
        assert imported.parts[0].digest == whole.parts[0].digest
        if faulty.struck is None:
            break
        step += 1
    assert len(told) > 8
    assert [text for text in told if "export` again" not in text] == []
