"""What no journal can hold, looked for before a page is appended; and what a journal has refused.

Theory of operation: a journal refuses such rows itself, but knows neither where they are in the
source nor how its user goes on. Bounds of a whole page tell most of them good; what is left is
refused by the journal, and told here. A dry run looks, too, but meets no conflicts: they are found
in the index of the target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import ConflictError
from aurora_es.format.limits import (
    NOTIFICATION_ID_MAX,
    RECORD_BYTES_MAX,
    VERSION_MAX,
    VERSION_MIN,
)
from aurora_es.format.payload import encode_payload
from aurora_es.index.keys import originator_key
from aurora_es.moving.moving_errors import SourceError

if TYPE_CHECKING:
    from aurora_es.errors import AuroraError
    from aurora_es.moving.pages import Page, Row

# What is beside the state is seldom as large, so that few rows have to be encoded to be measured.
_LARGE_BYTES = RECORD_BYTES_MAX // 2
_ROW_CURE = (
    "What is before it is in the target: mend the row or leave it out, in the source, and run"
    " `aurora-es import` again, which goes on there"
)


def check_rows(source: str, page: Page) -> None:
    """Raise SourceError for the first row that no journal can hold."""
    rows = page.rows
    versions = [row[1] for row in rows if row[1] is not None]
    if versions and not VERSION_MIN <= min(versions) <= max(versions) <= VERSION_MAX:
        at = next(
            at
            for at, row in enumerate(rows)
            if row[1] is not None and not VERSION_MIN <= row[1] <= VERSION_MAX
        )
        raise _refused(source, page, at, "an originator version of signed 64 bits")
    for at in [at for at, row in enumerate(rows) if len(row[3]) > _LARGE_BYTES]:
        size = len(encode_payload(rows[at]))
        if size > RECORD_BYTES_MAX:
            raise _refused(source, page, at, f"a record of at most {RECORD_BYTES_MAX} bytes")
    if page.ids is not None and page.ids[-1] > NOTIFICATION_ID_MAX:
        expected = f"notification ids of at most {NOTIFICATION_ID_MAX}"
        raise _refused(source, page, len(rows) - 1, expected)


def refused_by_journal(source: str, page: Page, error: AuroraError) -> SourceError:
    """The error for a page that a journal has refused; says which row it was, if that is known."""
    conflict = next(iter(error.conflicts), None) if isinstance(error, ConflictError) else None
    if conflict is None:
        return SourceError(f"{source}: {page.part} of the source: {error}. {_ROW_CURE}")
    key = originator_key(conflict.originator_id)
    found = [
        at
        for at, row in enumerate(page.rows)
        if (originator_key(row[0]), row[1]) == (key, conflict.originator_version)
    ]
    expected = "each version of an originator once"
    if conflict.position:
        expected += f" (this one is at position {conflict.position})"
    return _refused(source, page, found[-1] if found else 0, expected)


def _refused(source: str, page: Page, at: int, expected: str) -> SourceError:
    row = page.rows[at]
    place = "" if page.ids is None else f" with id {page.ids[at]}"
    return SourceError(
        f"{source}: expected {expected}, found {described(row)} among {page.part},{place or ' there'}."
        f" {_ROW_CURE}"
    )


def described(row: Row) -> str:
    """A row in a message."""
    originator_id = row[0].hex() if isinstance(row[0], bytes) else repr(row[0])
    return f"({originator_id}, {row[1]}, {row[2]!r:.60}, state of {len(row[3])} bytes)"
