"""The newer slot of the mark and the newest commit rot together: what is left looks like a torn write.

The older slot names the commit before, and behind it are bytes that are no frame. So the position of
the commit that was lost is used again, and whoever has seen it has to learn of that, by a new epoch.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from aurora_es import CorruptionError, HistoryChangedError, Journal
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.mark import SLOT_BYTES, SLOT_OFFSETS, Mark, decode_slot
from aurora_es.format.names import MARK
from aurora_es.journal.manifest_file import read_manifest
from tests.journal.support import message, states


def _write(path: Path, count: int = 3) -> Path:
    with Journal.open(path) as journal:
        for at in range(1, count + 1):
            journal.append([message(b"commit %d" % at)])
    return path


def _slots(path: Path) -> list[Mark]:
    """Both values of the mark, the older one first."""
    data = (path / MARK).read_bytes()
    slots = [decode_slot(data[at : at + SLOT_BYTES]) for at in SLOT_OFFSETS]
    return sorted(one for one in slots if one is not None)


def _flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)


def _rot(path: Path, *, newer_slot: bool, commit: bool) -> None:
    older, newer = _slots(path)
    if commit:
        _flip(next(path.glob("*.segment")), newer.durable_offset - 10)
    rotten = newer if newer_slot else older
    _flip(path / MARK, SLOT_OFFSETS[rotten.sequence & 1] + 20)


def _epochs(path: Path) -> list[tuple[int, int]]:
    manifest = read_manifest(SYSTEM_EFFECTS.files, str(path))
    assert manifest is not None
    return list(manifest.epochs or ())


def test_a_position_that_is_used_again_begins_an_epoch(tmp_path: Path) -> None:
    """A follower that has seen the lost commit is told, instead of taking the next one for it."""
    path = _write(tmp_path / "journal")
    before = _slots(path)[-1].epoch
    _rot(path, newer_slot=True, commit=True)
    with Journal.open(path) as journal:
        assert journal.append([message(b"another")]) == range(3, 4)
        assert states(journal) == [b"commit 1", b"commit 2", b"another"]
    assert _slots(path)[-1].epoch == before + 1
    assert _epochs(path) == [(before + 1, 3)]
    assert list((path / "recovered").iterdir())


def test_a_tailer_that_was_behind_the_lost_commit_is_told(tmp_path: Path) -> None:
    """It has read position 3, and would wait for 4 as if nothing had happened."""
    path = _write(tmp_path / "journal")
    with Journal.open(path, read_only=True) as reader:
        tailer = reader.tail(after=2)
        assert next(tailer).position == 3
        _rot(path, newer_slot=True, commit=True)
        with Journal.open(path) as journal:
            journal.append([message(b"another")])
            journal.append([message(b"more")])
        with pytest.raises(HistoryChangedError):
            next(tailer)


def test_what_is_still_there_is_adopted_in_the_same_epoch(tmp_path: Path) -> None:
    """With either slot rotten and the commit whole, nothing is lost: nobody is told of a loss."""
    for newer_slot in (False, True):
        path = _write(tmp_path / f"journal-{newer_slot}")
        _rot(path, newer_slot=newer_slot, commit=False)
        with Journal.open(path) as journal:
            assert journal.append([message(b"next")]) == range(4, 5)
        assert _epochs(path) == []


def test_a_slot_that_vouches_for_the_rotten_commit_refuses(tmp_path: Path) -> None:
    """The older slot alone is in nobody's way: the newer one says what was acknowledged."""
    path = _write(tmp_path / "journal")
    _rot(path, newer_slot=False, commit=True)
    with pytest.raises(CorruptionError):
        Journal.open(path)


def test_a_torn_write_with_both_slots_whole_begins_no_epoch(tmp_path: Path) -> None:
    """As of an appender that was killed: nobody can have seen what it had not finished."""
    path = _write(tmp_path / "journal")
    end = _slots(path)[-1].visible_offset
    with next(path.glob("*.segment")).open("r+b") as segment:
        segment.seek(end)
        segment.write(b"torn" * 10)
    with Journal.open(path) as journal:
        assert journal.append([message(b"next")]) == range(4, 5)
    assert _epochs(path) == []
