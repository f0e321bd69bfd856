"""Looks up originators, topics and tags in the index runs of sealed segments.

Theory of operation: the listed runs cover all listed segments. An originator's records are spread
over some of them, so a look-up asks run by run, newest first. In a run that *rises* every version
of an originator is above all its earlier ones, and so the newest hit ends the search for the last
event. A run holds 64-bit keys, not ids: what it answers are candidates, and ``find`` confirms them
against the records. A run is a cache: a damaged or missing one is built anew from the segments, and
the answer waits for that.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from aurora_es.errors import ForeignDirectoryError, TruncatedError
from aurora_es.format.names import run_name
from aurora_es.index.keys import key_hasher, originator_key
from aurora_es.index.run import Run
from aurora_es.index.run_file import RunDamagedError
from aurora_es.journal.sealed_segments import SealedSegments
from aurora_es.segment.walk import Chain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import IndexRun, Manifest
    from aurora_es.index.tail import Key

_T = TypeVar("_T")
Entries = list[tuple[int, int]]  # (version, position)


class SealedIndex:
    """What one generation of the manifest lists; for any number of threads."""

    def __init__(
        self, effects: Effects, path: str, genesis_id: bytes, manifest: Manifest, *, read_only: bool
    ) -> None:
        """Know the listed segments and runs; none is opened yet."""
        self.effects = effects
        self.path = path
        self.genesis_id = genesis_id
        self.manifest = manifest
        self.segments = SealedSegments(
            effects, path, genesis_id, manifest.segments, read_only=read_only
        )
        self.read_only = read_only
        self.retained_from = manifest.retained_from
        last = manifest.segments[-1] if manifest.segments else None
        self.last_segment = 0 if last is None else last.segment_number
        self.last_position = 0 if last is None else last.last_position
        self.runs = sorted(manifest.runs, key=lambda run: -run.last_segment)  # newest first
        self._hash = key_hasher(genesis_id, "originator")
        self._mending = threading.Lock()  # one thread at a time builds a damaged run anew
        # Opened as needed, by any thread; a second one that opens the same does no harm.
        self._open: dict[IndexRun, Run] = {}

    def close(self) -> None:
        """Close all descriptors now; only for the child of a fork, where nobody else reads."""
        self._mending = threading.Lock()
        self.segments.close()
        for run in self._open.values():
            run.close()

    def take_open(self, other: SealedIndex) -> None:
        """Take over what ``other``, of an earlier generation, has open and is still listed."""
        self.segments.take_open(other.segments)
        listed = set(self.runs)
        self._open.update(
            {entry: run for entry, run in list(other._open.items()) if entry in listed}
        )

    def end_chain(self) -> Chain | None:
        """The chain behind the end frame of the last listed segment."""
        if not self.manifest.segments:
            return None
        last = self.manifest.segments[-1]
        return Chain(
            segment_number=last.segment_number,
            base_position=last.base_position,
            offset=last.end_offset,
            previous_checksum=last.last_checksum,
            commit_number=last.last_commit,
            position=last.last_position,
            timestamp=last.last_timestamp,
            ended=True,
        )

    # Originators

    def last_version(self, key: Key) -> int | None:
        """Highest version that an originator may have, None if it has no record.

        Never too low; too high only if another id has the same 64-bit key.
        """
        return self.last_version_of(self._hash(key))

    def last_version_of(self, hashed: int) -> int | None:
        """The same for the 64-bit key of an originator."""
        highest: int | None = None
        for entry in self.runs:
            found = self.ask(entry, lambda run: run.last(hashed))
            if found is not None:
                highest = found[0] if highest is None else max(highest, found[0])
                if entry.rises:
                    break  # whatever is older has lower versions
        return highest

    def find(self, key: Key, version: int) -> int:
        """Position of the record with this version, confirmed; 0 when there is none."""
        hashed = self._hash(key)
        for entry in self.runs:
            for position in self.ask(entry, lambda run: run.find(hashed, version)):
                try:
                    record, _ = self.segments.read_record(position)
                except TruncatedError:  # dropped since the manifest was read
                    return position
                if (
                    record.originator_version == version
                    and originator_key(record.originator_id) == key
                ):
                    return position
        return 0

    def first_version(self, key: Key) -> int | None:
        """Lowest version that an originator may have, None if it has no record."""
        hashed = self._hash(key)
        first = [self.ask(entry, lambda run: run.select(hashed, limit=1)) for entry in self.runs]
        return min((entries[0][0] for entries in first if entries), default=None)

    def entries(
        self, key: Key, *, gt: int | None, lte: int | None, desc: bool, limit: int | None
    ) -> Iterator[tuple[Entries, bool]]:
        """Candidates run by run, newest first: (version, position) sorted as asked for.

        Each with whether its run rises. ``limit`` bounds the entries of each run.
        """
        hashed = self._hash(key)
        for entry in self.runs:
            yield (
                self.ask(
                    entry,
                    lambda run: run.select(hashed, gt=gt, lte=lte, desc=desc, limit=limit),
                ),
                entry.rises,
            )

    # Runs

    def ask(self, entry: IndexRun, question: Callable[[Run], _T]) -> _T:
        """Ask a listed run; a damaged one is built anew first."""
        run = self._open.get(entry) or self.open_run(entry)
        try:
            return question(run)
        except RunDamagedError as error:
            return question(self.mended(entry, run, error))

    def open_run(self, entry: IndexRun) -> Run:
        """A listed run, opened, and built anew if that cannot be."""
        run = self._open.get(entry)
        if run is None:
            try:
                run = self._open[entry] = self._opened(entry)
            except RunDamagedError as error:
                run = self.mended(entry, None, error)
        return run

    def open_all(self) -> None:
        """Open what can be opened: a merge may remove what is not open when it is asked for."""
        for entry in self.runs:
            if entry not in self._open:
                with suppress(RunDamagedError):
                    self._open[entry] = self._opened(entry)

    def _opened(self, entry: IndexRun) -> Run:
        path = os.path.join(self.path, file_name_of(entry))
        try:
            return Run(
                self.effects.files,
                path,
                genesis_id=self.genesis_id,
                source_digest=bytes.fromhex(entry.source_digest),
            )
        except (FileNotFoundError, ForeignDirectoryError) as error:
            raise RunDamagedError(path, expected="an index run", found=str(error)) from error

    def mended(self, entry: IndexRun, run: Run | None, error: RunDamagedError) -> Run:
        """Build a damaged run anew; ``run`` is the one that was found damaged."""
        from aurora_es.journal.mending import built_anew

        with self._mending:
            found = self._open.get(entry)
            if found is None or found is run:  # else another thread was faster
                found = self._open[entry] = built_anew(self, entry, error)
            return found


def file_name_of(entry: IndexRun) -> str:
    """File name of a listed run."""
    return run_name(
        level=entry.level, first_segment=entry.first_segment, last_segment=entry.last_segment
    )
