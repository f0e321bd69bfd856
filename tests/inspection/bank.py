"""An application whose stores are looked at, with a transcoding and a projector of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, DomainEvent, event
from eventsourcing.persistence import JSONTranscoder, Transcoding

CONSTRUCTED: list[str] = []


class Iban(str):
    """A type that only this application's transcodings know."""

    __slots__ = ()


class IbanAsText(Transcoding):
    """Stores an ``Iban``."""

    type = Iban
    name = "iban"

    def encode(self, obj: Iban) -> str:
        """Return its text."""
        return str(obj)

    def decode(self, data: str) -> Iban:
        """Return it as it was."""
        return Iban(data)


class Account(Aggregate):
    """An account."""

    @event("Opened")
    def __init__(self, owner: str, iban: Iban) -> None:
        """Open it."""
        self.owner = owner
        self.iban = iban
        self.balance = Decimal(0)
        self.notes: list[str] = []

    @event("Credited")
    def credit(self, amount: Decimal, note: str) -> None:
        """Add to the balance."""
        self.balance += amount
        self.notes.append(note)

    @event("Closed")
    def close(self) -> None:
        """Say so."""
        self.owner = ""


class Bank(Application[UUID]):
    """The application; it notes that it was constructed."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        """Construct it."""
        super().__init__(env)
        CONSTRUCTED.append(self.name)

    def register_transcodings(self, transcoder: JSONTranscoder) -> None:
        """Add the one of ours."""
        super().register_transcodings(transcoder)
        transcoder.register(IbanAsText())


@dataclass(frozen=True)
class Counted(DomainEvent):
    """An event without ``mutate``."""

    by: int


@dataclass(frozen=True)
class Counter:
    """What ``project`` makes."""

    id: UUID
    version: int
    count: int


def project(counter: Counter | None, events: Iterable[Any]) -> Counter | None:
    """Rebuild a counter."""
    for counted in events:
        before = 0 if counter is None else counter.count
        counter = Counter(counted.originator_id, counted.originator_version, before + counted.by)
    return counter


def settings(root: Path, **more: str) -> dict[str, str]:
    """The environment of an application with its store in ``root``."""
    return {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": str(root),
        "AURORA_SYNC": "never",
        "AURORA_ROLL_CYCLE": "8events",
        "AURORA_BACKGROUND": "n",
        **more,
    }


def make_bank(root: Path, accounts: int = 5, credited: int = 3, **more: str) -> list[UUID]:
    """Fill a store with accounts, each credited that many times; returns their ids."""
    bank = Bank(settings(root, **more))
    ids = []
    for number in range(accounts):
        account = Account(owner=f"Zoë {number}", iban=Iban(f"DE{number:04d}"))
        for at in range(credited):
            account.credit(Decimal(at) + Decimal("0.50"), f"note {at}")
        bank.save(account)
        ids.append(account.id)
    bank.close()
    return ids


def make_counters(root: Path, count: int) -> UUID:
    """Fill a store with events that have no ``mutate``; returns the id of their aggregate."""
    bank = Bank(settings(root))
    originator_id = UUID(int=7)
    for version in range(1, count + 1):
        bank.save(
            Counted(
                originator_id=originator_id,
                originator_version=version,
                timestamp=datetime.now(UTC),
                by=version,
            )
        )
    bank.close()
    return originator_id
