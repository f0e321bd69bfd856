"""What a history draws from its random source: commits to append, and faults to arm."""

from __future__ import annotations

import errno
import random
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.journal.commit import PreparedCommit, prepare_commit, tracking_data
from aurora_es.journal.records import Record, row_of
from aurora_es.testing.faulty import SYNCS, Fault, FaultyFiles
from tests.crash.truth import Tried

if TYPE_CHECKING:
    from collections.abc import Sequence

Claim = tuple[str, int]  # originator id and version

_WRITES = frozenset({"pwrite"})
_CHANGES = frozenset({"pwrite", "open", "mkdir", "link", "ftruncate", "rename"})
_SIZES = (0, 3, 40, 40, 200)
_LARGE_SIZES = (900, 900, 900, 17_000)


class Drawn(NamedTuple):
    """A commit as it was drawn: what the truth keeps, what the journal gets, what it claims."""

    tried: Tried
    commit: PreparedCommit
    claims: Sequence[Claim]


def draw_commit(
    rng: random.Random,
    serial: int,
    codec: int,
    claims: Sequence[Claim] = (),
    sizes: Sequence[int] = (),
) -> Drawn:
    """Draw a commit of 0 to 3 records, now and then with tracking or with a large record.

    ``claims`` are versions to ask for, ``sizes`` those of states; where they are empty, they are
    made up.
    """
    tracking = (rng.choice("ab"), serial) if rng.random() < 0.2 and not claims else None
    count = len(claims) or rng.choice((0 if tracking else 1, 1, 1, 2, 3))
    claims = claims or [(rng.choice("xyz"), serial * 10 + item) for item in range(count)]
    records = []
    for item, (originator, version) in enumerate(claims):
        size = rng.choice(sizes or (*_SIZES, rng.choice(_LARGE_SIZES)))
        state = f"{serial}.{item}/{count}".encode() + rng.randbytes(4) * (size // 4)
        records.append(
            Record(topic="t", state=state, originator_id=originator, originator_version=version)
        )
    pairs = [row_of(record) for record in records]
    commit_id = rng.randbytes(16)
    commit = prepare_commit(
        commit_id,
        [row for row, _ in pairs],
        [identity for _, identity in pairs],
        None if tracking is None else tracking_data(*tracking),
        codec,
    )
    tried = Tried(commit_id, tuple(record.state for record in records), tracking)
    return Drawn(tried, commit, claims)


def arm_fault(rng: random.Random, files: FaultyFiles) -> bool:
    """Arm a random fault at one of the next operations; returns whether it is a power cut."""
    kind = rng.choice(("kill", "kill", "power", "interrupt", "sync", "error", "short"))
    moment = rng.choice(("before", "middle", "after"))
    # Often just before the end of a write, where only padding or a checksum is missing.
    part = rng.choice((rng.random(), 1.0 - rng.random() * 0.02))
    if kind == "sync":
        files.arm(Fault("error"), rng.randrange(4), SYNCS)
    elif kind == "error":
        number = rng.choice((errno.ENOSPC, errno.ENOSPC, errno.EIO))
        files.arm(Fault("error", moment, part, number), rng.randrange(6), _CHANGES)
    elif kind == "short":
        files.arm(Fault("short", "middle", part), rng.randrange(4), _WRITES)
    else:
        fault = Fault("kill" if kind == "power" else kind, moment, part)
        if moment == "middle":
            files.arm(fault, rng.randrange(4), _WRITES)
        else:
            files.arm(fault, rng.randrange(rng.choice((12, 30, 70))))
    return kind == "power"
