"""The stores that are compared, all opened through the library's own factories."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, TrackingRecorder
from eventsourcing.utils import Environment

Kind = Literal["sqlite", "memory", "aurora"]
Sync = Literal["durable", "never"]

KINDS: tuple[Kind, ...] = ("sqlite", "memory", "aurora")
SYNC_WORDS: dict[Sync, dict[Kind, str]] = {
    "durable": {"sqlite": "synchronous=FULL", "memory": "none", "aurora": "AURORA_SYNC=always"},
    "never": {"sqlite": "synchronous=OFF", "memory": "none", "aurora": "AURORA_SYNC=never"},
}


@dataclass(frozen=True, slots=True)
class Store:
    """An opened store; ``close`` it when done."""

    kind: Kind
    factory: InfrastructureFactory[TrackingRecorder]
    recorder: ApplicationRecorder

    def close(self) -> None:
        """Close the store's files."""
        self.factory.close()


@cache
def aurora_missing() -> str | None:
    """Why aurora_es cannot be measured, or None when it can be imported."""
    try:
        module = importlib.import_module("aurora_es")
    except ImportError as error:
        return f"aurora_es cannot be imported, so its column stays empty: {error}"
    # A bare directory of that name imports too, as a namespace package.
    if not hasattr(module, "AuroraFactory"):
        return "aurora_es has no AuroraFactory, so its column stays empty"
    return None


def kinds_available(*, memory: bool = True) -> tuple[Kind, ...]:
    """The stores that this run can measure."""
    kinds: tuple[Kind, ...] = KINDS if memory else ("sqlite", "aurora")
    return tuple(kind for kind in kinds if kind != "aurora" or aurora_missing() is None)


def environment(kind: Kind, path: Path, sync: Sync) -> dict[str, str]:
    """Settings for a factory or an application; the store lives in the directory ``path``."""
    if kind == "memory":
        return {"PERSISTENCE_MODULE": "eventsourcing.popo"}
    if kind == "sqlite":
        return {
            "PERSISTENCE_MODULE": "benchmarks.sqlite_synchronous:SynchronousSQLiteFactory",
            "SQLITE_DBNAME": str(path / "store.sqlite"),
            "SQLITE_SYNCHRONOUS": "FULL" if sync == "durable" else "OFF",
        }
    return {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": str(path),
        "AURORA_SYNC": "always" if sync == "durable" else "never",
    }


def import_store(kind: Kind) -> None:
    """Import the code of a store, so that opening it is not charged for that."""
    module = environment(kind, Path(), "never")["PERSISTENCE_MODULE"]
    importlib.import_module(module.partition(":")[0])


def open_store(
    kind: Kind, path: Path, sync: Sync, settings: Mapping[str, str] | None = None
) -> Store:
    """Open, or create, the store of this kind in the directory ``path``."""
    path.mkdir(parents=True, exist_ok=True)
    env = Environment("bench", {**environment(kind, path, sync), **(settings or {})})
    factory: InfrastructureFactory[TrackingRecorder] = InfrastructureFactory.construct(env)
    return Store(kind=kind, factory=factory, recorder=factory.application_recorder())


def warn_when_aurora_is_missing() -> None:
    """Say on stderr, once, that a column will stay empty."""
    if missing := aurora_missing():
        print(f"note: {missing}", file=sys.stderr)
