"""Records what a file system writes under a journal, and replays it up to a power cut.

Theory of operation: the workload runs on ext4 or XFS on a loop device over ``block_log.py``. Its lines
carry how long the record was when they were told. A power cut at entry n keeps every write in front of
the last flush before n, and of those behind it each sector or not (the superblock whole or not). The
image is mounted (the kernel replays its own journal), opened by us, and compared with what had been
told at n.

A sector has 512 bytes on ext4. On XFS it has 4096: by the number in its first 512 bytes recovery
decides whether a block of metadata was written already, takes it for whole, and refuses a torn one.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fault.block_log import FLUSH, Entry, read_record
from tests.fault.mounts import make_image, mounted, run
from tests.fault.told import Told
from tests.fault.trace import ROOT
from tests.fault.workload import Workload

SECTOR_BYTES = {"ext4": 512, "xfs": 4096}
_SUPERBLOCK_END = 4096
_CHANCES = (0.0, 0.1, 0.5, 0.9, 1.0)


class Recorded(NamedTuple):
    """An image, what was written to it, and what was told: (length of the record, line)."""

    kind: str
    image: bytes
    record: list[Entry]
    told: list[tuple[int, str]]


def record_workload(kind: str, directory: Path, steps: Sequence[str]) -> Recorded:
    """Run the workload on a file system of ``kind`` whose blocks are recorded."""
    image, log = directory / "image", directory / "record"
    served, point = directory / "served", directory / "point"
    served.mkdir()
    point.mkdir()
    make_image(image, kind)
    before = image.read_bytes()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fault.block_log", str(served), str(image), str(log)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"mounted\n"
        try:
            with mounted(served / "disk", point, options="nodiscard"):
                lines = _run_workload(point / "journal", served / "length", steps)
        finally:
            run("umount", str(served))
        assert server.wait(60) == 0
    told = []
    for line in lines:
        length, _, rest = line.partition(" ")
        told.append((int(length), rest))
    return Recorded(kind, before, [*read_record(log)], told)


def _run_workload(path: Path, length: Path, steps: Sequence[str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fault.block_replay", str(path), str(length), *steps],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    return done.stdout.splitlines()


def images(recorded: Recorded, rng: random.Random, count: int) -> Iterator[tuple[int, bytes]]:
    """Images after ``count`` power cuts, at places that rise; with the entry of each."""
    record = recorded.record
    first = next(length for length, _ in recorded.told)
    places = sorted(rng.randint(first, len(record)) for _ in range(count))
    durable = bytearray(recorded.image)
    unsynced: list[Entry] = []
    at = 0
    for place in places:
        for entry in record[at:place]:
            if entry.offset == FLUSH:
                for written in unsynced:
                    durable[written.offset : written.offset + len(written.data)] = written.data
                unsynced.clear()
            else:
                unsynced.append(entry)
        at = place
        yield place, _after_power_cut(recorded.kind, durable, unsynced, rng)


def _after_power_cut(
    kind: str, durable: bytearray, unsynced: list[Entry], rng: random.Random
) -> bytes:
    image = bytearray(durable)
    chance = rng.choice(_CHANCES)
    for offset, data in unsynced:
        # The superblock is not torn: ext4 relies on that, and refuses a half one by its checksum.
        step = len(data) if offset < _SUPERBLOCK_END else SECTOR_BYTES[kind]
        for begin in range(0, len(data), step):
            if rng.random() < chance:
                part = data[begin : begin + step]
                image[offset + begin : offset + begin + len(part)] = part
    return bytes(image)


def told_at(recorded: Recorded, place: int) -> Told:
    """What had been told when the record had ``place`` entries; what was tried may be more."""
    return Told(line for length, line in recorded.told if length <= place or line.startswith("try"))


def main(path: str, length: str, steps: list[str]) -> None:
    """Run the workload; each line begins with the length of the record."""
    fd = os.open(length, os.O_RDONLY)

    def tell(line: str) -> None:
        count = os.pread(fd, 64, 0).decode()
        os.write(1, f"{count} {line}\n".encode())

    Workload(path, tell=tell).take(steps)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
