"""A small journal with everything a repair may meet, ways to damage it, and what must hold then."""

from __future__ import annotations

import os
from collections.abc import Callable

from aurora_es import Record, RollCycle, Sync
from aurora_es.care.repair import RepairReport, repair
from aurora_es.codecs.compression import CODEC_LZ4
from aurora_es.files.layer import Effects, Files, read_exactly
from aurora_es.format.names import MANIFEST, MARK, parse_cooled_name, parse_segment_name
from aurora_es.journal.background import seal
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.cool import cool_segment
from aurora_es.journal.manifest_file import read_manifest
from tests.journal.support import event, open_with

CYCLE = RollCycle.events(4)
SEALED, UNSEALED = 18, 8  # commits
COOLED, COOLED_WITH_RAW = 1, 2  # segment numbers
TRACKED = "upstream"

Truth = dict[int, Record]
Damage = Callable[[Files, str], None]


def fill(effects: Effects, path: str) -> Truth:
    """Append to five sealed segments, one of them cooled, to two closed ones, and to the tail."""
    with open_with(path, effects, roll_cycle=CYCLE, sync=Sync.ALWAYS) as journal:
        for number in range(SEALED + UNSEALED):
            records = [event("a", 2 * number + 1, b"%d" % number), event("b", number + 1)]
            journal.append(records[: 1 + bool(number % 3)], tracking=(TRACKED, number + 1))
            if number + 1 == SEALED:
                seal(path, effects=effects)
                _cool(effects, path)
        return {stored.position: stored.record for stored in journal.read()}


def _cool(effects: Effects, path: str) -> None:
    """Cool two segments; of the second one the raw file is still there."""
    for number in (COOLED, COOLED_WITH_RAW):
        clear_away(effects, path, at_once=True)
        manifest = read_manifest(effects.files, path)
        assert manifest is not None
        assert cool_segment(effects, path, manifest.segments[number - 1], CODEC_LZ4)


def segment_file(files: Files, path: str, number: int) -> str:
    """Path of the file of a segment; the newest revision."""
    found = []
    for name in files.listdir(path):
        place = parse_segment_name(name) or parse_cooled_name(name)
        if place is not None and place[0] == number:
            found.append((place[2:], name))
    return os.path.join(path, max(found)[1])


def tail_number(files: Files, path: str) -> int:
    """Number of the newest segment."""
    places = map(parse_segment_name, files.listdir(path))
    return max(place[0] for place in places if place)


def flipped(files: Files, path: str, offset: int) -> None:
    """Flip a bit of a file."""
    fd = files.open(path, os.O_RDWR)
    byte = read_exactly(files, fd, 1, offset)
    files.pwrite(fd, bytes([byte[0] ^ 0x10]), offset)
    files.fsync(fd)
    files.close(fd)


def cut(files: Files, path: str, length: int) -> None:
    """Cut a file."""
    fd = files.open(path, os.O_RDWR)
    files.ftruncate(fd, length)
    files.fsync(fd)
    files.close(fd)


def removed(files: Files, path: str) -> None:
    """Remove a file for good."""
    files.unlink(path)
    files.sync_directory(os.path.dirname(path))


def check_repaired(effects: Effects, path: str, truth: Truth, report: RepairReport) -> Truth:
    """What is left is what was there, but for what the report calls lost; and life goes on."""
    again = repair(path, dry_run=True, effects=effects)
    assert not again.repairs
    assert not again.lost
    lost = {position for first, last in report.lost for position in range(first, last + 1)}
    with open_with(path, effects, read_only=True) as journal:
        left = {stored.position: stored.record for stored in journal.read()}
        assert left == {at: record for at, record in truth.items() if at not in lost}
        assert journal.statistics().lost_positions == len(lost & {*truth})
    with open_with(path, effects) as journal:
        assert {stored.position: stored.record for stored in journal.read()} == left
        assert journal.append([event("c", 1)]) == range(max(truth) + 1, max(truth) + 2)
        counts = {str(one.originator_id): one.record_count for one in journal.originator_ids()}
        assert sum(counts.values()) == len(left) + 1
        for version in range(1, 6):
            found = [
                record.state
                for record in left.values()
                if (record.originator_id, record.originator_version) == ("a", version)
            ]
            assert (_find(journal, version) > 0) == bool(found)
    seal(path, effects=effects)
    clear_away(effects, path, at_once=True)
    with open_with(path, effects) as journal:
        assert len(list(journal.read())) == len(left) + 1
    return left


