"""Hunts all mutants and writes docs/internals/mutants.md: ``python -m tests.crash.kill_table``."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.mutant import Mutant
from tests.crash.mutants import MUTANTS, ROOT, Verdict, hunt

PAGE = ROOT / "docs" / "internals" / "mutants.md"
_FACTOR = 2.0
_HARNESSES = {
    "scenes": "scene",
    "always": "history under `always`",
    "never": "history under `never`",
    "interval": "history under an interval",
    "rot": "damaged journal",
}
_HEAD = """# What each step is for

Each row is a one-line breakage of the package (a *mutant*, `tests/crash/mutants.py`) and what fails
on it. Breakages that a crash has to show are hunted through scenes and seeded histories on a
crashable disk until one breaks a promise (`tests/crash/hunt.py`); the number is how many rounds
that took. Where a step guards against one rare crash, a test sets up exactly that crash.

Written by `python -m tests.crash.kill_table`, which took {seconds:.0f} seconds and ends with an
error if a mutant lives that is not explained. `make reliability` hunts them all again, `make test`
some of them.

| broken so that | noticed by | as |
|---|---|---|
"""


def in_table(text: str) -> str:
    """Text as it stands in a cell of the table."""
    return " ".join(text.replace("|", "/").split())


def without_places(text: str) -> str:
    """Text without what differs from run to run: directories of tests, ids of files and threads."""
    text = re.sub(r"/(?:tmp|dev/shm)/[^\s']+", "...", text)
    return re.sub(r"(?<![-'\d])\d{7,}(?![-.\d])", "...", text)


def _row(mutant: Mutant, verdict: Verdict) -> str:
    if not verdict.rounds:
        return (
            f"| {in_table(mutant.name)} | nothing: {in_table(mutant.why_alive)} | an equivalent |\n"
        )
    if mutant.killed_by:
        killer = f"`{verdict.harness}`"
    else:
        killer = f"{_HARNESSES[verdict.harness]}, in round {verdict.rounds}"
    # Places differ from run to run of a changed journal; the kind of failure tells.
    kind, _, rest = without_places(verdict.message).partition(": ")
    what = rest.partition("; ")[0].partition(" in /")[0].partition(": ")[0]
    return f"| {in_table(mutant.name)} | {killer} | {in_table(f'{kind}: {what}'[:90])} |\n"


def main() -> int:
    """Hunt and write; returns how many mutants live."""
    began = time.monotonic()
    rows = []
    alive = 0
    for mutant in MUTANTS:
        with tempfile.TemporaryDirectory() as directory:
            verdict = hunt(mutant, Path(directory), _FACTOR)
        sys.stdout.write(f"{verdict.rounds:6} {mutant.name}\n")
        sys.stdout.flush()
        alive += not verdict.rounds and not mutant.why_alive
        rows.append(_row(mutant, verdict))
    if not alive:
        head = _HEAD.format(seconds=time.monotonic() - began)
        PAGE.write_text(head + "".join(rows), "utf-8")
    return alive


if __name__ == "__main__":
    sys.exit(main())
