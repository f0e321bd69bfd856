"""An application whose events are looked at."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

_NAMESPACE = UUID("6f1c2f6e-89ab-4cde-8f01-23456789abcd")


class Account(Aggregate):
    """A bank account with an address, a balance and its last entries."""

    @event("Opened")
    def __init__(self, number: int, owner: str, currency: str) -> None:
        """Open an account without money."""
        self.number = number
        self.owner = owner
        self.currency = currency
        self.balance = Decimal(0)
        self.address: dict[str, str] = {}
        self.entries: list[str] = []
        self.is_frozen = False

    @staticmethod
    def create_id(number: int) -> UUID:
        """The same id for a number in every store."""
        return uuid5(_NAMESPACE, str(number))

    @event("Moved")
    def move(self, street: str, city: str) -> None:
        """Change the address."""
        self.address = {"street": street, "city": city}

    @event("Deposited")
    def deposit(self, amount: Decimal, reference: str) -> None:
        """Put money in."""
        self.balance += amount
        self.entries = [*self.entries[-4:], f"+{amount} {reference}"]

    @event("Withdrawn")
    def withdraw(self, amount: Decimal, reference: str) -> None:
        """Take money out."""
        self.balance -= amount
        self.entries = [*self.entries[-4:], f"-{amount} {reference}"]

    @event("Frozen")
    def freeze(self, reason: str) -> None:
        """Let no money move."""
        self.is_frozen = bool(reason)


class Bank(Application[UUID]):
    """Keeps accounts."""
