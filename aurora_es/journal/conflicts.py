"""Decides whether a commit may be written: a pure function of index state and commit.

``GroupClaims`` holds what earlier commits of the same group claim and have not made durable yet.

A commit's condition is checked against the postings of the segments in memory, which hold every
record above the position up to which it was looked at before the lock: see ``conditions.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from aurora_es.errors import Conflict, ConflictError
from aurora_es.index.postings import TailPostings
from aurora_es.journal.lookup import JournalIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.index.tail import TailIndex
    from aurora_es.journal.commit import Identity, PreparedCommit

_UUID_BYTES = 16
_PENDING = 0
_CONDITION_MESSAGE = "the condition is broken; nothing was written. Read again (Journal.read)"


class GroupClaims:
    """Versions and tracking positions claimed by the commits of one group."""

    __slots__ = ("postings", "tails", "tracking", "versions")

    def __init__(self, tails: Sequence[TailIndex] = ()) -> None:
        """Start with nothing claimed; ``tails`` as in ``admit``."""
        self.tails = tails
        self.versions: set[tuple[bytes | str, int]] = set()
        self.tracking: dict[str, int] = {}
        # What earlier commits are about to append, if a later one has a condition.
        self.postings: TailPostings | None = None


_NOTHING = GroupClaims()
_ONE_MESSAGE = [(None, None)]


def admit(
    index: JournalIndex, group: list[PreparedCommit], tails: Sequence[TailIndex] = ()
) -> list[PreparedCommit]:
    """The commits of ``group`` that may be written, in order; the others get their error.

    ``tails`` are for conditions: segments with postings of all that was not looked at before.
    """
    if len(group) == 1:
        commit = group[0]
        if commit.condition is None and (
            commit.tracking is None or not _tracking_conflicts(index, _NOTHING, commit)
        ):
            if index.continues(commit.identities):
                commit.rises = True
                return group
            if commit.identities == _ONE_MESSAGE:
                return group  # a change of a view, or a message: nothing to conflict with
    claims = GroupClaims(tails)
    if len(group) > 1 and any(commit.condition is not None for commit in group):
        claims.postings = TailPostings(index.position + 1)
    winners = []
    for commit in group:
        if check_commit(index, claims, commit):
            winners.append(commit)
            if claims.postings is not None:
                claims.postings.add(claims.postings.position + 1, commit.labels())
    return winners


def check_commit(index: JournalIndex, claims: GroupClaims, commit: PreparedCommit) -> bool:
    """Say whether ``commit`` may be written, and claim what it claims.

    If not, ``commit.error`` is set, and ``commit.error_depends_on_group`` when it only conflicts
    with a commit of its own group, whose fate is open until the group is on disk.
    """
    if commit.condition is not None and not _condition_holds(claims, commit):
        return False
    if len(commit.identities) == 1 and commit.tracking is None:
        key, version = claim = commit.identities[0]
        if key is None or version is None:
            return True
        if claim not in claims.versions:
            commit.rises = index.continues(commit.identities)
            if commit.rises or not index.find(key, version):
                claims.versions.add((key, version))
                return True
    conflicts = _version_conflicts(index, claims, commit.identities) + _tracking_conflicts(
        index, claims, commit
    )
    if not conflicts:
        for key, version in commit.identities:
            if key is not None and version is not None:
                claims.versions.add((key, version))
        if commit.tracking is not None:
            claims.tracking[commit.tracking.application_name] = commit.tracking.notification_id
        return True
    commit.error = ConflictError(_message(conflicts), conflicts)
    commit.error_depends_on_group = all(
        conflict.position == _PENDING and not _repeats_itself(commit, conflict)
        for conflict in conflicts
    )
    return False


def _condition_holds(claims: GroupClaims, commit: PreparedCommit) -> bool:
    """Whether nothing new matches the condition; if something does, ``commit.error`` is set.

    Its caller names the positions: he looks again, without a lock.
    """
    condition = commit.condition
    assert condition is not None
    known = max(condition.after, commit.looked_to)
    if commit.is_broken or any(tail.has_match(condition.query, known) for tail in claims.tails):
        commit.error = ConflictError(_CONDITION_MESSAGE)
        return False
    pending = claims.postings
    if pending is not None and pending.has_match(condition.query, condition.after):
        commit.error = ConflictError(_CONDITION_MESSAGE)
        commit.error_depends_on_group = True
        return False
    return True


def tracking_refusal(application_name: str, notification_id: int) -> ConflictError:
    """The error for tracking that is not above ``notification_id``, which is recorded already."""
    conflicts = [Conflict(None, None, notification_id, application_name)]
    return ConflictError(_message(conflicts), conflicts)


def refuse_repetition(identities: Sequence[Identity]) -> None:
    """Raise ConflictError for a commit that holds the same originator and version twice."""
    conflicts = _version_conflicts(JournalIndex(), GroupClaims(), identities)
    if conflicts:
        raise ConflictError(_message(conflicts), conflicts)


def _version_conflicts(
    index: JournalIndex, claims: GroupClaims, identities: Sequence[Identity]
) -> list[Conflict]:
    conflicts = []
    own: set[tuple[bytes | str, int]] = set()
    for key, version in identities:
        if key is None or version is None:
            continue
        claim = (key, version)
        position = index.find(key, version)
        if position or claim in claims.versions or claim in own:
            conflicts.append(Conflict(_originator_id(key), version, position))
        own.add(claim)
    return conflicts


def _tracking_conflicts(
    index: JournalIndex, claims: GroupClaims, commit: PreparedCommit
) -> list[Conflict]:
    tracking = commit.tracking
    if tracking is None or commit.tracking_may_fall:
        return []
    name = tracking.application_name
    recorded = index.tracking.get(name)
    if recorded is not None and recorded.notification_id >= tracking.notification_id:
        return [Conflict(None, None, recorded.notification_id, name)]
    if claims.tracking.get(name, -1) >= tracking.notification_id:
        return [Conflict(None, None, _PENDING, name)]
    return []


def _repeats_itself(commit: PreparedCommit, conflict: Conflict) -> bool:
    """Whether the commit holds the same originator and version twice."""
    if conflict.tracking_name is not None:
        return False
    claims = [claim for claim in commit.identities if claim[1] == conflict.originator_version]
    return len(claims) > len(set(claims))


def _originator_id(key: bytes | str) -> UUID | str:
    return UUID(bytes=key) if isinstance(key, bytes) and len(key) == _UUID_BYTES else str(key)


def _message(conflicts: list[Conflict]) -> str:
    first = conflicts[0]
    more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
    if first.tracking_name is not None:
        return (
            f"tracking of {first.tracking_name!r}: the notification id must be greater than"
            f" {first.position or 'that of a commit of the same moment'}{more}; nothing was written. Read how far it is (Journal.tracking, max_tracking_id),"
            " and go on from there"
        )
    where = f"at position {first.position}" if first.position else "by a commit of the same moment"
    return (
        f"originator {first.originator_id} has version {first.originator_version} already,"
        f" recorded {where}{more}; nothing was written. Read the newer events"
        " (Journal.read, repository.get) and decide again"
    )
