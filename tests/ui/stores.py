"""Makes stores to look at, as large as wanted, with times spread over two weeks."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal import background
from aurora_es.journal.creation import Settings
from aurora_es.queue.blocking import open_queue
from tests.ui.bank import Account, Bank

APP = "tests.ui.bank:Bank"
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\u202e"
EVENTS_OF_SLOW_TESTS = 1_000_000
_BEGIN = datetime(2026, 11, 11, tzinfo=UTC)
_DAYS = 14
_COMMIT_EVENTS = 250
_OWNERS = ("Ada Lovelace", "Zoë Müller", "Kwame Mensah", "Mei Lin", "José García", "Aino Virtanen")
_CITIES = ("Oslo", "Kyoto", "Accra", "Lima", "Graz", "Galway")
_REFERENCES = ("rent", "salary", "groceries", "books", "concert", "coffee", "train", "insurance")


def account_id(number: int) -> UUID:
    """The id of an account, the same in every store."""
    return Account.create_id(number)


def make_store(root: Path, *, events: int) -> Path:
    """Make an AURORA_PATH with the journals of Bank, its followers and a queue; returns ``root``."""
    path = root / "Bank" / "events"
    path.parent.mkdir(parents=True)
    commits = -(-events // _COMMIT_EVENTS)
    time = _BEGIN
    effects = replace(SYSTEM_EFFECTS, clock=lambda: round(time.timestamp() * 1_000_000))
    settings = Settings(Sync.NEVER, RollCycle.DAY, name="Bank")
    with Journal(effects, str(path), settings) as journal:
        records = _records(events)
        for number in range(commits):
            time = _BEGIN + _elapsed(number / commits)
            journal.append([record for _, record in zip(range(_COMMIT_EVENTS), records)])  # noqa: B905
    background.seal(str(path))
    background.cool(str(path), older_than_hours=7 * 24, effects=effects)
    background.merge(str(path))
    for name, reached in (("Statements", events - 3), ("Fraud", events * 9 // 10)):
        _follow(root / name / "events", name=name, reached=reached)
    _make_queue(root / "payments")
    return root


def make_hostile_store(root: Path) -> Path:
    """Make a journal whose topics, ids, tags and states are markup and worse; returns it."""
    path = root / "events"
    with Journal.open(path, sync=Sync.NEVER) as journal:
        for version in (1, 2):
            journal.append(
                [
                    Record(
                        topic=HOSTILE,
                        state=f'{{"{HOSTILE}": "{HOSTILE}"}}'.encode(),
                        originator_id=HOSTILE,
                        originator_version=version,
                        tags=(HOSTILE,),
                        metadata={HOSTILE: HOSTILE},
                    )
                ],
                tracking=(HOSTILE, version),
            )
        journal.append([Record(topic="text", state=HOSTILE.encode())])
        journal.append([Record(topic="bytes", state=b"\x80\x00</script>")])
    return path


def append_deposit(root: Path, amount: int) -> None:
    """Append an event to the account that only tests like this one use."""
    with Journal.open(root / "Bank" / "events") as journal:
        journal.append(
            [
                Record(
                    topic="tests.ui.bank:Account.Deposited",
                    state=f'{{"amount":{amount},"reference":"live"}}'.encode(),
                    originator_id=UUID(int=7),
                    originator_version=amount,
                )
            ]
        )


def _follow(path: Path, *, name: str, reached: int) -> None:
    """Make the journal of an application that follows Bank."""
    path.parent.mkdir(parents=True)
    with Journal(SYSTEM_EFFECTS, str(path), Settings(Sync.NEVER, name=name)) as journal:
        journal.append([Record(topic="followed", state=b"{}")], tracking=("Bank", reached))


def _make_queue(path: Path) -> None:
    """Make a queue with a receiver that is behind and a group that has parked a message."""
    with open_queue(path, sync=Sync.NEVER) as queue:
        sender = queue.acquire_sender()
        for number in range(40):
            sender.send(f"payment {number}")
        with queue.subscribe("ledger") as ledger:
            ledger.next_batch(25)
            ledger.commit()
        with (
            queue.join("mailers", attempts_max=1) as member,
            suppress(LookupError),
            member.take(),
        ):
            raise LookupError


def _elapsed(share: float) -> timedelta:
    """When this share of the events is recorded: more at noon, fewer at night, and a busy day."""
    days = _DAYS * share
    hour = days % 1
    return timedelta(days=int(days) + hour - 0.12 * math.sin(2 * math.pi * hour + 0.6) + 0.07)


def _records(count: int) -> Iterator[Record]:
    """Events of accounts as Bank writes them; a few accounts have far more than the others."""
    mapper = Bank(env={"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": ":memory:"}).mapper
    draw = random.Random(8)
    accounts: list[Account] = []
    made = 0
    while made < count:
        if not accounts or draw.random() < 0.06:
            owner, currency = draw.choice(_OWNERS), draw.choice(("EUR", "GHS", "JPY"))
            account = Account(number=len(accounts), owner=owner, currency=currency)
            accounts.append(account)
        else:
            account = accounts[int(len(accounts) * draw.random() ** 3)]
            _change(account, draw)
        for event in account.collect_events():
            stored = mapper.to_stored_event(event)
            made += 1
            yield Record(
                topic=stored.topic,
                state=stored.state,
                originator_id=stored.originator_id,
                originator_version=stored.originator_version,
            )


def _change(account: Account, draw: random.Random) -> None:
    amount = Decimal(draw.randrange(100, 90_000)) / 100
    match draw.randrange(20):
        case 0:
            account.move(f"{draw.randrange(1, 99)} Harbour Street", draw.choice(_CITIES))
        case 1:
            account.freeze("suspicious" if draw.random() < 0.3 else "")
        case number if number < 12:
            account.deposit(amount, draw.choice(_REFERENCES))
        case _:
            account.withdraw(amount, draw.choice(_REFERENCES))
