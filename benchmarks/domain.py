"""What the rows of the domain model measure: an aggregate of dataclass events, and its view.

Run as a module it is the other process of a row: a projection that runs until its input ends.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import JSONTranscoder, Tracking
from eventsourcing.projection import Projection, ProjectionRunner

from aurora_es import AuroraApplication, JournaledView, ViewTable


class Account(Aggregate):
    """An aggregate whose events are dataclasses that apply themselves."""

    class Opened(Aggregate.Created):
        """Nothing is on it."""

        owner: str

    class Deposited(Aggregate.Event):
        """Four fields, of which one is a Decimal and one a UUID."""

        amount: Decimal
        reference: UUID
        note: str
        number: int

        def apply(self, aggregate: Account) -> None:
            """Add."""
            aggregate.balance += self.amount

    @event(Opened)
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance = Decimal(0)

    def deposit(self, number: int) -> None:
        """Put something on it."""
        self.trigger_event(
            self.Deposited,
            amount=Decimal("12.50"),
            reference=uuid4(),
            note="a deposit like any other",
            number=number,
        )


def deposited() -> Any:
    """One event."""
    account = Account(owner="somebody")
    account.deposit(7)
    return account.pending_events[-1]


class Bank(Application[UUID]):
    """The library's application."""

    name = "Bank"


class FastBank(AuroraApplication[UUID]):
    """Ours."""

    name = "Bank"


def save_account(application: Application[UUID], events: int) -> UUID:
    """Save an account of so many events in one commit."""
    account = Account(owner="somebody")
    for number in range(events - 1):
        account.deposit(number)
    application.save(account)
    return account.id


class BalancesView(JournaledView):
    """Number of events of each account."""

    counts = ViewTable(UUID, int)

    def count(self, account_id: UUID, tracking: Tracking) -> None:
        """Count one."""
        with self.transaction(tracking) as t:
            t.put(self.counts, account_id, t.get(self.counts, account_id, 0) + 1)


class Balances(Projection[BalancesView]):
    """Counts events."""

    name = "Balances"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Count it."""
        self.view.count(domain_event.originator_id, tracking)


def run_balances(
    env: Mapping[str, str], runner_class: Any = ProjectionRunner
) -> ProjectionRunner[Bank, BalancesView]:
    """A runner of the projection."""
    return runner_class(  # type: ignore[no-any-return]
        application_class=Bank,
        projection_class=Balances,
        view_class=BalancesView,
        env=dict(env),
    )


def transcoder() -> JSONTranscoder:
    """A transcoder as an application constructs it."""
    made = JSONTranscoder()
    Bank(env={"PERSISTENCE_MODULE": "eventsourcing.popo"}).register_transcodings(made)
    return made


def settings(path: str, **more: str) -> dict[str, str]:
    """Settings of a store of ours that syncs nothing."""
    fixed = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": path, "AURORA_SYNC": "never"}
    return fixed | more


if __name__ == "__main__":
    with run_balances(settings(sys.argv[1], AURORA_MAPPER="msgpack")):
        print("ready", flush=True)
        sys.stdin.readline()
