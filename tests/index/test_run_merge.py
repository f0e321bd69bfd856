"""Merging runs is building one of all their entries; crashes and damage leave no half a run."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.files.layer import SYSTEM_EFFECTS, Effects
from aurora_es.format.names import NEW_SUFFIX
from aurora_es.index import merge
from aurora_es.index.build import build_run
from aurora_es.index.merge import merge_runs
from aurora_es.index.run import Run
from aurora_es.index.run_file import RunDamagedError
from aurora_es.index.run_writer import Coverage, publish_run
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.index.runs import (
    DIGEST,
    DIRECTORY,
    GENESIS_ID,
    SMALL,
    Contents,
    contents,
    imagined_effects,
    open_run,
    write_run,
)

if TYPE_CHECKING:
    from aurora_es.format.run import Columns, RunHeader

MERGED = f"{DIRECTORY}/merged"
NEW_DIGEST = b"digest of merged"


def cut(made: Contents, borders: list[int]) -> list[Contents]:
    """Cut the positions at ``borders`` (last positions) into segments, of which some are empty."""
    parts = []
    base = made.base_position
    for last in [*sorted(borders), made.last_position]:
        entries = [entry for entry in made.entries if base <= entry[2] <= last]
        parts.append(Contents(base, last, entries))
        base = last + 1
    return parts


def write_parts(effects: Effects, parts: list[Contents]) -> list[Run]:
    """Write a run for each segment."""
    runs = []
    for number, part in enumerate(parts, start=1):
        path = f"{DIRECTORY}/{number}"
        topics = {"all": len(part.entries), f"only in {number}": 1}
        positions = part.base_position, part.last_position
        common = [(number % 2 + 7, *positions), (9, *positions)]
        write_run(
            effects,
            part.coverage(number),
            part.entries,
            path=path,
            topics=topics,
            commons=common,
        )
        runs.append(open_run(effects.files, path))
    return runs


@given(contents(), st.data(), st.sampled_from([1, 2, 2048]))
def test_merged_is_built_at_once(made: Contents, data: st.DataObject, window: int) -> None:
    """The merged file has the very bytes of a run built from all entries, however it is read."""
    at = st.integers(made.base_position - 1, made.last_position)
    middles = [position for _, _, position in made.entries] or [made.base_position - 1]
    parts = cut(made, data.draw(st.lists(at | st.sampled_from(middles), min_size=1, max_size=4)))
    effects, files = imagined_effects()
    runs = write_parts(effects, parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "_WINDOW_BLOCKS_MAX", window)
        patch.setattr(merge, "_WINDOW_BLOCKS_MIN", min(window, 16))
        header = merge_runs(effects, MERGED, runs, level=1, source_digest=NEW_DIGEST)
    publish_run(files, MERGED)
    topics: dict[str, int] = {}
    commons = []
    for run in runs:
        for topic, count in (run.topics() or {}).items():
            topics[topic] = topics.get(topic, 0) + count
        commons += run.directory.commons
    positions = made.base_position, made.last_position
    coverage = Coverage(GENESIS_ID, 1, 1, len(parts), *positions, NEW_DIGEST)
    at_once = write_run(
        effects, coverage, made.entries, path="/data/at once", topics=topics, commons=commons
    )
    assert header == at_once
    assert files.disk.content(MERGED) == files.disk.content("/data/at once")
    assert bool(header.is_monotone) == made.is_monotone()
    assert open_run(files, MERGED, NEW_DIGEST).common(9) == [positions]


def test_topics_that_one_input_does_not_list() -> None:
    """Where one input left its topics out, the merged run does not pretend to know them."""
    effects, files = imagined_effects()
    parts = cut(SMALL, [50])
    write_run(effects, parts[0].coverage(1), parts[0].entries, path="/data/1", topics={"a": 1})
    write_run(effects, parts[1].coverage(2), parts[1].entries, path="/data/2", topics=None)
    runs = [open_run(files, "/data/1"), open_run(files, "/data/2")]
    merge_runs(effects, MERGED, runs, level=1, source_digest=NEW_DIGEST)
    publish_run(files, MERGED)
    assert open_run(files, MERGED, NEW_DIGEST).topics() is None


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_damaged_input(number: int) -> None:
    """Damage in any input is reported, and neither the merged run nor a part of it is left."""
    effects, files = imagined_effects()
    runs = write_parts(effects, cut(SMALL, [40, 79]))
    files.disk.damage(f"{DIRECTORY}/{number}", 1100, 1)
    with pytest.raises(RunDamagedError, match=f"{DIRECTORY}/{number}"):
        merge_runs(effects, MERGED, runs, level=1, source_digest=NEW_DIGEST)
    assert sorted(files.listdir(DIRECTORY)) == ["1", "2", "3"]
    assert files.open_paths == [f"{DIRECTORY}/{number}" for number in (1, 2, 3)]


def merge_and_publish(effects: Effects, runs: list[Run]) -> RunHeader:
    """Merge as the journal does."""
    header = merge_runs(effects, MERGED, runs, level=1, source_digest=NEW_DIGEST)
    publish_run(effects.files, MERGED)
    return header


@pytest.mark.parametrize("fault", ["error", "short", "kill"])
def test_whatever_operation_fails(fault: str) -> None:
    """Failed, short and cut operations, and power cuts after them, leave a whole run or none."""
    for after in range(100):
        effects, files = imagined_effects()
        runs = write_parts(effects, cut(SMALL, [40, 79]))
        # Debris of an earlier attempt is no obstacle.
        files.close(files.open(MERGED + NEW_SUFFIX, 0o102))
        faulty = FaultyFiles(files, random.Random(after))
        faulty.arm(Fault(fault, "middle"), after)
        try:
            merge_and_publish(Effects(faulty, random_bytes=effects.random_bytes), runs)
        except OSError:
            assert fault == "error"
        except SimulatedKill:
            files.disk.crash(random.Random(after))
        if faulty.struck is None:
            break
        survivor = CrashableFiles(files.disk)
        if "merged" in survivor.listdir(DIRECTORY):
            run = open_run(survivor, MERGED, NEW_DIGEST)
            assert run.select(1) == SMALL.of_key(1)
            assert run.positions(*run.posting_range(1 << 62, after=0, until=999)) == [91, 200]
        if fault == "error":
            assert f"{MERGED}{NEW_SUFFIX}" not in files.open_paths
        if fault == "error" and faulty.struck in {"pwrite", "fsync"}:
            # A full disk gets its space back.
            assert sorted(survivor.listdir(DIRECTORY)) == ["1", "2", "3"]
    assert 8 < after < 99


def hot_columns(first: int, count: int) -> Columns:
    """Return the postings of many originators, in the order of positions."""
    positions = np.arange(first, first + count, dtype=np.uint64)
    keys = positions * np.uint64(0x9E3779B97F4A7C15) % np.uint64(50_000)
    return keys, (positions // np.uint64(50_000)).astype(np.int64), positions


def test_memory_of_a_merge_is_bounded(tmp_path: Path) -> None:
    """Merging files of 32 MB takes less memory than half of them, at any moment."""
    count = 1_000_000
    runs = []
    for number in (1, 2):
        base = 1 + (number - 1) * count
        coverage = Coverage(GENESIS_ID, 0, number, number, base, base + count - 1, DIGEST)
        path = str(tmp_path / str(number))
        postings = hot_columns(base, count)
        build_run(SYSTEM_EFFECTS, path, coverage, postings=postings, topics={}, commons=[])
        publish_run(SYSTEM_EFFECTS.files, path)
        runs.append(open_run(SYSTEM_EFFECTS.files, path))
    tracemalloc.start()
    header = merge_runs(
        SYSTEM_EFFECTS, str(tmp_path / "merged"), runs, level=1, source_digest=NEW_DIGEST
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert header.entry_count == 2 * count
    assert peak < 16 << 20
