"""Writes that are really short, or torn by the death of the process: a library loaded before libc."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.figures import Figures
from tests.fault.injection import STEPS, judge
from tests.fault.told import Told
from tests.fault.trace import ROOT

SOURCE = Path(__file__).with_name("torn_writes.c")
COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler"),
    pytest.mark.skipif(sys.platform != "linux", reason="the library is written for Linux"),
]
HOWS = {"short": "s", "full disk": "f", "killed": "k"}
# Behind the first byte, in and behind a frame's header, in a payload, in front of the last byte.
BYTES = (1, 8, 71, 72, 100, 1 << 30)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Compile the library."""
    target = str(tmp_path_factory.mktemp("library") / "torn_writes.so")
    assert COMPILER is not None
    command = [COMPILER, "-shared", "-fPIC", "-O1", "-o", target, str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return target


def run(library: str, directory: Path, torn: str) -> tuple[int, list[str], int]:
    """Run the workload; returns status, what it told, and how many writes it made."""
    count = directory / "count"
    done = subprocess.run(
        [sys.executable, "-m", "tests.fault.workload", "a", str(directory / "journal"), *STEPS],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "LD_PRELOAD": library,
            "AURORA_TORN": torn,
            "AURORA_TORN_COUNT": str(count),
        },
        timeout=60,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return (
        done.returncode,
        done.stdout.splitlines(),
        int(count.read_text()) if count.exists() else 0,
    )


def tear(library: str, how: str, stride: int, directory: Path, figures: Figures) -> None:
    """Tear every ``stride``-th combination of a write and a place in it."""
    directory.mkdir()
    _, lines, writes = run(library, directory, "-1:0:s")
    told = Told(lines)
    assert len(told.acknowledged) == len(told.tried)
    assert writes > 20
    cases = [(call, count) for call in range(1, writes + 1) for count in BYTES]
    figures.is_exhaustive = stride == 1
    for call, count in cases[stride // 2 :: stride]:
        scratch = directory / f"{call} {count}"
        scratch.mkdir()
        status, lines, _ = run(library, scratch, f"{call}:{count}:{HOWS[how]}")
        assert (status != 0) == (how == "killed")
        told = Told(lines)
        try:
            judge(scratch, told)
        except BaseException as error:
            error.add_note(f"write {call}, behind {count} bytes, {how}; told {lines}")
            raise
        figures.trials += 1
        figures.add(
            acknowledged=len(told.acknowledged),
            refused=len(told.refused),
            unknown=len(told.unknown),
        )
        if how == "short":
            assert len(told.acknowledged) == len(told.tried)
        shutil.rmtree(scratch)


@pytest.mark.parametrize("how", HOWS)
def test_some_writes(how: str, library: str, tmp_path: Path) -> None:
    """A short write is continued, a torn one never read; nothing acknowledged is lost."""
    with Figures("E5", f"torn writes, {how}", "torn write") as figures:
        tear(library, how, 97, tmp_path / "torn", figures)
    assert figures.trials


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("how", HOWS)
def test_every_write(how: str, library: str, tmp_path: Path) -> None:
    """The same for every write, torn in every one of some places."""
    with Figures("E5", f"torn writes, {how}", "torn write") as figures:
        tear(library, how, 1, tmp_path / "torn", figures)
