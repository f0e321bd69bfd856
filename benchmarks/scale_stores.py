"""The stores of one size: how they are filled, tended, copied and opened.

SQLite and ours get the same history (``scale_events``). SQLite is filled through its recorder by
large transactions, since its file is the same whatever they are. Ours gets commits of one event for
the first tenth of the history and of a hundred for the rest; nothing runs in the background
meanwhile. Nine tenths are sealed and merged before the rest is written, so that the memory of
filling is bounded, and some unsealed segments are left for the rows that seal beside inserts.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .scale_events import ScaleHistory
from .session import Session
from .stores import Kind, Sync, kinds_available
from .workers import Worker

MODULE = "benchmarks.scale_worker"
SYNC: Sync = "never"
_BATCH: dict[Kind, int] = {"aurora": 100, "sqlite": 50_000, "memory": 100}
_PART_EVENTS = 1_000_000
"""So much is written between two sealings."""


def roll_cycle(size: int) -> str:
    """The default for a large journal; less for a small one, so that it has segments, too."""
    if size >= 10**7:
        return "32MiB"
    return "4MiB" if size >= 10**6 else "1MiB"


def journal_path(path: Path) -> Path:
    """The journal of events in the store at ``path``."""
    return path / "bench" / "events"


def tend(path: Path, command: str, **options: Any) -> dict[str, Any]:
    """Let a new process do something with the closed store at ``path``."""
    with Worker(None, path, SYNC, module=MODULE) as worker:
        return worker.ask(command=command, path=str(journal_path(path)), **options)


def linked_copy(path: Path, into: Path) -> Path:
    """A copy of a closed store that shares its sealed files, which nobody ever changes."""
    copy = journal_path(into)
    copy.mkdir(parents=True)
    for name in ("bench", "bench/events"):  # modes are as the store made them
        shutil.copymode(path / name, into / name)
    last = max((one.name for one in journal_path(path).glob("*.segment")), default="")
    for file in journal_path(path).iterdir():
        is_shared = file.suffix in {".index", ".frames"} or (
            file.suffix == ".segment" and file.name != last
        )
        if is_shared:
            os.link(file, copy / file.name)
        else:
            shutil.copy2(file, copy / file.name)
    for file in (path / "bench").iterdir():
        if file.is_file():
            shutil.copy2(file, into / "bench" / file.name)
    return into


@dataclass
class ScaleStores:
    """SQLite and ours with the same history."""

    session: Session
    size: int
    paths: dict[Kind, Path]

    @classmethod
    def make(cls, session: Session, size: int) -> ScaleStores:
        """Name the directories; nothing is in them yet."""
        return cls(
            session, size, {kind: session.path("scale") for kind in kinds_available(memory=False)}
        )

    @property
    def history(self) -> ScaleHistory:
        """What is in them."""
        return ScaleHistory(self.size)

    def open(self, kind: Kind, path: Path | None = None, *, writer: int = 0) -> Worker:
        """A new process with one of them open."""
        settings = {"AURORA_BACKGROUND": "n", "AURORA_ROLL_CYCLE": roll_cycle(self.size)}
        return Worker(
            kind,
            path or self.paths[kind],
            SYNC,
            writer=writer,
            module=MODULE,
            settings=settings if kind == "aurora" else None,
        )

    def fill(self) -> dict[Kind, float]:
        """Write the history to both at a time; the seconds that each took."""
        parts = self._parts()
        seconds: dict[Kind, float] = dict.fromkeys(self.paths, 0.0)
        self.session.progress.begin(f"filling to {self.size:,} events", len(parts))
        for first, last in parts:
            with ExitStack() as stack:
                workers = {kind: stack.enter_context(self.open(kind)) for kind in self.paths}
                for kind, worker in workers.items():
                    worker.tell(
                        command="fill_history",
                        size=self.size,
                        first=first,
                        last=last,
                        singles_until=self.history.singles if kind == "aurora" else 0,
                        batch=_BATCH[kind],
                    )
                for kind, worker in workers.items():
                    seconds[kind] += worker.answer()["seconds"]
            if last < self.size and "aurora" in self.paths:
                tend(self.paths["aurora"], "tend", what="seal")
            self.session.progress.advance()
        return seconds

    def _parts(self) -> list[tuple[int, int]]:
        ends = [*range(_PART_EVENTS, self.size, _PART_EVENTS)] or [self.size * 9 // 10]
        return [*zip([1, *(end + 1 for end in ends)], [*ends, self.size], strict=True)]

    def remove(self) -> None:
        """Give the disk back."""
        for path in self.paths.values():
            shutil.rmtree(path, ignore_errors=True)
