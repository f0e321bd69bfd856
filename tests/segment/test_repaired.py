"""Parts that do not follow each other never become a repaired segment."""

from __future__ import annotations

from pathlib import Path

import pytest

from aurora_es.errors import CorruptionError
from aurora_es.files.layer import Effects
from aurora_es.format.packed import LostPayload
from aurora_es.format.payload import CheckpointPayload
from aurora_es.segment.commits import SegmentCommit
from aurora_es.segment.repaired import RepairedPlace, write_repaired
from tests.journal.support import QuickFiles

EFFECTS = Effects(QuickFiles(), clock=lambda: 5)
PLACE = RepairedPlace(bytes(16), 1, 11, 6, 1, (0, 0, 0), None)
FIRST = SegmentCommit(6, bytes(16), 5, None, 11, [])


@pytest.mark.parametrize(
    "wrong",
    [
        SegmentCommit(8, bytes(16), 5, None, 11, []),
        SegmentCommit(7, bytes(16), 5, None, 12, []),
        LostPayload(11, 12, 8, 9),
        LostPayload(12, 13, 7, 8),
        LostPayload(11, 12, 7, 5),
        LostPayload(11, 9, 7, 8),
    ],
)
def test_parts_that_do_not_follow_are_refused(
    tmp_path: Path, wrong: SegmentCommit | LostPayload
) -> None:
    """The error tells what was expected and found, and no file is left."""
    with pytest.raises(CorruptionError) as raised:
        write_repaired(
            EFFECTS,
            str(tmp_path),
            PLACE,
            [FIRST, wrong],
            revision=1,
            checkpoint=CheckpointPayload(5, []),
        )
    assert raised.value.expected == "commit 7 with position 11 next"
    assert raised.value.found.startswith("commits ")
    assert list(tmp_path.iterdir()) == []
