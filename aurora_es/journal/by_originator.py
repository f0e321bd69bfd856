"""Reads an originator's records with their positions and times, page by page, for whoever looks.

Theory of operation: the index answers with positions, sorted by version. Pages of versions are asked
for one after the other, so that memory holds one page and, in the order of positions, eight bytes
per record. What an index run says are candidates: another id may have the same 64-bit key. Where one
turns up in a page, the page may have been cut off between records of one version, and so all are
asked for at once; that happens once in many journals.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

from aurora_es.index.keys import originator_key
from aurora_es.index.query import Query
from aurora_es.journal.filtering import matches_at
from aurora_es.journal.generation import renew_past
from aurora_es.journal.handle import MissingSegmentError
from aurora_es.journal.reading import index_up_to, read_position

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.index.tail import Key
    from aurora_es.journal.filtering import Match
    from aurora_es.journal.handle import Handle

_PAGE_RECORDS = 1 << 10
_PAGE_POSITIONS = 1 << 14
_EVERYTHING = Query()


def read_at(handle: Handle, positions: Sequence[int]) -> list[Match]:
    """Read the records at ``positions``, which rise, with their times."""
    if not positions:
        return []
    while True:
        index = index_up_to(handle, positions[-1])
        try:
            return matches_at(handle, index, _EVERYTHING, list(positions), with_times=True)
        except MissingSegmentError as error:
            # Cooled by another process since the index in memory was built.
            if not renew_past(handle, error.segment_number):
                raise


def read_versions(  # noqa: PLR0913 - the library's own arguments
    handle: Handle,
    key: Key,
    *,
    gt: int | None,
    lte: int | None,
    desc: bool,
    limit: int | None,
    until: int,
) -> Iterator[list[Match]]:
    """Yield an originator's records up to position ``until``, sorted by version, in pages."""
    missing = limit
    wanted = _PAGE_RECORDS if limit is None else min(limit, _PAGE_RECORDS)
    while missing is None or missing > 0:
        positions, _ = index_up_to(handle, until).select(
            key, gt=gt, lte=lte, desc=desc, limit=wanted, until=until
        )
        if not positions:
            return
        by_position = {match[0]: match for match in read_at(handle, sorted(positions))}
        found = [by_position[position] for position in positions]
        page = [match for match in found if originator_key(match[2].originator_id) == key]
        if len(page) < len(found) and len(positions) == wanted:
            wanted *= 2  # of two ids with one key: ask for more at once
            continue
        if missing is not None:
            del page[missing:]
            missing -= len(page)
        yield page
        last = found[-1][2].originator_version
        assert last is not None
        gt, lte = (gt, last - 1) if desc else (last, lte)


def positions_of(handle: Handle, key: Key, until: int) -> array[int]:
    """Positions up to ``until`` that rise, of an originator's records; some may be of another id."""
    found: array[int] = array("Q")
    before: set[int] = set()
    gt: int | None = None
    while True:
        positions, _ = index_up_to(handle, until).select(
            key, gt=gt, lte=None, desc=False, limit=_PAGE_POSITIONS, until=until
        )
        found.extend(position for position in positions if position not in before)
        if len(positions) < _PAGE_POSITIONS:
            break
        # The page may end between records of one version, of two ids with one key.
        last = read_position(handle, positions[-1]).originator_version
        assert last is not None
        gt = last if before.issuperset(positions) else last - 1
        before = set(positions)
    if any(left > right for left, right in pairwise(found)):
        return array("Q", sorted(found))
    return found
