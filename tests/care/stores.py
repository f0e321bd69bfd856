"""Small stores of fixed bytes, to be damaged: plain, rolled, sealed, and cooled."""

from __future__ import annotations

from hashlib import shake_256
from pathlib import Path

from aurora_es import Journal, Record, RollCycle
from aurora_es.files.layer import SYSTEM_EFFECTS, Effects
from aurora_es.format.frame import FrameHeader
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.creation import Settings
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.salvage import frames_from
from tests.journal.support import SECOND, ManualClock, effects_with

PLAIN, ROLLED, SEALED, COOLED = "plain", "rolled", "sealed", "cooled"
KINDS = (PLAIN, ROLLED, SEALED, COOLED)

# Records of each commit, and whether it tracks something. With four records to a segment, the
# segments begin at positions 1, 5, 9 and 14; the last, the tail, ends with position 18.
COMMITS = ((2, False), (1, True), (1, False), (4, False), (1, True), (0, True), (4, False))
TAIL = ((1, False), (1, True), (3, False))
LAST_POSITION = 18
SEGMENTS = {
    1: "0000000001-00000000000000000001",
    2: "0000000002-00000000000000000005",
    3: "0000000003-00000000000000000009",
    4: "0000000004-00000000000000000014",
}
RUN_OF = {1: "00-0000000001-0000000001.index", 2: "00-0000000002-0000000002.index"}
MERGED_RUN = "01-0000000001-0000000002.index"
LAST_RUN = "00-0000000003-0000000003.index"


def store_effects(seed: bytes = b"seed") -> Effects:
    """Effects with a clock and random bytes that repeat; another ``seed`` makes another journal."""
    drawn = iter(range(1 << 20))

    def random_bytes(count: int) -> bytes:
        return shake_256(seed + b"%d" % next(drawn)).digest(count)

    return effects_with(clock=ManualClock(), reserve_bytes=256, random_bytes=random_bytes)


def record(position: int, state: bytes = b"state") -> Record:
    """The record at a position: of one of three originators, with topics, tags, and without."""
    return Record(
        topic=("Opened", "Renamed")[position % 2],
        state=state + b" of record %d" % position,
        originator_id=f"originator {position % 3}",
        originator_version=position,
        tags=("tag",) * (position % 2),
    )


def write_store(path: Path, kind: str, seed: bytes = b"seed", state: bytes = b"state") -> Path:
    """Write the store of this kind; returns its path. Another ``state`` makes another history."""
    effects = store_effects(seed)
    cycle = RollCycle.events(1000 if kind == PLAIN else 4)
    with Journal(effects, str(path), Settings(roll_cycle=cycle, name="golden")) as journal:
        position = 1
        for number, (count, is_tracking) in enumerate((*COMMITS, *TAIL), 1):
            journal.append(
                [record(at, state) for at in range(position, position + count)],
                tracking=("upstream", number) if is_tracking else None,
            )
            position += count
            assert isinstance(effects.clock, ManualClock)
            effects.clock.now += SECOND
    if kind in {SEALED, COOLED}:
        background.seal(str(path), effects=effects)
    if kind == COOLED:
        background.cool(str(path), older_than_hours=-1, effects=effects)
    with BackgroundLock(effects, str(path), timeout=0):
        clear_away(effects, str(path), at_once=True)
    return path


def segment(number: int, *, cooled: bool = False) -> str:
    """File name of a segment."""
    return SEGMENTS[number] + (".r1.segment" if cooled else ".segment")


def table(number: int, *, cooled: bool = False) -> str:
    """File name of a segment's table of frames."""
    return SEGMENTS[number] + (".r1.frames" if cooled else ".frames")


def frames(path: Path) -> list[tuple[int, FrameHeader]]:
    """Offset and header of each frame of a whole segment."""
    file = SegmentFile(SYSTEM_EFFECTS.files, str(path), writable=False)
    return list(frames_from(file, SEGMENT_HEADER_BYTES, file.size_bytes()))
