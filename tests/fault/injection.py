"""Runs the workload while strace lets a chosen system call fail, or kills the process at it.

Theory of operation: strace counts the calls of each name; a first run without faults says how many
there are. What the process told is judged afterwards: by opening its journal in this process, without
faults, appending to it and comparing. The names in ``PLAN`` are those of calls that only the journal
makes, so the interpreter itself goes on.
"""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aurora_es import Journal
from tests.fault.told import Told, ViolationError, records_of
from tests.fault.trace import ROOT

STEPS = tuple(
    "append batch append batch large reopen append batch seal cool merge clear append abandon append"
    " close".split()
)
# What is injected into which calls; "+" lets all that follow fail, too.
PLAN = {
    "sync fails": (("fsync", "fdatasync"), ("error=EIO", "")),
    "all syncs fail": (("fsync", "fdatasync"), ("error=EIO", "+")),
    "write fails": (("pwrite64",), ("error=EIO", "")),
    "disk is full": (("pwrite64",), ("error=ENOSPC", "")),
    "disk stays full": (("pwrite64",), ("error=ENOSPC", "+")),
    "quota is used up": (("pwrite64",), ("error=EDQUOT", "")),
    "read fails": (("pread64",), ("error=EIO", "")),
    "cut fails": (("ftruncate",), ("error=EIO", "")),
    "names fail": (("link", "rename"), ("error=EIO", "")),
    "no hard links": (("link",), ("error=EPERM", "+")),
    "killed": (
        ("pwrite64", "pread64", "ftruncate", "fsync", "fdatasync", "link", "rename", "flock"),
        ("signal=SIGKILL", ""),
    ),
}
_SECONDS_MAX = 120
NOT_STARTED = 127  # the fault struck the loader of programs, which reads with pread64, too
_NOT_LOADED = "cannot read file data"  # it struck the loader later, in an import of numpy
_NAME = re.compile(r"\d+ +(\w+)\(")


class Case(NamedTuple):
    """One fault: in the ``when``-th call named ``call``."""

    call: str
    fault: str
    when: int
    lasts: str  # "+" if all later calls fail, too


class Outcome(NamedTuple):
    """What became of a run; a status of 127 says that interpreter or numpy could not be loaded."""

    status: int
    told: list[str]
    injected: int  # how often the fault struck
    calls: Counter[str]


def run(directory: Path, case: Case | None = None) -> Outcome:
    """Run the workload in an empty directory, with one fault or without."""
    log = directory / "log"
    calls = ",".join(sorted({name for names, _ in PLAN.values() for name in names}))
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}"]
    if case is not None:
        command += ["-e", f"inject={case.call}:{case.fault}:when={case.when}{case.lasts}"]
    arguments = ["tests.fault.workload", "a", str(directory / "journal"), *STEPS]
    done = subprocess.run(
        [*command, sys.executable, "-m", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
    )
    text = log.read_text("utf-8", "replace")
    names = Counter(match[1] for match in map(_NAME.match, text.splitlines()) if match)
    if (done.returncode == NOT_STARTED and not done.stdout) or (
        done.returncode > 0 and case is not None and _NOT_LOADED in done.stderr
    ):
        return Outcome(NOT_STARTED, [], 0, names)
    if done.returncode > 0:
        raise ViolationError(f"the workload ended with {done.returncode}: {done.stderr[-2000:]}")
    return Outcome(done.returncode, done.stdout.splitlines(), text.count("(INJECTED)"), names)


def cases(kind: str, counts: Counter[str]) -> Iterator[Case]:
    """Every fault of a kind, given how many calls of each name there are."""
    names, (fault, lasts) = PLAN[kind]
    for name in names:
        for when in range(1, counts[name] + 1):
            yield Case(name, fault, when, lasts)


def judge(directory: Path, told: Told) -> None:
    """Open what is left, compare, append, compare again."""
    told = copy.deepcopy(told)
    for serial in range(2):
        with Journal.open(directory / "journal") as journal:
            count = told.check(journal)
            told.take(f"try judge {serial} 3")
            (position, *_) = journal.append(records_of("judge", serial, 3))
            told.take(f"ok judge {serial} {position}")
            if told.check(journal) != count + 1:
                raise ViolationError("what was appended afterwards is not there")
