"""How many syncs a commit takes, as strace counts them, beside SQLite."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.fault.figures import Figures
from tests.fault.trace import ROOT, strace_is_missing

_WHY_NOT = strace_is_missing()
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT or "strace is there")
_NAME = re.compile(r"\d+ +(\w+)\(")
_AURORA = """
import sys
from aurora_es import Journal, Record
from aurora_es.options import Sync
with Journal.open(sys.argv[1], sync=Sync.parse(sys.argv[3])) as journal:
    for number in range(int(sys.argv[2])):
        record = Record(topic="t", state=b"x" * 100, originator_id="a", originator_version=number)
        journal.append([record])
"""
_SQLITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute(f"PRAGMA synchronous={sys.argv[3]}")
connection.execute("CREATE TABLE events (a TEXT, v INTEGER, t TEXT, s BLOB, PRIMARY KEY (a, v))")
for number in range(int(sys.argv[2])):
    connection.execute("INSERT INTO events VALUES ('a', ?, 't', ?)", (number, b"x" * 100))
connection.close()
"""
CASES = {
    "aurora_es, always": (_AURORA, "always"),
    "aurora_es, 20ms": (_AURORA, "20ms"),
    "aurora_es, never": (_AURORA, "never"),
    "SQLite WAL, FULL": (_SQLITE, "FULL"),
    "SQLite WAL, NORMAL": (_SQLITE, "NORMAL"),
}


def count_syncs(program: str, mode: str, path: Path, commits: int) -> Counter[str]:
    """Run a program that makes so many commits; returns its calls."""
    log = path.with_suffix(".log")
    calls = "fsync,fdatasync,pwrite64,write"
    subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}"),
            *(sys.executable, "-c", program, str(path), str(commits), mode),
        ],
        cwd=ROOT,
        check=True,
    )
    return Counter(match[1] for match in map(_NAME.match, log.read_text().splitlines()) if match)


def syncs_of(calls: Counter[str]) -> int:
    """All syncs."""
    return calls["fsync"] + calls["fdatasync"]


def test_a_commit_takes_one_sync(tmp_path: Path) -> None:
    """Under ``always`` each further commit takes one sync, under ``never`` none."""
    for mode, expected in (("always", 100), ("never", 0)):
        few = syncs_of(count_syncs(_AURORA, mode, tmp_path / f"few {mode}", 20))
        many = syncs_of(count_syncs(_AURORA, mode, tmp_path / f"many {mode}", 120))
        # The mark is synced once a second.
        assert expected <= many - few <= expected + 5


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("name", CASES)
def test_syncs_of_many_commits(name: str, tmp_path: Path, reliability_factor: int) -> None:
    """Syncs and writes for each commit, creation and closing left out."""
    program, mode = CASES[name]
    commits = 100 * reliability_factor
    with Figures("E15", name, "commit") as figures:
        base = count_syncs(program, mode, tmp_path / "one", 1)
        calls = count_syncs(program, mode, tmp_path / "many", commits + 1)
        writes = calls["pwrite64"] + calls["write"] - base["pwrite64"] - base["write"]
        figures.trials = commits
        figures.is_exhaustive = True
        figures.counts["syncs per commit"] = round((syncs_of(calls) - syncs_of(base)) / commits, 3)
        figures.counts["writes per commit"] = round(writes / commits, 2)
