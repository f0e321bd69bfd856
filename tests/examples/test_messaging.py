"""The examples of the queue run and show what they promise."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
from pathlib import Path

from aurora_es.queue import open_queue
from examples.messaging.chat import Said, chat, follow
from examples.messaging.work_queue import FATAL, INVOICES, UNPAYABLE
from tests.patience import PATIENCE_SECONDS
from tests.queue.support import run

ROOT = Path(__file__).parent.parent.parent


def run_example(name: str, *arguments: str, typed: str = "", logged: str = "") -> str:
    """Run an example as a user does; returns what it printed. ``logged`` is a pattern of stderr."""
    command = [sys.executable, "-W", "error", "-m", f"examples.messaging.{name}", *arguments]
    finished = subprocess.run(
        command,
        cwd=ROOT,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert finished.returncode == 0
    assert re.fullmatch(logged, finished.stderr)
    return finished.stdout


def test_ping_pong() -> None:
    """Two processes send a ball back and forth."""
    assert re.fullmatch(
        r"50 rounds: half took at most \d+ µs, 99 % \d+ µs\n", run_example("ping_pong", "50")
    )


def test_work_queue() -> None:
    """Everything is done though a worker dies, in order per customer, but for one that is parked."""
    output = run_example("work_queue", logged=r"group 'billing': position \d+ is parked: .*\n")
    assert "dies in the middle of invoice" in output
    assert output.endswith(f"{INVOICES - 1} done, 1 parked, 0 left\n")
    assert re.search(rf"parked after 3 attempts: Invoice\(number={UNPAYABLE}.*has moved", output)
    done = [int(found) for found in re.findall(r"did invoice (\d+)", output)]
    assert sorted(done) == [n for n in range(1, INVOICES + 1) if n != UNPAYABLE]
    for customer in range(5):
        own = [number for number in done if number % 5 == customer]
        assert own == sorted(own)
    assert FATAL in done


def test_chat(tmp_path: Path) -> None:
    """What one says another sees, also later; a name goes on where it left."""
    room = str(tmp_path / "room")

    async def seen_by_ada() -> str:
        output = io.StringIO()
        async with open_queue(room) as queue:
            task = asyncio.create_task(follow(queue, "ada", output))
            while (await queue.subscribe("ada")).lag():
                await asyncio.sleep(0)
            task.cancel()
        return output.getvalue()

    run(lambda: chat(room, "bob", io.StringIO("hello\n\nanybody?\n"), io.StringIO()))
    first = run(seen_by_ada)
    assert re.fullmatch(r"\S+ bob: hello\n\S+ bob: anybody\?\n", first)
    assert run_example("chat", room, "bob", typed="bye\n").count("bob: ") <= 3
    assert re.fullmatch(r"\S+ bob: bye\n", run(seen_by_ada))


def test_following_without_a_name(tmp_path: Path) -> None:
    """The last ten lines are shown, and then what comes, until the queue is closed."""

    async def main() -> str:
        output = io.StringIO()
        async with open_queue(tmp_path / "room") as queue:
            sender = await queue.acquire_sender()
            await sender.send_many([Said("bob", str(number)) for number in range(20)])
            task = asyncio.create_task(follow(queue, None, output))
            while "bob: 19" not in output.getvalue():
                await asyncio.sleep(0)
        await task
        return output.getvalue()

    assert [line.split()[-1] for line in run(main).splitlines()] == [str(n) for n in range(10, 20)]
