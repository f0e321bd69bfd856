"""``aurora-es queue``: on queues in use, behind a pipe, at a terminal and as JSON."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aurora_es import RollCycle, Sync
from aurora_es.care import backup, restore
from aurora_es.queue.blocking import Queue, open_queue
from tests.cli.support import refused, run
from tests.cli.terminal import answer_at_terminal
from tests.cli.test_endings import snapshot
from tests.patience import PATIENCE_SECONDS


class Order(msgspec.Struct):
    """A message as users define them."""

    number: int
    note: str = ""


def fill(queue: Queue, *, parked: int = 2) -> None:
    """Send ten messages; one receiver has committed four, a group is done with three."""
    sender = queue.acquire_sender()
    for number in range(1, 9):
        sender.send(Order(number), key=f"customer {number}")
    sender.send(b"\x00raw")
    sender.send({"tab\there": [1.5, None]}, headers={"by": "import"})
    receiver = queue.subscribe("audit")
    for _ in range(4):
        receiver.next()
    receiver.commit()
    member = queue.join("billing", prefetch=3 + parked)
    for _ in range(3):
        member.acknowledge(member.receive())
    for _ in range(parked):
        message = member.receive()
        member.park(message, f"no such\tcustomer: {message.position}")
    member.close()
    queue.subscribe("idle").close()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A queue that is open in another thread of tasks, so to speak: in this process."""
    cycle = RollCycle.events(2)
    with open_queue(tmp_path / "orders", sync=Sync.NEVER, roll_cycle=cycle) as queue:
        fill(queue)
        yield tmp_path / "orders"


def lines(*arguments: object) -> list[list[str]]:
    """Fields of the lines that a command of the queue prints."""
    done = run("queue", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split("\t") for line in done.stdout.splitlines()]


def told(*arguments: object) -> Any:
    """What a command of the queue prints as JSON."""
    return json.loads(run("queue", *arguments, "--json").stdout)


def test_names_and_lag(path: Path) -> None:
    """Where each name is, as lines and as JSON; nothing is written, also beside the journals."""
    before = snapshot(path)
    assert lines("names", path) == [
        ["audit", "receiver", "4", "6", "0", "0", "5"],
        ["billing", "group", "5", "5", "0", "2", "4"],
        ["idle", "receiver", "0", "10", "0", "0", "1"],
    ]
    report = told("names", path / "messages")
    assert (report["path"], report["first_position"], report["last_position"]) == (
        str(path / "messages"),
        1,
        10,
    )
    assert report["names"][1] == {
        "name": "billing",
        "kind": "group",
        "position": 5,
        "lag": 5,
        "held": 0,
        "parked": 2,
        "needed_from": 4,
    }
    assert lines("lag", path) == [["audit", "6"], ["billing", "5"], ["idle", "10"]]
    assert lines("lag", path, "billing") == [["5"]]
    assert told("lag", path, "audit") == {"last_position": 10, "lag": {"audit": 6}}
    assert snapshot(path) == before


def test_parked_messages_are_shown_with_their_values(path: Path) -> None:
    """By group and position, escaped; values as JSON, or as base64 where they are none."""
    (first, second) = lines("parked", path)
    assert first[:2] == ["billing", "4"]
    assert first[3:] == ["1", "customer 4", "Order", r"no such\tcustomer: 4"]
    assert lines("parked", path, "billing", "--position", 5, "--body") == [
        [*second, '{"number":5,"note":""}']
    ]
    one = told("parked", path, "--position", 4, "billing")
    assert (one["type"], one["value"], one["headers"]) == ("Order", {"number": 4, "note": ""}, None)
    done = run("queue", "parked", path, "--position", 4)
    assert done.returncode == 2
    with open_queue(path) as queue:
        member = queue.join("billing", prefetch=5)
        for _ in range(5):
            member.park(member.receive(), "?")
    values = [line[-1] for line in lines("parked", path, "--body")[-2:]]
    assert values == ['{"base64":"AHJhdw=="}', r'{"tab\there":[1.5,null]}']


def test_parked_messages_are_handed_out_again(path: Path) -> None:
    """A dry run changes nothing; without --yes nobody is asked behind a pipe; then they come."""
    chosen = ("redeliver", path, "billing", "--position", 4)
    assert lines(*chosen, "--dry-run") == [["would redeliver 1 parked message of 'billing'"]]
    assert "add --yes" in refused(1, "queue", *chosen)
    assert len(lines("parked", path)) == 2
    assert lines(*chosen, "--yes") == [["did redeliver 1 parked message of 'billing'"]]
    assert [line[1] for line in lines("parked", path)] == ["5"]
    with open_queue(path) as queue:
        message = queue.join("billing").receive(timeout=PATIENCE_SECONDS)
        assert (message.position, message.attempts) == (4, 1)
    found = told("redeliver", path, "billing", "--all", "--yes")
    assert found == {
        "group": "billing",
        "action": "redeliver",
        "positions": [5],
        "changed": True,
    }
    assert lines("parked", path) == []


def test_parked_messages_are_discarded(path: Path) -> None:
    """They are handed out no more, and no longer kept from retention; at a terminal one is asked."""
    discard = ("queue", "discard", path, "billing", "--all")
    shown = answer_at_terminal("n\n", *discard)
    assert "Discard 2 parked messages of 'billing'? [y/N]" in shown
    assert "nothing was changed" in shown
    assert len(lines("parked", path)) == 2
    assert "did discard 2 parked messages" in answer_at_terminal("y\n", *discard)
    assert lines("parked", path) == []
    assert lines("lag", path, "billing") == [["5"]]
    assert told(*discard[1:], "--dry-run")["positions"] == []


