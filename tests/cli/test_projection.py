"""``aurora-es projection rebuild``, on a user's own classes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import COMMAND, environment, run
from tests.cli.terminal import run_at_terminal
from tests.patience import PATIENCE_SECONDS

BANK = """
from uuid import UUID
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.projection import Projection, ProjectionRunner
from aurora_es import JournaledView, ViewTable

class Account(Aggregate):
    @event("Opened")
    def __init__(self): self.balance = 0
    @event("Deposited")
    def deposit(self, amount): self.balance += amount

class Bank(Application[UUID]):
    def open(self):
        account = Account()
        for amount in range(9):
            account.deposit(amount)
        return self.save(account)[-1].notification.id

class BalancesView(JournaledView):
    totals = ViewTable(str, int)

class Balances(Projection[BalancesView]):
    factor = 1
    def process_event(self, domain_event, tracking):
        with self.view.transaction(tracking) as t:
            amount = getattr(domain_event, "amount", 0) * self.factor
            t.put(self.view.totals, "all", t.get(self.view.totals, "all", 0) + amount)

class Doubled(Balances):
    name = "Balances"
    factor = 2

class Untyped(Projection):
    name = "Balances"
    process_event = Balances.process_event

def main(count):
    with ProjectionRunner(
        application_class=Bank, projection_class=Balances, view_class=BalancesView
    ) as runner:
        for _ in range(count):
            runner.wait(runner.app.open(), timeout=180)
        print(runner.view.totals.get("all"))
"""
SETTINGS = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_SYNC": "never"}


def start(directory: Path, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a command in the user's directory, with the user's settings."""
    return subprocess.run(
        [*map(str, command)],
        cwd=directory,
        env=environment(**SETTINGS, AURORA_PATH=str(directory / "store")),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def rebuild(directory: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``projection rebuild`` there."""
    return start(directory, *COMMAND, "projection", "rebuild", *arguments)


def run_projection(directory: Path, count: int) -> subprocess.CompletedProcess[str]:
    """Run the projection over all events and ``count`` new accounts; prints what the view says."""
    return start(directory, sys.executable, "-c", f"import bank; bank.main({count})")


def total(directory: Path) -> str:
    """What the live view says, once a runner has caught up."""
    return run_projection(directory, 0).stdout.strip()


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """A directory with a module and a store of 20 events, all of them projected."""
    (tmp_path / "bank.py").write_text(BANK)
    done = run_projection(tmp_path, 2)
    assert done.stdout == "72\n", done.stderr
    return tmp_path


def test_a_view_is_rebuilt_by_the_name_of_its_projection(bank: Path) -> None:
    """Application and view are found by the projection; the live view is what the new class makes."""
    done = rebuild(bank, "bank:Doubled", "--page-size", 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Balances: rebuilt from Bank up to position 20\n"
    assert total(bank) == "144"
    named = ("--app", "bank:Bank", "--view", "bank:BalancesView")
    done = rebuild(bank, "bank:Balances", *named, "--json")
    assert json.loads(done.stdout) == {
        "projection": "Balances",
        "application": "Bank",
        "position": 20,
    }
    assert total(bank) == "72"


def test_an_application_that_was_restored(bank: Path) -> None:
    """What the runner refuses to go on with names the command, and the command is the cure."""
    store = bank / "store"
    assert run("backup", store / "Bank", bank / "backup").returncode == 0
    shutil.rmtree(store / "Bank")
    events = ("restore", bank / "backup", store / "Bank", "--position", 10)
    assert run(*events).returncode == 0
    assert "`aurora-es projection rebuild`" in run_projection(bank, 0).stderr
    assert rebuild(bank, "bank:Balances").stdout.endswith("up to position 10\n")
    assert total(bank) == "36"


WRONG: tuple[tuple[int, tuple[str, ...], str], ...] = (
    (2, ("bank",), "expected module:Class"),
    (2, ("bank:Doubled", "--page-size", "0"), "--page-size"),
    (2, ("bank:Untyped",), "--view"),
    (2, ("other:Projected",), "--app"),
    (1, ("bank:Bank", "--view", "bank:BalancesView"), "expected a subclass of Projection"),
    (1, ("bank:Missing",), "expected a class Missing in bank, found none"),
    (1, ("bankk.views:Balances",), "bankk.views: expected a module in"),
    (1, ("bank:Doubled", "--view", "bank:Account"), "expected a subclass of JournaledView"),
    (1, ("bank:Doubled", "--app", "bank:Account"), "expected a subclass of Application"),
)


def test_what_cannot_be_meant_is_told(bank: Path) -> None:
    """A form that is none is a wrong argument; what is not there is named; nothing is changed."""
    (bank / "other.py").write_text("from bank import Balances\nclass Projected(Balances): pass\n")
    settings = SETTINGS | {"AURORA_PATH": str(bank / "store")}
    for code, arguments, said in WRONG:
        done = run("projection", "rebuild", *arguments, directory=bank, **settings)
        assert done.returncode == code, done.stderr
        assert said in " ".join(re.sub(r"[│╭╮╰╯─]", "", done.stderr).split())
        assert "Traceback" not in done.stderr
    assert total(bank) == "72"


def test_an_error_of_the_users_own_is_shown_as_it_is(bank: Path) -> None:
    """A module that a module lacks is the user's to see, with the place."""
    (bank / "lame.py").write_text("import nowhere_to_be_found\n")
    done = rebuild(bank, "lame:Balances")
    assert "Traceback" in done.stderr
    assert "nowhere_to_be_found" in done.stderr


def test_a_terminal_shows_a_bar(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar tells how far it is; the result stays."""
    monkeypatch.chdir(bank)
    shown = run_at_terminal(
        "projection",
        "rebuild",
        "bank:Doubled",
        columns=200,
        AURORA_PATH=str(bank / "store"),
        **SETTINGS,
    )
    plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", shown)
    assert "rebuilding bank:Doubled" in plain
    assert plain.rstrip().endswith("up to position 20")
