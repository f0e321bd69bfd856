"""What is measured of a queue: the work itself, and how other processes are asked for theirs."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from time import monotonic, monotonic_ns, perf_counter, sleep
from typing import Any

from aurora_es.files.floor import FLOOR_BYTES, Floor
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.queue import Receiver, Sender, open_queue

from .measure import percentile
from .queue_peers import MultiprocessingQueue, NatsStream, Peer

MESSAGE = b"x" * 100
BATCH = 1_000
PACE_SECONDS = 0.002
_STAMP_DIGITS = 20


async def round_trips(sender: Sender, receiver: Receiver, size: int, count: int) -> list[float]:
    """Send one message and receive it, in one task."""
    message = b"x" * size
    seconds = []
    for _ in range(count):
        began = perf_counter()
        await sender.send(message)
        await receiver.next(bytes)
        seconds.append(perf_counter() - began)
    return seconds


def peer_round_trips(peer: Peer, size: int, count: int) -> list[float]:
    """The same with a peer."""
    message = b"x" * size
    seconds = []
    for _ in range(count):
        began = perf_counter()
        peer.put(message)
        peer.get()
        seconds.append(perf_counter() - began)
    return seconds


async def send_one_by_one(sender: Sender, count: int) -> float:
    """Messages per second, each awaited by itself."""
    began = perf_counter()
    for _ in range(count):
        await sender.send(MESSAGE)
    return count / (perf_counter() - began)


def floor_writes(directory: Path, count: int) -> float:
    """Writes per second that are synced one by one, with nothing around them."""
    floor = Floor.make(SYSTEM_EFFECTS, str(directory / "floor"), zeroed_bytes=count * FLOOR_BYTES)
    with closing(floor):
        return count / sum(floor.run(count))


async def send_many(sender: Sender, count: int) -> float:
    """Messages per second, a thousand in each call."""
    messages = [MESSAGE] * BATCH
    began = perf_counter()
    for _ in range(count // BATCH):
        await sender.send_many(messages)
    return count / (perf_counter() - began)


async def send_from_tasks(sender: Sender, tasks: int, count: int) -> float:
    """Messages per second of tasks that each await one send after the other."""
    began = perf_counter()
    await asyncio.gather(*(send_one_by_one(sender, count // tasks) for _ in range(tasks)))
    return count / (perf_counter() - began)


def peer_sends(peer: Peer, count: int) -> float:
    """Messages per second of one thread."""
    began = perf_counter()
    for _ in range(count):
        peer.put(MESSAGE)
    return count / (perf_counter() - began)


def peer_sends_from_threads(peer: Peer, threads: int, count: int) -> float:
    """Messages per second of threads, or tasks, that each send one after the other."""
    if isinstance(peer, NatsStream):
        began = perf_counter()
        peer.put_from_tasks(MESSAGE, threads, count)
        return count / (perf_counter() - began)
    running = [
        threading.Thread(target=peer_sends, args=(peer, count // threads)) for _ in range(threads)
    ]
    began = perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return count / (perf_counter() - began)


async def replay(receiver: Receiver, count: int) -> float:
    """Messages per second in batches, their values decoded."""
    began = perf_counter()
    found = 0
    while found < count:
        for message in await receiver.next_batch(BATCH):
            message.decode(bytes)
            found += 1
    return found / (perf_counter() - began)


def stamped() -> bytes:
    """A message of 100 bytes that says when it was made."""
    return str(monotonic_ns()).zfill(_STAMP_DIGITS).encode().ljust(len(MESSAGE), b"x")


def start_worker(what: str, path: Path, count: int) -> subprocess.Popen[str]:
    """Start another process and wait until it is ready."""
    command = [sys.executable, "-m", "benchmarks.queue_worker", what, str(path), str(count)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def answer_of(worker: subprocess.Popen[str]) -> list[float]:
    """What a worker has measured."""
    assert worker.stdout is not None
    found: list[float] = json.loads(worker.stdout.readline())
    worker.wait()
    return found


async def one_process_to_another(path: Path, count: int) -> list[float]:
    """From the stamp in the sender to the arrival in the receiver, which waits for each."""
    async with open_queue(path) as queue:
        sender = await queue.acquire_sender()
        await sender.send(MESSAGE)
        worker = await asyncio.to_thread(start_worker, "receive", path, count)
        due = monotonic()
        for _ in range(count):
            due += PACE_SECONDS
            await asyncio.sleep(max(0.0, due - monotonic()))
            await sender.send(stamped())
        return await asyncio.to_thread(answer_of, worker)


def _receive_stamps(queue: Any, count: int, answers: Any) -> None:
    found = []
    for _ in range(count):
        stamp = int(queue.get()[:_STAMP_DIGITS])
        found.append((monotonic_ns() - stamp) / 1e9)
    answers.put(found)


def pipe_to_another(peer: MultiprocessingQueue, count: int) -> list[float]:
    """The same by ``multiprocessing.Queue``."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_receive_stamps, args=(peer.queue, count, answers))
    process.start()
    sleep(1.0)
    due = monotonic()
    for _ in range(count):
        due += PACE_SECONDS
        sleep(max(0.0, due - monotonic()))
        peer.put(stamped())
    found: list[float] = answers.get()
    process.join()
    return found


def processes_send(path: Path, what: str, processes: int, count: int) -> float:
    """Messages per second of several processes together."""
    workers = [start_worker(what, path, count) for _ in range(processes)]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    spans = [answer_of(worker) for worker in workers]
    began, ended = min(span[0] for span in spans), max(span[1] for span in spans)
    return processes * count / (ended - began)


def p50(seconds: list[float]) -> float:
    """The median."""
    return percentile(seconds, 50)


def p99(seconds: list[float]) -> float:
    """What 99 of 100 do not exceed."""
    return percentile(seconds, 99)
