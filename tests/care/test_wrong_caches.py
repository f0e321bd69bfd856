"""Index runs and tables that are valid by themselves, and do not say what the segments say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.care import Finding, verify
from aurora_es.care.findings import RUN_WRONG, TABLE_WRONG
from aurora_es.format.manifest import IndexRun
from aurora_es.index.build import build_run
from aurora_es.index.columns import read_columns
from aurora_es.index.fingerprint import fingerprint
from aurora_es.index.run import Run
from aurora_es.index.run_writer import Coverage, publish_run
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.sealed_segments import identity_of
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.frame_table import FramePlaces, write_frame_table
from tests.care.stores import MERGED_RUN, SEALED, segment, store_effects, table, write_store
from tests.journal.support import QuickFiles

if TYPE_CHECKING:
    from aurora_es.format.run import Columns

FILES = QuickFiles()
Topics = dict[str, int]
Commons = list[tuple[int, int, int]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write a sealed store."""
    return write_store(tmp_path / "journal", SEALED)


def entry_of(path: Path) -> tuple[IndexRun, bytes]:
    """The merged run as the manifest lists it, and the genesis id."""
    manifest = read_manifest(FILES, str(path))
    assert manifest is not None
    (entry,) = [run for run in manifest.runs if run.last_segment == 2]
    return entry, bytes.fromhex(manifest.genesis_id)


def rewrite(
    path: Path,
    change: Callable[[Columns], Columns] = lambda columns: columns,
    *,
    topics: Callable[[Topics], Topics] = lambda topics: topics,
    commons: Callable[[Commons], Commons] = lambda commons: commons,
    level: int = 1,
) -> None:
    """Write the merged run anew, with valid checksums and other contents."""
    entry, genesis_id = entry_of(path)
    name = os.path.join(path, MERGED_RUN)
    source = bytes.fromhex(entry.source_digest)
    run = Run(FILES, name, genesis_id=genesis_id, source_digest=source)
    coverage = Coverage(
        genesis_id, level, 1, 2, run.header.base_position, run.header.last_position, source
    )
    listed = run.topics()
    assert listed is not None
    build_run(
        store_effects(b"salt"),
        name,
        coverage,
        postings=change(read_columns(run, 0, run.header.block_count)),
        topics=topics(listed),
        commons=commons([*run.directory.commons]),
    )
    publish_run(FILES, name)


def only_finding(path: Path) -> Finding:
    """The one thing that is wrong."""
    (finding,) = verify(path).findings
    assert finding.lost == ()
    return finding


def test_a_run_written_anew_is_right(path: Path) -> None:
    """With the same contents a run is right, whatever its salt."""
    rewrite(path)
    assert verify(path).is_whole


def without_first(columns: Columns) -> Columns:
    """Leave out an entry."""
    return columns[0][1:], columns[1][1:], columns[2][1:]


def with_other_ordinal(columns: Columns) -> Columns:
    """Change the version of an entry."""
    ordinals = columns[1].copy()
    ordinals[0] += 1
    return columns[0], ordinals, columns[2]


def with_other_position(columns: Columns) -> Columns:
    """Change the position of an entry."""
    positions = columns[2].copy()
    positions[-1] = 8 if positions[-1] != 8 else 7
    return columns[0], columns[1], positions


def with_one_more(columns: Columns) -> Columns:
    """Add an entry."""
    keys, ordinals, positions = columns
    return (
        np.append(keys, np.uint64(77)),
        np.append(ordinals, np.int64(1)),
        np.append(positions, np.uint64(2)),
    )


@pytest.mark.parametrize(
    "change", [without_first, with_other_ordinal, with_other_position, with_one_more]
)
def test_a_run_with_other_entries(path: Path, change: Callable[[Columns], Columns]) -> None:
    """An entry too few, too many, or another one: the block that holds it is named."""
    rewrite(path, change)
    finding = only_finding(path)
    assert (finding.kind, Path(finding.path).name) == (RUN_WRONG, MERGED_RUN)
    assert finding.offset == 1024
    assert finding.cure == f"aurora-es rebuild {path}"


def test_a_run_with_other_topics(path: Path) -> None:
    """Counts of topics, and topics without postings, are compared, too."""
    rewrite(path, topics=lambda topics: {**topics, "Opened": 1})
    assert only_finding(path).offset == 2048
    rewrite(path, commons=lambda commons: commons[1:])
    assert only_finding(path).kind == RUN_WRONG


def test_a_run_of_another_level(path: Path) -> None:
    """What the header says of the run is what the manifest says."""
    rewrite(path, level=2)
    finding = only_finding(path)
    assert (finding.kind, finding.offset) == (RUN_WRONG, 0)
    assert "level 1, segments 1 to 2" in finding.expected
    assert "level 2, segments 1 to 2" in finding.found


@pytest.mark.parametrize("change", ["offset", "position", "frame", "end"])
def test_a_table_of_other_places(path: Path, change: str) -> None:
    """A frame elsewhere, one too few, or another end: the block is named."""
    manifest = read_manifest(FILES, str(path))
    assert manifest is not None
    walk = CommitWalk(SegmentFile(FILES, str(path / segment(1)), writable=False))
    places: FramePlaces = walk.places
    assert [*walk]
    if change == "offset":
        places.offsets[1] += 1
    elif change == "position":
        places.positions[1] += 1
    elif change == "frame":
        places.offsets.pop()
        places.positions.pop()
    else:
        places.end += 8
    identity = identity_of(bytes.fromhex(manifest.genesis_id), manifest.segments[0])
    write_frame_table(store_effects(), str(path), identity, places)
    finding = only_finding(path)
    assert (finding.kind, Path(finding.path).name) == (TABLE_WRONG, table(1))
    assert finding.offset == 128


entries = st.lists(
    st.tuples(
        st.integers(0, (1 << 64) - 1), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(1, 99)
    ),
    unique=True,
    max_size=20,
)


def columns_of(rows: list[tuple[int, int, int]]) -> Columns:
    """Entries as columns."""
    return (
        np.array([row[0] for row in rows], np.uint64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.uint64),
    )


@given(entries, st.randoms(), st.integers(0, 20))
def test_fingerprints_are_those_of_sets(
    rows: list[tuple[int, int, int]], random: object, split: int
) -> None:
    """Neither order nor division changes the fingerprint; one entry less does."""
    whole = fingerprint(columns_of(rows))
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fingerprint(columns_of(shuffled)) == whole
    parts = fingerprint(columns_of(rows[:split])) + fingerprint(columns_of(rows[split:]))
    assert parts % (1 << 64) == whole
    if rows:
        assert fingerprint(columns_of(rows[1:])) != whole
