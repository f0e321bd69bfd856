"""Makes stores to look at, as large as wanted, with times spread over two weeks."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal import background
from aurora_es.journal.creation import Settings
from aurora_es.queue.blocking import open_queue
from tests.ui.bank import Account

APP = "tests.ui.bank:Bank"
_TOPIC = "tests.ui.bank:Account"
_OPENED_SHARE = 0.06
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
        records = _records(events, lambda: time)
        for number in range(commits):
            time = _BEGIN + _elapsed(number / commits)
            journal.append(list(islice(records, _COMMIT_EVENTS)))
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
    return timedelta(days=int(days) + hour - 0.08 * math.sin(2 * math.pi * hour + 0.6) + 0.05)


def _records(count: int, time_of: Callable[[], datetime]) -> Iterator[Record]:
    """Events of accounts, as Bank writes them; a few accounts have far more than the others."""
    draw = random.Random(8)
    versions: list[int] = []  # by the number of the account
    ids: list[UUID] = []
    for _ in range(count):
        if not ids or draw.random() < _OPENED_SHARE:
            number = len(ids)
            ids.append(account_id(number))
            versions.append(0)
            name, content = "Opened", _opening(number, draw)
        else:
            number = int(len(ids) * draw.random() ** 3)
            name, content = _change(draw)
        versions[number] += 1
        time = f'{{"timestamp":{{"_type_":"datetime_iso","_data_":"{time_of().isoformat()}"}},'
        yield Record(
            topic=f"{_TOPIC}.{name}",
            state=f"{time}{content}}}".encode(),
            originator_id=ids[number],
            originator_version=versions[number],
        )


def _opening(number: int, draw: random.Random) -> str:
    owner, currency = draw.choice(_OWNERS), draw.choice(("EUR", "GHS", "JPY"))
    return (
        f'"originator_topic":"{_TOPIC}","number":{number},"owner":"{owner}","currency":"{currency}"'
    )


def _change(draw: random.Random) -> tuple[str, str]:
    """Name and content of an event."""
    kind = draw.randrange(20)
    if kind == 0:
        return (
            "Moved",
            f'"street":"{draw.randrange(1, 99)} Harbour Street","city":"{draw.choice(_CITIES)}"',
        )
    if kind == 1:
        return "Frozen", f'"reason":"{"suspicious" if draw.random() < 0.3 else ""}"'
    name = "Deposited" if kind < 12 else "Withdrawn"
    amount = f"{draw.randrange(1, 900)}.{draw.randrange(10, 100)}"
    reference = draw.choice(_REFERENCES)
    return (
        name,
        f'"amount":{{"_type_":"decimal_str","_data_":"{amount}"}},"reference":"{reference}"',
    )
