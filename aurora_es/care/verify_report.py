"""What a check of a journal says: a value that a program can go by, and that is printed.

Theory of operation: it is made by ``verify``, once everything has been looked at; see there.
"""

from __future__ import annotations

import msgspec

from aurora_es.care.findings import Finding, PositionRange


class VerifiedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """One segment as it was found."""

    segment_number: int  # from 1
    file_name: str  # in the directory of the journal
    base_position: int  # of its first record
    last_position: int | None  # below the base position when it holds no record; None: not known
    size_bytes: int  # of the file
    is_whole: bool  # nothing is wrong with it
    digest: str | None  # logical, hexadecimal; None if it is not whole


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a journal is whole, and what is wrong if it is not."""

    path: str  # of the journal
    is_whole: bool  # nothing is wrong, and everything could be checked
    is_damaged: bool  # something is wrong that was read
    findings: tuple[Finding, ...]  # what is wrong
    lost: tuple[PositionRange, ...]  # of all findings
    # Without the mark, and with bytes at the end that cannot be read, nobody knows how many
    # positions behind this one are lost, or none; None: all that is lost is known.
    lost_behind: int | None
    lost_commits: int  # of all findings: commits that are gone and held a tracking record only
    first_position: int  # the first that is retained
    last_position: int | None  # as the mark says, or else the segments
    segments: tuple[VerifiedSegment, ...]  # in order
    # Of the commits up to the mark, or up to what was asked for; hexadecimal. None if it was not
    # asked for, or cannot be had.
    digest: str | None
    digest_position: int | None  # of the last record in it
    digest_commit: int | None  # number of the last commit in it
