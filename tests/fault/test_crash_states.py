"""Every disk that a power cut may leave behind what strace saw a process do.

A failure names the act and the place in its trace; the trace is repeated by
``trace_act(act, directory)``.
"""

import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aurora_es.errors import AuroraError
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk
from tests.fault.enumeration import (
    ACTS,
    HOME,
    Act,
    Sample,
    enumerate_act,
    enumerate_recoveries,
    trace_act,
    varied,
)
from tests.fault.figures import Figures
from tests.fault.recording import RecordingFiles, as_recorded
from tests.fault.told import ViolationError
from tests.fault.trace import strace_is_missing
from tests.fault.workload import EFFECTS, Workload

_WHY_NOT = strace_is_missing()
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT or "strace is there")
_NAMES = [act.name for act in ACTS]
_SOME = 40  # states at each place, in the normal run


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("act", ACTS, ids=_NAMES)
def test_some_disks_after_a_power_cut(act: Act, tmp_path: Path) -> None:
    """Whatever reached the disk of what was not synced: opening finds all that was acknowledged."""
    with Figures("E2", act.name, "crash state") as figures:
        enumerate_act(act.name, trace_act(act, tmp_path), _SOME, figures)
    assert figures.trials > 10


def test_some_disks_after_a_power_cut_in_a_recovery(tmp_path: Path) -> None:
    """The same while a process recovers what an earlier power cut had left."""
    with Figures("E2", "recover", "crash state") as figures:
        sample = Sample(3, random.Random(1))
        enumerate_act("batch", trace_act(ACTS[2], tmp_path), _SOME, Figures("E2", "", ""), sample)
        enumerate_recoveries(sample, tmp_path, _SOME, figures)
    assert figures.trials > 10


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("act", ACTS, ids=_NAMES)
def test_many_disks_after_a_power_cut(act: Act, tmp_path: Path, reliability_factor: int) -> None:
    """The same for many more disks, of acts with commits of many sizes, and of their recoveries."""
    rng = random.Random(act.name)
    limit = 50 * reliability_factor
    sample = Sample(max(1, reliability_factor // 10), rng)
    with Figures("E2", act.name, "crash state") as figures:
        for number in range(max(1, reliability_factor // 5)):
            scratch = tmp_path / str(number)
            scratch.mkdir()
            run = trace_act(varied(act, rng) if number else act, scratch)
            enumerate_act(act.name, run, limit, figures, sample)
    with Figures("E2", f"recover from {act.name}", "crash state") as figures:
        enumerate_recoveries(sample, tmp_path, limit // 5, figures)


@pytest.mark.parametrize(
    ("act", "ending"),
    [
        ("append", "1.segment"),
        ("roll", ".segment.new"),
        ("roll", "/journal"),
        ("create", "/manifest.new"),
    ],
)
def test_a_missing_sync_is_noticed(act: str, ending: str, tmp_path: Path) -> None:
    """Without the syncs of a file or of a directory some disk has lost what was acknowledged."""
    run = trace_act(ACTS[_NAMES.index(act)], tmp_path)
    kept = [one for one in run.operations if one.name != "sync" or not one.path.endswith(ending)]
    assert len(kept) < len(run.operations)
    with pytest.raises((ViolationError, AuroraError)):
        enumerate_act(act, run._replace(operations=kept), 300, Figures("E2", act, "state"))


def test_what_the_layer_records_is_what_the_kernel_sees(tmp_path: Path) -> None:
    """The calls of the file layer in memory are, one for one, those that strace sees on a disk."""
    steps = ["append", "batch", "batch", "large", "reopen", "append", "batch", "seal", "cool"]
    steps += ["append", "merge", "clear", "close"]
    run = trace_act(Act("all", (), tuple(steps)), tmp_path)
    disk = CrashableDisk()
    disk.make_directories(HOME)
    files = RecordingFiles(CrashableFiles(disk))
    told: list[str] = []
    workload = Workload(f"{HOME}/journal", tell=told.append, effects=replace(EFFECTS, files=files))
    workload.take(steps)
    assert all(line.split()[0] in {"try", "ok"} for line in told)
    assert as_recorded(run.operations) == [one for one in files.changes if one[1].startswith(HOME)]
