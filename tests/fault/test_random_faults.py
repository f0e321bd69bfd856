"""Many faults in one life of a process, drawn by libfiu, with every error number that a call may give.

libfiu draws by itself: a failure is not repeated by a seed, so it names what the process told.
"""

import logging
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.figures import Figures
from tests.fault.injection import STEPS, judge
from tests.fault.told import Told, ViolationError
from tests.fault.trace import ROOT

FIU_RUN = shutil.which("fiu-run")
pytestmark = pytest.mark.skipif(FIU_RUN is None, reason="libfiu (fiu-run) is not installed")
# The interpreter makes none of these calls for itself. libfiu has no link.
CALLS = (
    "rw/pread", "rw/pwrite", "rw/pwrite/reduce", "rw/ftruncate", "sync/fsync", "sync/fdatasync",
    "dir/rename", "dir/unlink",
)  # fmt: skip
CHANCES = (0.005, 0.02, 0.1, 0.5)
_SECONDS_MAX = 120


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run(directory: Path, calls: list[str], chance: float) -> list[str]:
    """Run the workload while some kinds of calls fail by chance; returns what it told."""
    assert FIU_RUN is not None
    command = [FIU_RUN, "-x", "-f", ""]
    for call in calls:
        command += ["-c", f"enable_random name=posix/io/{call},probability={chance}"]
    command += [sys.executable, "-m", "tests.fault.workload", "a", str(directory / "journal")]
    done = subprocess.run(
        [*command, *STEPS],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
    )
    if done.returncode:
        raise ViolationError(f"the workload ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout.splitlines()


def fail_often(directory: Path, count: int, figures: Figures) -> None:
    """Live and be judged, again and again."""
    rng = random.Random(count)
    for number in range(count):
        scratch = directory / str(number)
        scratch.mkdir()
        calls = rng.sample(CALLS, rng.randint(1, len(CALLS)))
        chance = rng.choice(CHANCES)
        lines: list[str] = []
        try:
            lines = run(scratch, calls, chance)
            told = Told(lines)
            judge(scratch, told)
        except BaseException as error:
            error.add_note(f"run(directory, {calls}, {chance}) told {lines}; see {scratch}")
            raise
        shutil.rmtree(scratch)
        figures.trials += 1
        figures.add(
            acknowledged=len(told.acknowledged),
            refused=len(told.refused),
            unknown=len(told.unknown),
        )


def test_some_lives(tmp_path: Path) -> None:
    """Whatever fails, and however often: nothing acknowledged is lost, nothing refused appears."""
    with Figures("E5", "libfiu, faults by chance", "life") as figures:
        fail_often(tmp_path, 8, figures)
    assert figures.counts["acknowledged"]
    assert int(figures.counts["refused"]) + int(figures.counts["unknown"])


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_many_lives(tmp_path: Path, reliability_factor: int) -> None:
    """The same, ten times the reliability factor."""
    with Figures("E5", "libfiu, faults by chance", "life") as figures:
        fail_often(tmp_path, 10 * reliability_factor, figures)
