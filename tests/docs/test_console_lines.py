"""Each ``$ aurora-es …`` line of the documentation does what it says, in a directory that is prepared.

There a user has what the pages speak of: an application ``bank:Bank`` with its store and an SQLite
database, a projection, a queue with a group that has parked a message. Places such as ``/srv`` are
directories beside. Lines that need another machine, a browser or a terminal are named below.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import environment, run
from tests.patience import PATIENCE_SECONDS
from tests.test_docs import PAGES, parse

# Elsewhere, for ever, or with questions; what they do has tests of its own.
LEFT_OUT = re.compile(
    r"\b(docker|ssh|sudo|pip|jq)\b|db\.local|postgres|tail -f|aurora-es ui|--install-completion"
)
USED = re.compile(r"\baurora-es\b|^mv ")
PLACES = {
    "/srv": "elsewhere",
    "/var/lib/bank/backups": "backups/store",
    "/var/lib": ".",
    "/backups": "backups",
    "/forks": "forks",
    "/tmp/trial": "trial",  # noqa: S108 - of the page
}
INSTEAD = {
    "--seconds 60": "",
    "aurora-es bench": "aurora-es bench --seconds 0.2",
    "backup store backups ": "backup store backups/another ",
    " ID ": " 6f1c2f6e-89ab-4cde-8f01-23456789abcd ",
    "billing --position 4": "billing --position 4 --yes",  # else it would ask
}
PREPARED = """
import os
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.projection import Projection, ProjectionRunner
from uuid import UUID
from aurora_es import JournaledView, ViewTable

class Account(Aggregate):
    @event("Opened")
    def __init__(self): self.balance = 0
    @event("Deposited")
    def deposit(self, amount, note=""): self.balance += amount
    @staticmethod
    def create_id(): return UUID("6f1c2f6e-89ab-4cde-8f01-23456789abcd")

class Bank(Application[UUID]):
    pass

class BalancesView(JournaledView):
    totals = ViewTable(str, int)

class Balances(Projection[BalancesView]):
    def process_event(self, domain_event, tracking):
        with self.view.transaction(tracking) as t:
            t.put(self.view.totals, "all", 1)

class CorrectedBalances(Balances):
    name = "Balances"
"""
MADE = """
import os, shutil
from aurora_es import Journal, Record
from aurora_es.queue.blocking import open_queue
from bank import Account, Balances, BalancesView, Bank, ProjectionRunner
account = Account()
for amount in range(9):
    account.deposit(amount, "overdraft")
with Bank(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": "bank.db"}) as bank:
    bank.save(account)
os.environ.update(PERSISTENCE_MODULE="aurora_es", AURORA_PATH="store")
again = Account()
for amount in range(9):
    again.deposit(amount, "overdraft")
with ProjectionRunner(
    application_class=Bank, projection_class=Balances, view_class=BalancesView
) as runner:
    runner.wait(runner.app.save(again)[-1].notification.id, timeout=180)
os.makedirs("store/Workshop", exist_ok=True)
for name in ("Workshop", "Bank"):
    with Journal.open(f"store/{name}/events") as journal:
        journal.append([Record(topic="t", state=b"{}", originator_id="cargo-7", originator_version=1)])
from aurora_es.care import backup
backup("store", "backups/store")
with open_queue("orders.queue") as queue:
    sender = queue.acquire_sender()
    for number in range(6):
        sender.send({"number": number})
    queue.subscribe("audit").close()
    with queue.join("billing", prefetch=6) as member:
        for _ in range(4):
            message = member.receive()
            member.park(message, "odd") if message.position == 4 else member.acknowledge(message)
"""

FOR_A_SHELL = re.compile(r"[|&;<>$`*?~#(){}]")


def lines_of(page: Path) -> list[str]:
    """What users type on a page, but for what is left out."""
    found = []
    for block in parse(page.read_text("utf-8")).blocks:
        if block.info[:1] == ("console",):
            text = "\n".join(block.lines).replace("\\\n", " ")
            found += [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return [line for line in found if USED.search(line) and not LEFT_OUT.search(line)]


def adapted(line: str) -> str:
    """A line with places that we may write to."""
    for text, other in INSTEAD.items():
        line = line.replace(text, other)
    for place, here in PLACES.items():
        line = re.sub(rf"(?<=[\s=]){place}(?=[/\s)]|$)", here, line)
    return line


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of."""
    directory = tmp_path_factory.mktemp("user")
    (directory / "bank.py").write_text(PREPARED)
    for name in ("backups", "forks", "elsewhere"):
        (directory / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-c", MADE],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory


def done_by_user(line: str, directory: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    """Run a line; what needs no shell is run without one, and without the start of Python."""
    settings = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": "store"}
    command, *arguments = shlex.split(line)
    if command == "aurora-es" and not FOR_A_SHELL.search(line):
        return run(*arguments, directory=directory, **settings)
    return subprocess.run(
        ["bash", "-c", line],
        cwd=directory,
        env=environment(PATH=f"{programs}:{os.environ['PATH']}", **settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if lines_of(page) and page.parent.name != "reference"],
    ids=lambda page: page.name,
)
def test_all_lines_of_a_page_work(prepared: Path, tmp_path: Path, page: Path) -> None:
    """In their order, each on what the one before has left."""
    directory = tmp_path / "user"
    shutil.copytree(prepared, directory)
    if page.name == "move-from-sqlite.md":
        shutil.rmtree(directory / "store")  # it is what the page makes
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "aurora-es"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m aurora_es.cli "$@"\n')
    script.chmod(0o755)
    told = []
    for line in map(adapted, lines_of(page)):
        done = done_by_user(line, directory, tmp_path / "bin")
        good = {0, 5} if "doctor" in line else {0}
        if done.returncode not in good:
            told.append(f"$ {line}\n{done.returncode}: {done.stderr or done.stdout}")
    assert told == []
