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
from aurora_es.index.intersection import candidates
from aurora_es.index.keys import key_hasher, originator_key
from aurora_es.index.run import Run
from aurora_es.index.run_file import RunDamagedError
from aurora_es.journal.sealed_segments import SealedSegments
from aurora_es.late_imports import fork_waits
from aurora_es.segment.walk import Chain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import IndexRun, Manifest
    from aurora_es.format.run import Columns
    from aurora_es.index.query import Query
    from aurora_es.index.tail import Key

_T = TypeVar("_T")
Entries = list[tuple[int, int]]  # (version, position)


class SealedIndex:
    """What one generation of the manifest lists; for any number of threads."""

    def __init__(  # noqa: PLR0913 - the parts of a handle that it needs
        self,
        effects: Effects,
        path: str,
        genesis_id: bytes,
        manifest: Manifest,
        *,
        read_only: bool,
        owns_lock: bool = False,
    ) -> None:
        """Know the listed segments and runs; none is opened yet.

        ``owns_lock``: the caller holds ``background.lock`` as long as he uses this.
        """
        self.owns_lock = owns_lock
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
        self._hash_topic = key_hasher(genesis_id, "topic")
        self._hash_tag = key_hasher(genesis_id, "tag")
        self._mending = threading.Lock()  # one thread at a time builds a damaged run anew
        # Opened as needed, by any thread; a second one that opens the same does no harm.
        # By first segment: runs of one generation have none in common.
        self._open: dict[int, Run] = {}

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
        for entry in other.runs:
            run = other._open.get(entry.first_segment)
            if run is not None and entry in listed:
                self._open[entry.first_segment] = run

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
        hashed = self._hash(key)
        highest: int | None = None
        for entry in self.runs:
            found = self.ask(entry, lambda run: run.last(hashed))
            if found is not None:
                highest = found[0] if highest is None else max(highest, found[0])
                if entry.rises:
                    break  # whatever is older has lower versions
        return highest

    def newest(self, key: Key) -> tuple[int, int, bool] | None:
        """Version and position of the last entry in the newest run that has one, None if none has.

        And whether that run rises: then this is the originator's last event. A candidate, as ever.
        """
        hashed, opened = self._hash(key), self._open
        for entry in self.runs:  # row "last event", and "absent": no call more than needed
            run = opened.get(entry.first_segment) or self.open_run(entry)
            try:
                found = run.last(hashed)
            except RunDamagedError as error:
                found = self.mended(entry, run, error).last(hashed)
            if found is not None:
                return found[0], found[1], entry.rises
        return None

    def rise_above(self, columns: Columns) -> bool:
        """Whether the first version of each originator in ``columns`` is above all listed ones.

        ``columns`` are keys and versions, keys rising, each key once.
        """
        with fork_waits:
            from aurora_es.index.columns import last_ordinals

        keys, versions, _ = columns
        for entry in self.runs:
            highest, is_there = self.ask(entry, lambda run: last_ordinals(run, keys))  # noqa: B023 - asked at once
            if (highest[is_there] >= versions[is_there]).any():
                return False
            if entry.rises:  # whatever is older has lower versions
                keys, versions = keys[~is_there], versions[~is_there]
            if not len(keys):
                break
        return True

    def find(self, key: Key, version: int) -> int:
        """Position of the record with this version, confirmed; 0 when there is none."""
        hashed = self._hash(key)
        for entry in self.runs:
            for position in self.ask(entry, lambda run: run.find(hashed, version)):
                try:
                    record = self.segments.read_record(position)
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

    def entries(  # noqa: PLR0913 - the library's own arguments
        self,
        key: Key,
        *,
        gt: int | None,
        lte: int | None,
        desc: bool,
        limit: int | None,
        until: int,
    ) -> Iterator[tuple[Entries, bool]]:
        """Candidates up to ``until``, run by run, newest first: (version, position) sorted.

        Each with whether its run rises. ``limit`` bounds the entries of each run, but of the one
        in which ``until`` lies, where it would count what is left out.
        """
        hashed = self._hash(key)
        for entry in self.runs:
            if entry.base_position > until:
                continue
            bound = limit if entry.last_position <= until else None
            found = self.ask(
                entry,
                lambda run, bound=bound: run.select(  # type: ignore[misc]
                    hashed, gt=gt, lte=lte, desc=desc, limit=bound
                ),
            )
            if entry.last_position > until:
                found = [one for one in found if one[1] <= until]
            yield found, entry.rises

    # Topics and tags

    def candidates(
        self, query: Query, start: int, until: int, limit: int
    ) -> tuple[list[int] | None, int]:
        """Where records that match ``query`` may be from ``start`` on, and how far that says.

        See ``intersection.candidates``; ends with the run that holds ``start``, too.
        """
        entry = next(entry for entry in self.runs if entry.base_position <= start)
        hashers = self._hash_topic, self._hash_tag
        until = min(until, entry.last_position)
        return self.ask(entry, lambda run: candidates(run, query, hashers, start, until, limit))

    # Runs

    def ask(self, entry: IndexRun, question: Callable[[Run], _T]) -> _T:
        """Ask a listed run; a damaged one is built anew first."""
        run = self._open.get(entry.first_segment) or self.open_run(entry)
        try:
            return question(run)
        except RunDamagedError as error:
            return question(self.mended(entry, run, error))

    def open_run(self, entry: IndexRun) -> Run:
        """A listed run, opened, and built anew if that cannot be."""
        run = self._open.get(entry.first_segment)
        if run is None:
            try:
                run = self._open[entry.first_segment] = self._opened(entry)
            except RunDamagedError as error:
                run = self.mended(entry, None, error)
        return run

    def open_all(self) -> None:
        """Open what can be opened: a merge may remove what is not open when it is asked for."""
        for entry in self.runs:
            if entry.first_segment not in self._open:
                with suppress(RunDamagedError):
                    self._open[entry.first_segment] = self._opened(entry)

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
        with fork_waits:
            from aurora_es.journal.mending import built_anew

        with self._mending:
            found = self._open.get(entry.first_segment)
            if found is None or found is run:  # else another thread was faster
                found = self._open[entry.first_segment] = built_anew(self, entry, error)
            return found


def file_name_of(entry: IndexRun) -> str:
    """File name of a listed run."""
    return run_name(
        level=entry.level, first_segment=entry.first_segment, last_segment=entry.last_segment
    )
