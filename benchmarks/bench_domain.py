"""Rows: the way through the domain model, projections, and reading what one has written.

Where the SQLite column is not the library's SQLite store, the row says what it is.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.projection import ProjectionRunner

from aurora_es import AuroraFactory, AuroraProjectionRunner, rebuild_projection
from aurora_es.mapper import MsgpackMapper

from .domain import (
    Account,
    Balances,
    BalancesView,
    Bank,
    FastBank,
    deposited,
    run_balances,
    save_account,
    settings,
    transcoder,
)
from .measure import percentile, run_in_turn, time_calls
from .rows import Row, Target, compare, faster
from .session import Session
from .stores import Sync, environment

_EVENTS = 1000
_PYTHON = f"Python {platform.python_version()}"
Part = Callable[[None], float]


def mapper(session: Session) -> list[Row]:
    """Convert one event of four fields to a state and back, and the bytes of the state."""
    event = deposited()
    mappers: dict[str, Mapper[UUID]] = {
        "sqlite": Mapper(transcoder()),
        "aurora": MsgpackMapper(transcoder()),
    }
    stored = {kind: used.to_stored_event(event) for kind, used in mappers.items()}
    calls = session.scale.saves * 20

    def encoding(used: Mapper[UUID]) -> Part:
        return lambda _: _per_call(lambda: used.to_stored_event(event), calls)

    def decoding(used: Mapper[UUID], state: StoredEvent) -> Part:
        return lambda _: _per_call(lambda: used.to_domain_event(state), calls)

    encode = {kind: encoding(used) for kind, used in mappers.items()}
    decode = {kind: decoding(used, stored[kind]) for kind, used in mappers.items()}
    sizes = {kind: [float(len(found.state))] for kind, found in stored.items()}
    smaller = Target("0.45 of JSON", 1 / 0.45)
    return [
        compare(key, f"mapper: {work} (beside: JSON)", None, "seconds", figures, target=target)
        for key, work, figures, target in (
            ("mapper-encode", "encode", _blocks(session, "encode", encode), faster(2.5)),
            ("mapper-decode", "decode", _blocks(session, "decode", decode), faster(2)),
        )
    ] + [compare("state-bytes", "state (beside: JSON)", None, "bytes", sizes, target=smaller)]


def _per_call(call: Callable[[], object], count: int) -> float:
    started = perf_counter()
    for _ in range(count):
        call()
    return (perf_counter() - started) / count


def _blocks(session: Session, text: str, parts: dict[str, Part]) -> dict[str, list[float]]:
    session.progress.begin(text, session.scale.blocks * len(parts))
    return run_in_turn(
        parts, lambda: None, blocks=session.scale.blocks, advance=session.progress.advance
    )


def replay_domain(session: Session) -> list[Row]:
    """Replay 1,000 dataclass events: the library on SQLite, on ours, and AuroraApplication."""
    path = str(session.path("replay"))
    fast = settings(path, AURORA_MAPPER="msgpack")
    applications: dict[str, Application[UUID]] = {
        "sqlite": Bank(environment("sqlite", session.path("replay"), "durable")),
        "plain": Bank(fast),
        "fast": FastBank(fast),
    }

    def replaying(application: Application[UUID]) -> Part:
        account_id = save_account(application, _EVENTS)
        get = application.repository.get
        return lambda _: _per_call(lambda: get(account_id), session.scale.replays) / _EVENTS

    parts = {name: replaying(application) for name, application in applications.items()}
    try:
        found = _blocks(session, "replay of dataclass events", parts)
    finally:
        for application in applications.values():
            application.close()
    return [
        compare(
            f"replay-domain-{name}",
            f"{work}, fast mapper: replay of 1,000 dataclass events, each ({_PYTHON})",
            None,
            "seconds",
            {"sqlite": found["sqlite"], "aurora": found[name]},
            target=target,
        )
        for name, work, target in (
            ("plain", "Application", faster(1.2)),
            ("fast", "AuroraApplication", faster(3.5)),
        )
    ]


def save_domain(session: Session) -> list[Row]:
    """Create and save an aggregate of one event with the fast mapper and AuroraApplication."""
    return [
        _save(session, "durable", "sqlite", faster(1.5)),
        _save(session, "never", "memory", Target("0.91 x", 1 / 1.1)),
    ]


def _save(session: Session, sync: Sync, against: str, target: Target) -> Row:
    ours = environment("aurora", session.path("save"), sync) | {"AURORA_MAPPER": "msgpack"}
    applications: dict[str, Application[UUID]] = {
        "sqlite": Bank(environment("sqlite", session.path("save"), sync)),
        "memory": Bank(environment("memory", Path(), sync)),
        "aurora": FastBank(ours),
    }

    def saving(application: Application[UUID]) -> Part:
        return lambda _: _per_call(
            lambda: application.save(Account(owner="somebody")), session.scale.saves
        )

    warm = session.scale.warm_inserts // 10
    for application in applications.values():
        for _ in range(warm):
            application.save(Account(owner="somebody"))
    parts = {kind: saving(application) for kind, application in applications.items()}
    try:
        found = _blocks(session, f"create + save, fast mapper, {sync}", parts)
    finally:
        for application in applications.values():
            application.close()
    work = f"AuroraApplication, fast mapper: create + save, against {against} ({_PYTHON})"
    return compare(
        f"save-domain-{sync}", work, sync, "seconds", found, target=target, against=against
    )


def projection(session: Session) -> list[Row]:
    """Events per second of live runners into a journaled view, and of a rebuild."""
    root = session.path("projection")
    env = settings(str(root), AURORA_MAPPER="msgpack")
    count = session.scale.projected_events
    session.progress.begin("projection", 4)
    with Bank(env) as bank:
        while (bank.recorder.max_notification_id() or 0) < count:
            save_account(bank, 100)
    session.progress.advance()
    (root / "library").mkdir()
    beside = env | {"BALANCES_AURORA_PATH": str(root / "library")}

    def rebuild() -> None:
        rebuild_projection(
            application_class=Bank, projection_class=Balances, view_class=BalancesView, env=env
        )

    works: dict[str, tuple[Callable[[], None], str, float]] = {
        "live": (lambda: _run(AuroraProjectionRunner, env, count), "AuroraProjectionRunner", 4e4),
        "live-library": (
            lambda: _run(ProjectionRunner, beside, count),
            "the library's ProjectionRunner",
            4e4,
        ),
        "rebuild": (rebuild, "rebuild by pages of 1,000", 1e5),
    }
    rows = []
    for key, (work, text, limit) in works.items():
        begun, used = perf_counter(), process_time()
        work()
        taken, used = perf_counter() - begun, process_time() - used
        session.progress.advance()
        rows.append(
            Row(
                f"projection-{key}",
                f"{text} over {count:,} events into a journaled view ({_PYTHON})",
                "never",
                "per_second",
                {"aurora": [count / taken]},
                target=Target(f"{limit:.0e}/s", limit, of="aurora"),
                details={"processor_seconds_per_event": used / count},
            )
        )
    return rows


def _run(runner_class: Any, env: dict[str, str], last: int) -> None:
    with run_balances(env, runner_class) as runner:
        runner.wait(last, timeout=3600)


def read_your_writes(session: Session) -> list[Row]:
    """From ``save`` to the return of ``wait``, with the projection here and in another process."""
    rows = []
    for where, milliseconds in (("the same process", 2), ("another process", 3)):
        env = settings(str(session.path("read")), AURORA_MAPPER="msgpack")
        waits = _read_here(session, env) if milliseconds == 2 else _read_there(session, env)
        rows.append(
            Row(
                f"read-your-writes-{where.split()[1 if milliseconds == 2 else 0]}",
                f"read your writes, projection in {where}, p50",
                "never",
                "seconds",
                {"aurora": [percentile(waits, 50)]},
                target=Target(f"{milliseconds} ms", milliseconds / 1e3, "aurora", "at_most"),
                details={"p99": percentile(waits, 99)},
            )
        )
    return rows


def _read_here(session: Session, env: dict[str, str]) -> list[float]:
    with run_balances(env) as runner:

        def write_and_wait(_: int) -> None:
            recordings = runner.app.save(Account(owner="somebody"))
            runner.wait(recordings[-1].notification.id)

        time_calls(write_and_wait, range(20))
        return time_calls(write_and_wait, range(session.scale.wake_ups))


def _read_there(session: Session, env: dict[str, str]) -> list[float]:
    with (
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.domain", env["AURORA_PATH"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other,
        Bank(env) as bank,
    ):
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        factory = AuroraFactory(bank.construct_env(Balances.name, env))
        view = factory.tracking_recorder(BalancesView)

        def write_and_wait(_: int) -> None:
            recordings = bank.save(Account(owner="somebody"))
            view.wait(bank.name, recordings[-1].notification.id)

        time_calls(write_and_wait, range(20))
        waits = time_calls(write_and_wait, range(session.scale.wake_ups))
        factory.close()
        other.stdin.close()
    return waits
