"""Every command that reads, on a store whose owner appends, rolls, seals, merges and cools meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition, Thread

import httpx2
import pytest

from tests.cli.support import environment, opened, refused, run_anew, started
from tests.cli.test_endings import ALL_COMMANDS
from tests.patience import PATIENCE_SECONDS

ROUNDS = 3
ID = "cargo-3"

# Appends as an application would, with snapshots, tracking records and a queue; looks after what it
# has rolled; and says how far it is.
OWNER = """
import sys
from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.journal import background
from aurora_es.queue.blocking import open_queue
from itertools import count
from threading import Event
root = sys.argv[1]
cycle, options = RollCycle.events(40), {'sync': Sync.NEVER, 'lock_timeout': 180}
def record(topic, at):
    state = b'{"at":%d}' % at
    return Record(topic=topic, state=state, originator_id=f"cargo-{at % 7}", originator_version=at // 7)
with (
    Journal.open(f"{root}/Ship/events", roll_cycle=cycle, **options) as events,
    Journal.open(f"{root}/Ship/snapshots", roll_cycle=cycle, **options) as snapshots,
    open_queue(f"{root}/orders", roll_cycle=RollCycle.events(20), **options) as queue,
):
    sender, receiver = queue.acquire_sender(), queue.subscribe("audit")
    group = queue.join("billing")
    pace = Event()
    for turn in count():
        pace.wait(0.02)  # so that what is to be read stays small
        records = [record("ship:Cargo.Moved", at) for at in range(10 * turn, 10 * turn + 10)]
        events.append(records, tracking=("Up", turn + 1))
        snapshots.append([record("ship:Cargo.Snapshot", 10 * turn)])
        sender.send({"turn": turn})
        receiver.next()
        receiver.commit()
        message = group.receive()
        group.park(message, "odd") if turn % 10 == 3 else group.acknowledge(message)
        if turn % 4 == 3:
            for journal in (events, snapshots):
                path = journal.handle.path
                background.seal(path)
                background.merge(path)
                background.cool(path, older_than_hours=0.0)
        if turn >= 11:
            print(events.last_position, flush=True)
"""


class Owner:
    """The process, and its store."""

    def __init__(self, root: Path, process: subprocess.Popen[str]) -> None:
        """Listen to ``process``, which is at work in ``root``."""
        self.root, self.process = root, process
        self._position, self._told = 0, Condition()
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in opened(self.process.stdout):
            with self._told:
                self._position = int(line)
                self._told.notify_all()
        with self._told:
            self._position = -1
            self._told.notify_all()

    def position(self) -> int:
        """Last position; waits until it has gone on."""
        with self._told:
            before = self._position
            went_on = self._told.wait_for(lambda: self._position != before, PATIENCE_SECONDS)
            if not went_on or self._position < 0:
                self.process.kill()
                raise AssertionError(opened(self.process.stderr).read())
            return self._position


@contextmanager
def _at_work(root: Path) -> Iterator[Owner]:
    (root / "Ship").mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OWNER, str(root)],
        env=environment(AURORA_BACKGROUND="n"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            owner = Owner(root, process)
            owner.position()
            yield owner
            owner.position()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    """A store whose owner is at work as long as these tests run."""
    with _at_work(tmp_path_factory.mktemp("live") / "store") as made:
        yield made


def _lines(*arguments: object) -> list[str]:
    done = run_anew(*arguments)
    good = {0, 5} if arguments[0] == "doctor" else {0}  # 5: there is something to do
    assert done.returncode in good, (arguments, done.stdout[-500:], done.stderr)
    assert not done.stderr, (arguments, done.stderr)
    return done.stdout.splitlines()


def _commands(root: Path, scratch: Path, at: int) -> dict[str, list[tuple[object, ...]]]:
    """Calls of all commands that read, by name; of those that change, what they would do."""
    events, application, queue = root / "Ship" / "events", root / "Ship", root / "orders"
    now = datetime.now(UTC).isoformat()
    return {
        "info": [("info", root), ("info", events, "--json")],
        "stats": [("stats", application), ("stats", events, "--json")],
        "ls": [("ls", application), ("ls", events, "--json")],
        "cat": [("cat", application), ("cat", events, "--originator", ID, "--json")],
        "tail": [("tail", application, "-n", 50), ("tail", events, "-n", 5, "--json")],
        "grep": [("grep", application, '"at":1'), ("grep", application, "Moved", "--json")],
        "at": [("at", application, now), ("at", events, now, "--json")],
        "streams": [("streams", application), ("streams", application, "--json")],
        "topics": [("topics", application), ("topics", application, "--json")],
        "show": [("show", application, ID), ("show", application, ID, "--json")],
        "diff": [("diff", application, ID, 1, 2), ("diff", application, ID, 1, 2, "--json")],
        "verify": [("verify", root), ("verify", application, "--json")],
        "doctor": [("doctor", root), ("doctor", root, "--json")],
        "export": [("export", "jsonl", scratch / f"lines{at}", application)],
        "import": [
            (
                "import",
                "jsonl",
                scratch / f"lines{at}",
                scratch / f"moved{at}" / "Ship",
                "--dry-run",
            )
        ],
        "fork": [("fork", application, scratch / f"fork{at}")],
        "backup": [("backup", root, scratch / "backups"), ("backup", root, scratch / "backups")],
        "restore": [("restore", scratch / "backups", scratch / f"restored{at}")],
        "queue": [
            *(("queue", name, queue) for name in ("names", "lag", "parked")),
            ("queue", "redeliver", queue, "billing", "--all", "--dry-run"),
            ("queue", "discard", queue, "billing", "--all", "--dry-run"),
            ("queue", "forget", queue, "audit", "--dry-run"),
            ("queue", "retain", queue, "--messages-max", 10, "--dry-run"),
        ],
        "retain": [("retain", events, "--before-position", 100, "--dry-run")],
        "compact": [("compact", root, "--dry-run")],
        "repair": [("repair", events, "--dry-run")],
    }


# What writes into the store and nowhere else, or is read in another way: see the tests of each.
_OTHERS = {"bench", "cool", "init", "merge", "projection", "rebuild", "seal", "set", "ui"}


def test_all_commands_read_a_live_store(owner: Owner, tmp_path: Path) -> None:
    """Each ends well, says nothing on stderr, and leaves its owner in peace."""
    assert {*_commands(owner.root, tmp_path, 0)} | _OTHERS == {*ALL_COMMANDS}
    for calls in _commands(owner.root, tmp_path, 0).values():
        owner.position()
        _lines(*calls[0])


@pytest.mark.slow
def test_all_forms_of_commands_read_a_live_store(owner: Owner, tmp_path: Path) -> None:
    """As JSON as well, and again while the store grows and others come out of it."""
    for at in range(ROUNDS):
        for calls in _commands(owner.root, tmp_path, at).values():
            for arguments in calls:
                owner.position()
                _lines(*arguments)


@pytest.mark.parametrize("start", [1, 37])
def test_cat_of_a_live_journal_leaves_nothing_out(owner: Owner, start: int) -> None:
    """Positions are one behind the other, up to what was there at the beginning, or more."""
    for _ in range(ROUNDS):
        last = owner.position()
        lines = _lines("cat", owner.root / "Ship", "--start", start, "--json")
        found = [json.loads(line)["position"] for line in lines]
        assert found == list(range(start, found[-1] + 1))
        assert found[-1] >= last


def test_tail_follows_over_rolls(owner: Owner) -> None:
    """Whatever becomes of the segment that is read, no position is missing."""
    with started("tail", "-f", owner.root / "Ship", "-n", 200, "--json") as process:
        stdout = opened(process.stdout)
        first = json.loads(stdout.readline())["position"]
        for position in range(first + 1, first + 500):
            assert json.loads(stdout.readline())["position"] == position


def test_the_page_shows_a_live_store(owner: Owner) -> None:
    """Its interface answers while segments are sealed and cooled."""
    pytest.importorskip("starlette")
    with started("ui", owner.root, "--port", 0) as process:
        address = opened(process.stdout).readline().split()[0]
        last = owner.position()
        for _ in range(ROUNDS * 5):
            for path in ("journals", "events", "streams", "topics", "segments", "lag"):
                found = httpx2.get(
                    f"{address}api/{path}",
                    params={"journal": "Ship/events"},
                    timeout=PATIENCE_SECONDS,
                )
                assert found.status_code in {200, 404}, (path, found.text)
                assert path not in {"journals", "events"} or found.status_code == 200
            owner.position()
        assert owner.position() > last


def test_commands_that_change_work_on_a_live_store(tmp_path: Path) -> None:
    """Beside an owner who does the same: one of them at a time, and both are content."""
    with _at_work(tmp_path / "store") as owner:
        journal = owner.root / "Ship" / "events"
        for arguments in (
            ("seal", owner.root),
            ("merge", owner.root, "--all"),
            ("cool", owner.root, "--older-than", "0s"),
            ("rebuild", journal, "--dry-run"),
            ("queue", "redeliver", owner.root / "orders", "billing", "--all", "--yes"),
            ("queue", "retain", owner.root / "orders", "--messages-max", 10),
            ("retain", journal, "--before-position", 50),
            ("compact", owner.root),
        ):
            owner.position()
            _lines(*arguments)
        assert "lists who has it open" in refused(1, "set", journal, "--sync", "5ms")
        _lines("verify", owner.root)
