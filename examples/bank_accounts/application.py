"""The aggregate and the application; nothing here knows where events are stored."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, MutableOrImmutableAggregate, event

EVENTS_PER_SNAPSHOT = 50


class InsufficientFundsError(Exception):
    """More was to be withdrawn than the account holds."""


class BankAccount(Aggregate):
    """An account with a balance that never falls below zero."""

    class Opened(Aggregate.Created):
        """The account was opened, without any money."""

        owner: str

    class Deposited(Aggregate.Event):
        """Money was put into the account."""

        amount: Decimal

    class Withdrawn(Aggregate.Event):
        """Money was taken from the account."""

        amount: Decimal

    @event(Opened)
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance = Decimal(0)

    @event(Deposited)
    def deposit(self, amount: Decimal) -> None:
        """Put money into the account."""
        self.balance += amount

    def withdraw(self, amount: Decimal) -> None:
        """Take money from the account; raises InsufficientFundsError, and then nothing happened."""
        if amount > self.balance:
            raise InsufficientFundsError(f"{self.owner} has {self.balance}, not {amount}")
        self._withdraw(amount)

    @event(Withdrawn)
    def _withdraw(self, amount: Decimal) -> None:
        self.balance -= amount


class BankAccounts(Application[UUID]):
    """Opens accounts and moves money; takes a snapshot of an account now and then."""

    is_snapshotting_enabled = True
    snapshotting_intervals: ClassVar[dict[type[MutableOrImmutableAggregate[UUID]], int]] = {
        BankAccount: EVENTS_PER_SNAPSHOT
    }

    def open_account(self, owner: str) -> UUID:
        """Open an account and return its id."""
        account = BankAccount(owner)
        self.save(account)
        return account.id

    def account(self, account_id: UUID, *, version: int | None = None) -> BankAccount:
        """Return an account as it is, or as it was at one of its versions."""
        return self.repository.get(account_id, version=version)

    def deposit(self, account_id: UUID, amount: Decimal) -> None:
        """Put money into an account."""
        account = self.account(account_id)
        account.deposit(amount)
        self.save(account)

    def transfer(self, *, source_id: UUID, target_id: UUID, amount: Decimal) -> None:
        """Move money between two accounts in one commit: it is never lost, and never doubled."""
        source, target = self.account(source_id), self.account(target_id)
        source.withdraw(amount)
        target.deposit(amount)
        self.save(source, target)
