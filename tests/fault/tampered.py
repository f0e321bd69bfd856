"""A journal for tests that tamper with its directory, and how a refusal looks."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from aurora_es import Journal, RollCycle
from aurora_es.errors import AuroraError
from aurora_es.journal import background
from tests.journal.support import message, snapshot

SECONDS_MAX = 90.0  # a terabyte takes longer, a machine that stalls does not
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do that")


def tampered_journal(directory: Path) -> Path:
    """Make a journal with two sealed segments and a tail; returns its path."""
    with Journal.open(directory / "journal", roll_cycle=RollCycle.events(2)) as journal:
        for number in range(5):
            journal.append([message(b"%d" % number)])
    background.seal(str(directory / "journal"))
    return directory / "journal"


def expect_refusal(path: Path, error: type[AuroraError], text: str) -> None:
    """Open for appending: refused in time, and nothing is different afterwards."""
    before = snapshot(path.parent)
    began = time.monotonic()
    with pytest.raises(error, match=text), Journal.open(path) as journal:
        journal.append([message(b"late")])
    assert time.monotonic() - began < SECONDS_MAX
    assert snapshot(path.parent) == before
