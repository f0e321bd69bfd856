"""Power cuts between any two blocks, and the file system's own recovery behind them."""

import logging
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fault.block_replay import images, record_workload, told_at
from tests.fault.figures import Figures
from tests.fault.injection import STEPS, judge
from tests.fault.mounts import mounted
from tests.fault.told import ViolationError

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="there is no /dev/fuse")
_GROUPED = ("append", "group", "batch", "group", "append", "seal", "group", "cool", "append")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def replay(  # noqa: PLR0913, PLR0917 - one run
    kind: str, directory: Path, steps: Sequence[str], seed: int, count: int, figures: Figures
) -> None:
    """Record the steps, cut the power ``count`` times, and judge each image."""
    directory.mkdir()
    recorded = record_workload(kind, directory, steps)
    image = directory / "after"
    point = directory / "point"
    figures.add(recordings=1, written_blocks=len(recorded.record))
    for place, content in images(recorded, random.Random(seed), count):
        image.write_bytes(content)
        told = told_at(recorded, place)
        with mounted(image, point):
            try:
                judge(point, told)
            except BaseException as error:
                error.add_note(f"{kind}, seed {seed}, entry {place} of {len(recorded.record)}")
                raise
        figures.trials += 1
        figures.add(acknowledged=len(told.acknowledged))


def test_some_images(file_system: str, scratch: Path) -> None:
    """Whatever the file system makes of an image: what was acknowledged is there."""
    with Figures("E3", file_system, "image") as figures:
        count = 12 if file_system == "ext4" else 3
        replay(file_system, scratch / "replay", STEPS, 1, count, figures)


@pytest.mark.usefixtures("ext4")
def test_a_missing_sync_is_noticed(scratch: Path) -> None:
    """A journal that syncs nothing loses commits in this experiment."""
    figures = Figures("E3", "ext4", "image")
    with pytest.raises(ViolationError, match="was acknowledged at"):
        replay("ext4", scratch / "replay", ("weak", *6 * ("append",)), 1, 40, figures)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_many_images(file_system: str, scratch: Path, reliability_factor: int) -> None:
    """The same for many images, from recordings of two kinds of lives."""
    with Figures("E3", file_system, "image") as figures:
        count = 100 if file_system == "ext4" else 20
        for number in range(reliability_factor // 2 or 1):
            steps = _GROUPED if number % 2 else STEPS
            replay(file_system, scratch / str(number), steps, number, count, figures)
