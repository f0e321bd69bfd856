"""Moves everything from a source to a target, from where an earlier move has ended.

Theory of operation: nothing is written down about how far a move has come; the target itself says
it. What is there must be what the source begins with: it is compared, page by page, and only what
follows is appended. So a move that was killed anywhere is repeated by the same call, nothing is
doubled, and a target that holds anything else is refused before it is changed. At the end both
sides are read again, whole, and their digests are compared.
"""

from __future__ import annotations

from array import array
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aurora_es.errors import ArgumentError, ConflictError, TooLargeError
from aurora_es.moving.moving_errors import GapsError, NotMovedError, SourceError, TargetError
from aurora_es.moving.pages import (
    DCB,
    EVENTS,
    PARTS,
    Digest,
    Page,
    Reach,
    Tracked,
    canonical_bytes,
    has_extras,
)
from aurora_es.moving.row_checks import check_rows, described, refused_by_journal
from aurora_es.moving.stretches import SOURCE_IDS, Stretches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aurora_es.moving.pages import Row
    from aurora_es.moving.sides import Source, Target

    Progress = Callable[[int, int], object]

_PLAIN_FIELDS = 4


class MovedPart(msgspec.Struct, frozen=True, kw_only=True):
    """Events, snapshots or DCB events, as they are in the target now."""

    part: str
    count: int
    moved: int  # of them, by this call; the others were there
    digest: str  # of all: SHA-256 of their canonical bytes, the same in every form
    missing_ids: int = 0  # gaps of the source: as many ids were left out by numbering anew
    extras_left_out: int = 0  # records whose tags, uuid or metadata the target cannot hold


class MoveReport(msgspec.Struct, frozen=True, kw_only=True):
    """A finished move."""

    source: str
    target: str
    parts: tuple[MovedPart, ...]
    tracking: dict[str, int]  # as recorded in the target
    left_out: tuple[str, ...]  # what the source has besides, and why it stayed
    verified: bool  # both sides were read again, and are the same
    durable: bool  # the target is on disk
    dry_run: bool


class MoveOptions(NamedTuple):
    """What a caller chooses."""

    renumber: bool = False
    without_extras: bool = False
    dry_run: bool = False
    progress: Progress | None = None


class _PartMove:
    """One part on its way."""

    def __init__(self, part: str, source_name: str, target: Target) -> None:
        self.part = part
        self.source_name = source_name
        self.target = target
        self.is_keyed = target.is_keyed(part)
        self.reach: Reach | None = None if self.is_keyed else Reach(target.pages(part))
        self.count = self.moved = self.extras_left_out = 0
        self.source_digest = Digest(part)
        self.last_id = 0
        self.stretches = Stretches()

    def take(self, page: Page, options: MoveOptions) -> None:
        """Compare a page with what is there, and append what is not."""
        if self.is_keyed:
            self._take_keyed(page, options)
        else:
            self._take_in_order(page, options)
        self.count += len(page.rows)

    def _take_keyed(self, page: Page, options: MoveOptions) -> None:
        there = self.target.find(self.part, page.rows)
        wanted = [row for row, found in zip(page.rows, there, strict=True) if found is None]
        if wanted and not options.dry_run:
            self._append(Page(self.part, wanted))
            there = self.target.find(self.part, page.rows)
        self.moved += len(wanted)
        for row, found in zip(page.rows, there, strict=True):
            if found is not None and canonical_bytes([row]) != canonical_bytes([found]):
                raise _other_contents(self.target, self.part, row, found)
            if found is None and not options.dry_run:
                message = f"{self.target.name}: {described(row)} was appended and is not found;"
                raise NotMovedError(
                    message + " move to another target, and keep this one to look at"
                )

    def _take_in_order(self, page: Page, options: MoveOptions) -> None:
        rest = page
        if self.reach is not None:
            rows, ids = self.reach.take(len(page.rows))
            count = len(rows)
            if canonical_bytes(rows) != canonical_bytes(page.rows[:count]):
                self._refuse_rows(page.rows, rows)
            if self.target.keeps_ids and page.ids is not None and ids != list(page.ids[:count]):
                self._refuse_ids(page.ids, ids)
            if count == len(page.rows):
                return
            self.reach = None
            rest = Page(
                page.part,
                page.rows[count:],
                None if page.ids is None else page.ids[count:],
                None if page.times is None else page.times[count:],
            )
        self.moved += len(rest.rows)
        if not options.dry_run:
            self._append(rest)

    def _append(self, page: Page) -> None:
        try:
            self.target.append(page)
        except (ArgumentError, ConflictError, TooLargeError) as error:
            raise refused_by_journal(self.source_name, page, error) from error

    def _refuse_rows(self, expected: list[Row], found: list[Row]) -> None:
        for row, other in zip(expected, found, strict=False):
            if canonical_bytes([row]) != canonical_bytes([other]):
                raise _other_contents(self.target, self.part, row, other)

    def _refuse_ids(self, expected: object, found: object) -> None:
        message = (
            f"{self.target.name}: expected {self.part} with ids from {expected!r:.40} on, found"
            f" {found!r:.40}; nothing was changed. Name a target of its own"
        )
        raise TargetError(message)

    def end(self) -> None:
        """Behind the source's last row; raises TargetError if the target has more."""
        if self.reach is not None and (more := self.reach.take(1)[0]):
            message = (
                f"{self.target.name}: expected {self.count} {self.part}, as the source has, found more:"
                f" {described(more[0])}. It has gone on since it was moved; nothing was changed."
                " Name another target, or go on with this one"
            )
            raise TargetError(message)


