"""Errors of moving: what is wrong with a source, with a target, or with what was moved.

What the journal beneath raises (a full disk, a failed sync, corruption) comes as it is.
"""

from __future__ import annotations

from aurora_es.errors import AuroraError


class MovingError(AuroraError):
    """Base of what moving raises on its own account."""


class SourceError(MovingError):
    """The source is not what it has to be: no such table, a bad row, a bad line.

    What came before it is in the target, and the same call goes on there.
    """


class GapsError(SourceError):
    """Notification ids of the source have gaps, which positions cannot have."""


class TargetError(MovingError):
    """The target holds something else, or cannot hold what is to be moved; it was not changed."""


class NotMovedError(MovingError):
    """Read back, the two sides differ."""
