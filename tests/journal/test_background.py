"""Work in the background of writers that close segments faster than it seals them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from aurora_es import RollCycle
from aurora_es.journal import background, tending
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.manifest_file import read_manifest
from tests.journal.support import QuickFiles, effects_with, message, open_with

SEGMENTS = 4


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Write a journal whose segments hold one event each, all but the last of them closed."""
    place = str(tmp_path / "journal")
    with open_with(place, roll_cycle=RollCycle.events(1)) as journal:
        journal.append([message()])
    close_segments(place, SEGMENTS)
    return place


def close_segments(path: str, count: int) -> None:
    """Close that many segments, as a writer elsewhere does."""
    with open_with(path) as journal:
        for _ in range(count):
            journal.append([message()])


def sealed_count(path: str) -> int:
    """How many segments the manifest lists."""
    manifest = read_manifest(QuickFiles(), path)
    assert manifest is not None
    return len(manifest.segments)


def test_sealing_ends_beside_a_writer_that_is_faster(path: str) -> None:
    """What was closed when it began is sealed, and the total that is told does not change."""
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        assert len(told) <= SEGMENTS, "it follows the writer for ever"
        close_segments(path, 2)

    assert background.seal(path, effects=effects_with(), progress=progress) == SEGMENTS
    assert told == [(done, SEGMENTS) for done in range(1, SEGMENTS + 1)]
    assert sealed_count(path) == SEGMENTS


def test_a_background_run_takes_what_was_closed_meanwhile(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer that closed it started no other run, since this one was at work."""
    merge_all, closed = background._merge_all, [3]

    def closing(*arguments: object) -> int:
        if closed:
            close_segments(path, closed.pop())
        return merge_all(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(background, "_merge_all", closing)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(sys, "argv", ["background", path])
    assert background.main() == 0
    assert sealed_count(path) == SEGMENTS + 3


def test_no_run_is_started_while_another_works(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That one takes what is closed meanwhile; many writers do not start many that find nothing."""
    started: list[str] = []
    monkeypatch.setattr(tending, "start_background_run", started.append)
    with open_with(path) as journal:
        with BackgroundLock(effects_with(), path, timeout=0):
            tending.tend(journal.handle)
            assert started == []
        tending.tend(journal.handle)
        assert started == [path]