class Mover:
    """One move."""

    def __init__(self, source: Source, target: Target, options: MoveOptions) -> None:
        """From ``source`` to ``target``, both open."""
        self._source = source
        self._target = target
        self._options = options
        self._parts: dict[str, _PartMove] = {}
        self._tracked: dict[str, dict[str, int]] = {}
        self._stretches: _PartMove | None = None
        # Then digests are those of what is read back at the end.
        self._reads_twice = source.can_repeat and target.can_repeat and not options.dry_run
        self._done = 0
        extents = source.extents().values()
        self._total = sum(extent.rows for extent in extents) * (1 if options.dry_run else 2)

    def move(self, translate: Callable[[Tracked], Tracked], left_out: list[str]) -> MoveReport:
        """Move everything, read it back, and make it durable.

        ``translate`` turns tracking records of the source into those of the target.
        """
        self._move_all()
        tracked = [translate(Tracked(*item)) for item in self._tracked.items()]
        verified = False
        digests = {part: move.source_digest.text() for part, move in self._parts.items()}
        if not self._options.dry_run:
            if self._target.can_repeat:
                digests = self._verify()
                verified = True
            self._track(tracked)
            counts = {part: move.count for part, move in self._parts.items()}
            self._target.finish(counts, digests)
        return MoveReport(
            source=self._source.name,
            target=self._target.name,
            parts=tuple(
                MovedPart(
                    part=part,
                    count=move.count,
                    moved=move.moved,
                    digest=digests[part],
                    missing_ids=move.stretches.missing_ids,
                    extras_left_out=move.extras_left_out,
                )
                for part, move in self._parts.items()
            ),
            tracking={name: at for item in tracked for name, at in item.ids.items()},
            left_out=tuple(left_out),
            verified=verified,
            durable=not self._options.dry_run and self._target.is_durable,
            dry_run=self._options.dry_run,
        )

    # Moving

    def _move_all(self) -> None:
        for item in self._source.stream():
            if isinstance(item, Tracked):
                self._tracked.setdefault(item.part, {}).update(item.ids)
                continue
            move = self._parts.get(item.part)
            if move is None:
                move = self._parts[item.part] = _PartMove(
                    item.part, self._source.name, self._target
                )
            page, left_out = self._kept(item)
            move.extras_left_out += left_out
            self._check_ids(page, move)
            if not self._target.keeps_ids:
                check_rows(self._source.name, page)
            if move.is_keyed or not self._reads_twice:
                move.source_digest.add(page.rows)
            move.take(page, self._options)
            self._tell(len(page.rows))
        for move in self._parts.values():
            move.end()
        if self._stretches is not None:
            self._stretches.end()

    def _kept(self, page: Page) -> tuple[Page, int]:
        """A page without what is to be left out, and the number of its rows that had some."""
        count = sum(map(has_extras, page.rows)) if self._options.without_extras else 0
        if not count:
            return page, 0
        return page._replace(rows=[row[:_PLAIN_FIELDS] for row in page.rows]), count

    def _check_ids(self, page: Page, move: _PartMove) -> None:
        """See that ids rise, and that they are the positions, unless those are numbered anew."""
        ids = page.ids
        if ids is None or move.part not in {EVENTS, DCB}:
            return
        position = move.count + 1
        if move.last_id + 1 == position and list(ids) == [*range(position, position + len(ids))]:
            move.last_id = ids[-1]
            return
        for found in ids:
            if found <= move.last_id:
                message = (
                    f"{self._source.name}: expected notification ids of {move.part} that rise from 1 on, found"
                    f" {found} behind {move.last_id}; sort the source by them"
                )
                raise SourceError(message)
            move.last_id = found
        if self._target.keeps_ids:
            return
        if not self._options.renumber or move.part != EVENTS:
            raise self._gap(ids, position, move.part)
        rows = move.stretches.rows_of(position, ids)
        if rows:
            if self._stretches is None:
                self._stretches = _PartMove(SOURCE_IDS, self._source.name, self._target)
            self._stretches.take(Page(SOURCE_IDS, rows), self._options)

    def _gap(self, ids: Sequence[int], position: int, part: str) -> GapsError:
        at, found = next((at, found) for at, found in enumerate(ids, position) if found != at)
        cure = (
            "Run `aurora-es import` again with --gaps renumber to number events anew from there on: a"
            " record of it is kept, by which tracking records of followers that are imported later are"
            " translated"
            if part == EVENTS
            else "Fill them in, in the source, or leave the ids out: `aurora-es import jsonl`"
        )
        return GapsError(
            f"{self._source.name}: expected notification id {at} of {part}, found {found}: ids are"
            f" missing, and positions of a journal have no gaps. {cure}"
        )

    def _tell(self, count: int) -> None:
        self._done += count
        if self._options.progress is not None:
            self._options.progress(self._done, max(self._done, self._total))

    def _track(self, tracked: list[Tracked]) -> None:
        for item in tracked:
            there = self._target.tracked(item.part)
            for name, reached in item.ids.items():
                if there.get(name, 0) > reached:
                    message = (
                        f"{self._target.name}: expected {name!r} tracked up to {reached} at most, found"
                        f" {there[name]}: it has gone on since it was moved. Name another target"
                    )
                    raise TargetError(message)
            wanted = {name: at for name, at in item.ids.items() if there.get(name) != at}
            if wanted:
                self._target.track(Tracked(item.part, wanted))

    # Reading back

    def _verify(self) -> dict[str, str]:
        """Read both sides again; returns digests by part. Raises NotMovedError."""
        ordered = {part: _Both(part) for part, move in self._parts.items() if not move.is_keyed}
        if self._source.can_repeat:
            for item in self._source.stream():
                if isinstance(item, Page) and item.part in ordered:
                    both = ordered[item.part]
                    both.source.add(self._kept(item)[0].rows)
                    both.add_ids(item, both.source_ids)
        # Of all parts: a target of something else may hold some that the source has not.
        asked = tuple(part for part in PARTS if not self._target.is_keyed(part))
        for page in self._target.read_back(asked):
            if page.part not in ordered:
                raise self._more_than_source(page)
            both = ordered[page.part]
            both.target.add(page.rows)
            both.add_ids(page, both.target_ids)
            self._tell(len(page.rows))
        for part, both in ordered.items():
            if not self._source.can_repeat:
                both.source = self._parts[part].source_digest
            self._compare(part, both)
        return {
            part: ordered[part].source.text() if part in ordered else move.source_digest.text()
            for part, move in self._parts.items()
        }

    def _more_than_source(self, page: Page) -> TargetError:
        return TargetError(
            f"{self._target.name}: expected no {page.part}, as the source has none, found"
            f" {described(page.rows[0])}. Name another target, or go on with this one"
        )

    def _compare(self, part: str, both: _Both) -> None:
        source, target = both.source, both.target
        moved = self._parts[part].count
        has_ids = self._source.can_repeat and self._target.keeps_ids and both.source_has_ids
        if (target.count, target.text()) != (source.count, source.text()) or source.count != moved:
            message = (
                f"{self._target.name}: expected {source.count} {part} with digest {source.text()}, as"
                f" the source has now, read back {target.count} with {target.text()}; moved were"
                f" {moved}. Did the source change meanwhile? Move to another target, and keep this one"
                " to look at"
            )
            raise NotMovedError(message)
        if has_ids and both.source_ids.digest() != both.target_ids.digest():
            message = (
                f"{self._target.name}: read back, {part} have other notification ids than in the source;"
                " move to another target, and keep this one to look at"
            )
            raise NotMovedError(message)


class _Both:
    """What is read back of a part on both sides."""

    def __init__(self, part: str) -> None:
        self.source, self.target = Digest(part), Digest(part)
        self.source_ids, self.target_ids = sha256(), sha256()
        self.source_has_ids = True

    def add_ids(self, page: Page, digest: object) -> None:
        """Add the ids of a page to one of the two."""
        if page.ids is None:
            self.source_has_ids = False
            return
        digest.update(array("q", page.ids).tobytes())  # type: ignore[attr-defined]


def _other_contents(target: Target, part: str, expected: Row, found: Row) -> TargetError:
    return TargetError(
        f"{target.name}: expected {part} as in the source, {described(expected)}, found"
        f" {described(found)}; nothing was changed. Name a target that is not there yet, or one that an"
        " earlier move of the same source has left"
    )
