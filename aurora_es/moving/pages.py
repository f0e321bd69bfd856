"""Pages: what is moved, in the one form that all sides read and write; and its digest.

Theory of operation: a page is a number of rows, in the order of the journal's format: (originator
id, version, topic, state), and for records that have them (…, tags, event uuid, metadata). Ids are
as on disk, the 16 bytes of a UUID or a text. Two sides hold the same if their rows are the same in
the same order, whatever the pages: so the digest is one of the rows' canonical bytes, one behind
the other. Neither notification ids nor times are in it: ids are compared by themselves, since a
target may have to number anew, and times of recording are those of each side.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from aurora_es.format.payload import encode_payload
from aurora_es.index.keys import text_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Row = tuple[Any, ...]

ROWS_MAX = 16_384  # of a commit of a journal: a sync for each is little beside the rest
BYTES_MAX = 1 << 22  # from so many bytes of states on a page ends; one state may be greater

EVENTS = "events"
SNAPSHOTS = "snapshots"
DCB = "dcb"
TRACKING = "tracking"
PARTS = (EVENTS, SNAPSHOTS, DCB)

_PLAIN_FIELDS = 4
# An array of the format begins with one byte up to 15 elements, with three up to 65,535.
_SHORT_ARRAY_MAX, _MIDDLE_ARRAY_MAX = 15, 65_535


class Page(NamedTuple):
    """Rows of one part of a side, with their notification ids, if they have any, and times."""

    part: str
    rows: list[Row]
    ids: Sequence[int] | None = None
    times: Sequence[int] | None = None  # microseconds since 1970, of recording


def bounded(page: Page) -> Iterator[Page]:
    """The same rows in pages of bounded size, however large one row may be; none for no rows."""
    begin = size = 0
    for end, row in enumerate(page.rows):
        if end > begin and size >= BYTES_MAX:
            yield _part_of(page, begin, end)
            begin, size = end, 0
        size += len(row[3])
    if page.rows:
        yield _part_of(page, begin, len(page.rows))


def _part_of(page: Page, begin: int, end: int) -> Page:
    return Page(
        page.part,
        page.rows[begin:end],
        None if page.ids is None else page.ids[begin:end],
        None if page.times is None else page.times[begin:end],
    )


class Tracked(NamedTuple):
    """Notification ids reached, by name of the application that is followed."""

    part: str  # the journal that holds the records: events of a process, or tracking
    ids: dict[str, int]


class Extent(NamedTuple):
    """How many rows a part has, and the last of their ids, if they have any."""

    rows: int
    last_id: int | None = None


class Digest:
    """Digest of rows: SHA-256 of their canonical bytes.

    Snapshots have no order of their own, and sides list them in different ones: of them, it is the
    sum of the digests of all rows, modulo 2^256.
    """

    def __init__(self, part: str) -> None:
        """Of nothing yet."""
        self._is_sum = part == SNAPSHOTS
        self._hash = sha256()
        self._sum = 0
        self.count = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        self.count += len(rows)
        if not self._is_sum:
            self._hash.update(canonical_bytes(rows))
            return
        for row in rows:
            self._sum += int.from_bytes(sha256(canonical_bytes([row])).digest(), "big")

    def text(self) -> str:
        """Hexadecimal digits."""
        return f"{self._sum % (1 << 256):064x}" if self._is_sum else self._hash.hexdigest()


def canonical_bytes(rows: Sequence[Row]) -> bytes:
    """The same bytes for the same rows: MessagePack arrays, one behind the other.

    A UUID and its 36-character text are one id, as they are one aggregate.
    """
    data = encode_payload(
        [
            row if type(row[0]) is bytes and len(row) == _PLAIN_FIELDS else _plain(row)
            for row in rows
        ]
    )
    count = len(rows)
    header = 1 if count <= _SHORT_ARRAY_MAX else 3 if count <= _MIDDLE_ARRAY_MAX else 5
    return data[header:]


def _plain(row: Row) -> Row:
    """A row with its canonical id, and without fields behind the state that hold their default."""
    originator_id = row[0]
    if type(originator_id) is str:
        originator_id = text_key(originator_id)
    extras = row[_PLAIN_FIELDS:]
    if not has_extras(row):
        extras = ()
    return (originator_id, *row[1:_PLAIN_FIELDS], *extras)


def has_extras(row: Row) -> bool:
    """Whether a row has tags, an event uuid or metadata."""
    if len(row) == _PLAIN_FIELDS:
        return False
    tags, event_uuid, metadata = row[_PLAIN_FIELDS:]
    return bool(tags) or event_uuid is not None or metadata is not None


class Reach:
    """Takes as many rows as are asked for from pages of any size."""

    def __init__(self, pages: Iterable[Page]) -> None:
        """Take from ``pages``."""
        self._pages: Iterator[Page] = iter(pages)
        self._page: Page | None = None
        self._at = 0

    def take(self, count: int) -> tuple[list[Row], list[int]]:
        """The next ``count`` rows and their ids; fewer only at the end."""
        rows: list[Row] = []
        ids: list[int] = []
        while len(rows) < count:
            if self._page is None or self._at == len(self._page.rows):
                self._page, self._at = next(self._pages, None), 0
                if self._page is None:
                    break
            end = self._at + count - len(rows)
            rows += self._page.rows[self._at : end]
            ids += (self._page.ids or ())[self._at : end]
            self._at = min(end, len(self._page.rows))
        return rows, ids