def _find(journal: object, version: int) -> int:
    from aurora_es import Journal

    assert isinstance(journal, Journal)
    return journal.handle.state.index.find("a", version)


def _of(number: int, change: Callable[[Files, str], None]) -> Damage:
    return lambda files, path: change(files, segment_file(files, path, number))


def _of_tail(change: Callable[[Files, str], None]) -> Damage:
    return lambda files, path: change(files, segment_file(files, path, tail_number(files, path)))


def _swapped(files: Files, path: str) -> None:
    left, right = segment_file(files, path, 3), segment_file(files, path, 7)
    files.rename(left, left + "~")
    files.rename(right, left)
    files.rename(left + "~", right)
    files.sync_directory(path)


def _both(left: Damage, right: Damage) -> Damage:
    def damage(files: Files, path: str) -> None:
        left(files, path)
        right(files, path)

    return damage


def _named(name: str, change: Callable[[Files, str], None]) -> Damage:
    return lambda files, path: change(files, os.path.join(path, name))


FIRST, MIDDLE, UNLISTED, LAST_CLOSED = COOLED, 3, 7, 9

DAMAGES: dict[str, Damage] = {
    **{
        f"{what} {which}": _of(number, change)
        for which, number in (
            ("first", FIRST),
            ("middle", MIDDLE),
            ("unlisted", UNLISTED),
            ("last closed", LAST_CLOSED),
        )
        for what, change in (
            ("missing", removed),
            ("frame of", lambda files, path: flipped(files, path, 330)),
            ("checkpoint of", lambda files, path: flipped(files, path, 210)),
            ("header of", lambda files, path: flipped(files, path, 30)),
            ("salt of", lambda files, path: flipped(files, path, 58)),
            ("cut", lambda files, path: cut(files, path, 360)),
            ("empty", lambda files, path: cut(files, path, 0)),
        )
    },
    "cooled, and the raw file is there": _of(
        COOLED_WITH_RAW, lambda files, path: flipped(files, path, 330)
    ),
    "tail missing": _of_tail(removed),
    "tail empty": _of_tail(lambda files, path: cut(files, path, 0)),
    "tail cut": _of_tail(lambda files, path: cut(files, path, 360)),
    "tail frame": _of_tail(lambda files, path: flipped(files, path, 330)),
    "tail header": _of_tail(lambda files, path: flipped(files, path, 30)),
    "tail salt": _of_tail(lambda files, path: flipped(files, path, 58)),
    "tail checkpoint": _of_tail(lambda files, path: flipped(files, path, 210)),
    "mark missing": _named(MARK, removed),
    "mark empty": _named(MARK, lambda files, path: cut(files, path, 0)),
    "mark slots": _both(
        _named(MARK, lambda files, path: flipped(files, path, 20)),
        _named(MARK, lambda files, path: flipped(files, path, 4096 + 20)),
    ),
    "manifest missing": _named(MANIFEST, removed),
    "manifest damaged": _named(MANIFEST, lambda files, path: flipped(files, path, 99)),
    "manifest and mark": _both(_named(MARK, removed), _named(MANIFEST, removed)),
    "two neighbours missing": _both(_of(MIDDLE, removed), _of(MIDDLE + 1, removed)),
    "two neighbours' headers": _both(
        _of(MIDDLE, lambda files, path: flipped(files, path, 30)),
        _of(MIDDLE + 1, lambda files, path: flipped(files, path, 30)),
    ),
    "swapped": _swapped,
    "manifest and middle": _both(_named(MANIFEST, removed), _of(MIDDLE, removed)),
    "all of it": _both(
        _both(_named(MANIFEST, removed), _named(MARK, removed)),
        _both(
            _of(UNLISTED, lambda files, path: flipped(files, path, 330)),
            _of_tail(lambda files, path: flipped(files, path, 330)),
        ),
    ),
}
