"""Of two files for one segment the one that holds more counts, for ``verify`` as for ``repair``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aurora_es.care import repair, verify
from aurora_es.care.findings import repair_command
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.names import segment_name
from aurora_es.journal.manifest_file import read_manifest
from tests.care.repairing import COOLED_WITH_RAW, check_repaired, fill, flipped, segment_file
from tests.care.stores import LAST_RUN, SEALED, frames, table, write_store
from tests.journal.support import effects_with

FILES = SYSTEM_EFFECTS.files


@pytest.mark.parametrize(
    ("raw_frames", "cooled_frame", "holder"),
    [
        pytest.param((), 1, "raw", id="the raw one is whole"),
        pytest.param((1,), 1, "raw", id="the raw one has lost less"),
        pytest.param((1, 2, 3, 4), 0, "cooled", id="the cooled one has lost nothing"),
        pytest.param((1, 2, 3, 4), 1, "neither", id="both have lost everything"),
    ],
)
def test_the_file_that_holds_more_counts(
    raw_frames: tuple[int, ...], cooled_frame: int, holder: str, tmp_path: Path
) -> None:
    """``verify`` calls lost what the other file cannot bring back either, and names that file."""
    effects, path = effects_with(), str(tmp_path / "journal")
    truth = fill(effects, path)
    manifest = read_manifest(FILES, path)
    assert manifest is not None
    listed = manifest.segments[COOLED_WITH_RAW - 1]
    raw = segment_name(listed.segment_number, listed.base_position)
    cooled = segment_file(FILES, path, COOLED_WITH_RAW)
    for name, numbers in ((cooled, (cooled_frame,)), (os.path.join(path, raw), raw_frames)):
        places = frames(Path(name))
        for number in numbers:
            flipped(FILES, name, places[number][0] + 75)
    found = verify(path)
    told = [one.found for one in found.findings]
    assert any(raw in one for one in told) == (holder == "raw"), told
    planned = repair(path, dry_run=True, effects=effects)
    done = repair(path, effects=effects)
    assert found.lost == planned.lost == done.lost
    assert (found.lost == ()) == (holder == "cooled" or not raw_frames)
    assert verify(path).is_whole
    check_repaired(effects, path, truth, done)


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("name", [LAST_RUN, table(1)])
def test_a_directory_in_the_place_of_a_cache(
    name: str,
    tmp_path: Path,
    is_killed: bool,  # noqa: FBT001 - a parameter
) -> None:
    """It is kept with what is in it, and the cache is made anew; also behind a killed repair."""
    effects, path = effects_with(), write_store(tmp_path / "journal", SEALED)
    (path / name).unlink()
    (path / name).mkdir()
    (path / name / "notes").write_text("mine")
    (finding,) = verify(path).findings
    planned = repair(path, dry_run=True, effects=effects)
    assert [one.file for one in planned.repairs] == [name]
    kept = tmp_path / "journal.broken-1" / (name + ".broken")
    if is_killed:
        kept.parent.mkdir()
        (path / name).rename(kept)
    done = repair(path, effects=effects)
    assert (done.lost, [one.file for one in done.repairs]) == ((), [name])
    assert (kept / "notes").read_text() == "mine"
    assert verify(path).is_whole
    assert finding.cure == repair_command(str(path))