def test_retention_respects_the_names(path: Path) -> None:
    """What a name needs stays; once it is forgotten, the next name's is kept."""
    retain = ("retain", path, "--messages-max", 0)
    ((first,), (second,)) = lines(*retain, "--dry-run")
    assert "would drop 0 segments, 0 messages, 0 B; retained from position 1" in first
    assert second == "idle needs position 1 and all behind it"
    forget = ("forget", path, "idle")
    assert "forget the receiver 'idle'" in lines(*forget, "--dry-run")[0][0]
    refused(1, "queue", *forget)
    assert told(*forget, "--yes") == {
        "name": "idle",
        "kind": "receiver",
        "position": 0,
        "changed": True,
    }
    report = told(*retain)
    assert (report["dropped_messages"], report["retained_from"]) == (2, 3)
    assert report["needed_from"] == {"audit": 5, "billing": 4}
    assert told("names", path)["first_position"] == 3
    assert run("verify", path).returncode == 0


def test_retain_of_a_journal_knows_no_names_and_says_so(path: Path) -> None:
    """A queue with names, and its journals, are refused; the message names the command that works."""
    for name in ("", "messages", "cursors"):
        message = refused(1, "retain", path / name, "--bytes-max", 0)
        command = re.search(r"run `aurora-es (queue retain .*)`, or with another bound", message)
        assert command is not None, message
        assert run(*shlex.split(command[1])).returncode == 0
    with open_queue(path.parent / "nameless", sync=Sync.NEVER) as queue:
        queue.acquire_sender().send(b"1")
    assert run("retain", path.parent / "nameless", "--bytes-max", 0).returncode == 0


def test_what_cannot_be_meant_is_told(path: Path) -> None:
    """No queue, no such name, a receiver that parks nothing, a position that is not parked."""
    said = [
        (("names", path.parent), "expected a queue"),
        (("names", path.parent / "missing"), "no such directory"),
        (("lag", path, "bill"), "found 'bill'; in use: 'audit', 'billing', 'idle'"),
        (("parked", path, "audit"), "is the name of a receiver"),
        (("redeliver", path, "billing", "--position", 6), "found 6, which is not parked"),
        (("forget", path, "nobody", "--yes"), "found 'nobody'"),
    ]
    for arguments, expected in said:
        assert expected in refused(1, "queue", *arguments)
    for arguments in (
        ("retain", path),
        ("retain", path, "--messages-max", "-1"),
        ("discard", path, "billing"),
        ("discard", path, "billing", "--all", "--position", "4"),
        ("redeliver", path),
    ):
        assert run("queue", *arguments).returncode == 2


def test_messages_that_were_taken_back(path: Path) -> None:
    """Looking shows nothing of them, and whoever opens the queue next takes cursors back, too."""
    messages = path / "messages"
    backup(messages, path.parent / "backup")
    shutil.rmtree(messages)
    restore(path.parent / "backup", messages, position=4)
    assert [line[1] for line in lines("parked", path)] == ["4"]
    assert lines("lag", path) == [["audit", "0"], ["billing", "0"], ["idle", "4"]]
    assert told("redeliver", path, "billing", "--all", "--yes")["positions"] == [4]
    assert lines("names", path)[1][:4] == ["billing", "group", "4", "1"]


def test_a_queue_without_names(tmp_path: Path) -> None:
    """Has nothing to list, and none of it is made by looking."""
    with open_queue(tmp_path / "q", sync=Sync.NEVER) as queue:
        queue.acquire_sender().send(b"1")
    for command in ("names", "lag", "parked"):
        assert lines(command, tmp_path / "q") == []
    assert [one.name for one in (tmp_path / "q").iterdir()] == ["messages"]
    assert "in use: none" in refused(1, "queue", "lag", tmp_path / "q", "a")


def test_a_queue_stands_for_its_messages(path: Path) -> None:
    """Commands that look at one journal take the directory of a queue, with and without names."""
    with open_queue(path) as queue:
        queue.acquire_sender().send("seen by people")
    printed = run("cat", path, "--start", 9).stdout.splitlines()
    assert [line.split("\t")[4:] for line in printed] == [
        ["bytes", "0x00726177"],
        ["dict", r'{"tab\there":[1.5,null]}'],
        ["str", '"seen by people"'],
    ]
    for name, *options in (
        ("ls",),
        ("stats",),
        ("topics",),
        ("grep", "seen"),
        ("at", "2026-11-26T08:00:00Z"),
    ):
        of_queue, of_messages = (run(name, one, *options) for one in (path, path / "messages"))
        assert (of_queue.returncode, of_queue.stderr) == (0, "")
        assert of_queue.stdout == of_messages.stdout
    info = json.loads(run("info", path, "--json").stdout)
    assert len(info["journals"]) == 2


def test_a_queue_beside_another_journal_does_not_stand_for_its_messages(path: Path) -> None:
    """Who keeps more in that directory is asked which journal is meant."""
    copy = path.parent / "copy"
    shutil.copytree(path, copy)
    shutil.copytree(path / "messages", copy / "other")
    assert "holds 3 journals; name one of them" in refused(1, "cat", copy)
