"""The other process of the rows of scale: fills, tends and reads stores of any size."""

from __future__ import annotations

import gc
import random
import resource
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from .events import aggregate_id
from .machine import resident_bytes
from .measure import time_calls
from .scale_events import RARE_TOPIC, ScaleHistory, absent_id, long_id
from .worker import Obedience, main

_RUN_SUFFIX = ".index"
_TAIL_EVENTS = 100_000


class ScaleObedience(Obedience):
    """What the rows of scale ask for, beside what all workers obey."""

    # Writing

    def fill_history(
        self, size: int, first: int, last: int, singles_until: int, batch: int
    ) -> dict[str, Any]:
        """Write that part of a history: one event per commit at first, then ``batch`` of them."""
        insert = self.store.recorder.insert_events
        events = ScaleHistory(size).events(first, last)
        started = perf_counter()
        for event in islice(events, max(singles_until - first + 1, 0)):
            insert([event])
        while commit := list(islice(events, batch)):
            insert(commit)
        return {"seconds": perf_counter() - started}

    def insert_beside(self, path: str | None, count: int) -> dict[str, Any]:
        """The seconds of each one-event insert, at rest or for as long as a background run works.

        One loop for both, all events made before: else the making would count for one of them.
        """
        insert = self.store.recorder.insert_events
        prepared = self._source.singles(count)
        taken: list[float] = []
        gc.collect()
        before = _children_seconds()
        began = perf_counter()
        child = None
        if path is not None:
            child = subprocess.Popen([sys.executable, "-m", "aurora_es.journal.background", path])
        for events in prepared:
            started = perf_counter()
            insert(events)
            taken.append(perf_counter() - started)
            if child is not None and not len(taken) % 64 and child.poll() is not None:
                break
        elapsed = perf_counter() - began
        if child is not None and child.wait():
            msg = f"the background run ended with exit status {child.returncode}"
            raise RuntimeError(msg)
        whole = perf_counter() - began
        share = (_children_seconds() - before) / whole
        return {"seconds": taken, "elapsed": elapsed, "whole": whole, "child_share": share}

    # Tending: in a process of its own, with no store open

    def tend(self, path: str, what: str, **options: Any) -> dict[str, Any]:
        """Seal, merge or cool; the seconds and the peak of memory above that of the imports."""
        import numpy as np

        from aurora_es.files.layer import SYSTEM_EFFECTS
        from aurora_es.journal import background, clearing

        assert np
        before = resident_bytes()
        started = perf_counter()
        count = getattr(background, what)(path, **options)
        seconds = perf_counter() - started
        if what == "cool":
            clearing.clear_away(SYSTEM_EFFECTS, path, at_once=True)
        return {"seconds": seconds, "count": count, "peak_bytes": _peak_bytes() - before}

    def rebuild(self, path: str) -> dict[str, Any]:
        """Remove all index runs and have them built anew from the sealed segments."""
        import numpy as np

        from aurora_es.files.layer import SYSTEM_EFFECTS
        from aurora_es.journal.manifest_file import read_manifest
        from aurora_es.journal.sealed_index import SealedIndex

        assert np
        for run in Path(path).glob(f"*{_RUN_SUFFIX}"):
            run.unlink()
        manifest = read_manifest(SYSTEM_EFFECTS.files, path)
        assert manifest is not None
        before = resident_bytes()
        started = perf_counter()
        genesis_id = bytes.fromhex(manifest.genesis_id)
        sealed = SealedIndex(SYSTEM_EFFECTS, path, genesis_id, manifest, read_only=False)
        for entry in sealed.runs:
            sealed.open_run(entry)
        seconds = perf_counter() - started
        events = sealed.last_position
        return {"seconds": seconds, "events": events, "peak_bytes": _peak_bytes() - before}

    def sizes(self, path: str) -> dict[str, Any]:
        """Events of the listed segments, and the bytes of these, their tables and their runs."""
        from aurora_es.files.layer import SYSTEM_EFFECTS
        from aurora_es.format.names import frames_name, segment_name
        from aurora_es.journal.manifest_file import read_manifest
        from aurora_es.journal.sealed_index import file_name_of

        manifest = read_manifest(SYSTEM_EFFECTS.files, path)
        assert manifest is not None
        segments, runs = manifest.segments, manifest.runs
        names = {
            "segments": [
                segment_name(one.segment_number, one.base_position, one.revision)
                for one in segments
            ],
            "tables": [
                frames_name(one.segment_number, one.base_position, one.revision) for one in segments
            ],
            "runs": [file_name_of(run) for run in runs],
        }
        found: dict[str, Any] = {
            kind: sum((Path(path) / name).stat().st_size for name in listed)
            for kind, listed in names.items()
        }
        found["manifest"] = max(one.stat().st_size for one in Path(path).glob("manifest*"))
        events = segments[-1].last_position if segments else 0
        return {**found, "events": events, "segment_count": len(segments), "run_count": len(runs)}

    def tail_index(self, batch: int) -> dict[str, Any]:
        """Bytes per event of the index in memory, for events of one aggregate in ten."""
        from aurora_es.journal.lookup import JournalIndex

        history = ScaleHistory(_TAIL_EVENTS)
        gc.collect()
        index = JournalIndex()
        index.begin_segment(1, 1)
        pairs = [
            (event.originator_id.bytes, event.originator_version)  # type: ignore[union-attr]
            for event in history.events(1, _TAIL_EVENTS)
        ]
        tracemalloc.start()
        for first in range(0, len(pairs), batch):
            # As catching up does: the ids are decoded anew from each frame.
            commit = [
                (bytes(bytearray(key)), version) for key, version in pairs[first : first + batch]
            ]
            index.add_commit(commit, [(first * 240, 240 * batch, batch)], None)
        found = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return {"bytes_per_event": found / len(pairs)}

    # Reading

    def replays(self, numbers: list[int]) -> dict[str, Any]:
        """The seconds to read each of these long aggregates."""
        ids = [long_id(number) for number in numbers]
        found = self.store.recorder.select_events(ids[0])
        assert len(found) == 100, found
        return {"seconds": time_calls(self.store.recorder.select_events, ids)}

    def absent(self, count: int, seed: int) -> dict[str, Any]:
        """The seconds of each look-up of an aggregate that is not there."""
        select = self.store.recorder.select_events
        choose = random.Random(seed).randrange
        ids = [absent_id(choose(10**9)) for _ in range(count)]
        return {"seconds": time_calls(lambda i: select(i, desc=True, limit=1), ids)}

    def touch(self, count: int, aggregates: int, seed: int) -> dict[str, Any]:
        """Memory after the last events of so many random aggregates were read."""
        select = self.store.recorder.select_events
        choose = random.Random(seed).randrange
        for _ in range(count):
            select(aggregate_id(choose(aggregates)), desc=True, limit=1)
        return self.resident()

    def rare_topic(self, limit: int) -> dict[str, Any]:
        """The seconds to find all events of the rare topic."""
        started = perf_counter()
        found = self.store.recorder.select_notifications(1, limit, topics=[RARE_TOPIC])
        return {"seconds": [perf_counter() - started], "found": len(found)}

    def position_at(self, count: int, seed: int) -> dict[str, Any]:
        """The seconds of each look-up of a moment; None where the journal has no such method."""
        journal: Any = self.store.recorder.journal  # type: ignore[attr-defined]
        position_at = getattr(journal, "position_at", None)
        if position_at is None:
            return {"seconds": None}
        first, last = (
            next(journal.read(position)).timestamp for position in (1, journal.last_position)
        )
        choose, span = random.Random(seed).random, (last - first).total_seconds()
        moments = [first + timedelta(seconds=choose() * span) for _ in range(count)]
        assert all(moment <= datetime.now(UTC) for moment in moments)
        return {"seconds": time_calls(position_at, moments)}


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(ScaleObedience)
