"""A copy made of links is the store itself: nothing is repaired in it, and the way out is a command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from aurora_es import ForeignDirectoryError
from aurora_es.care import doctor, rebuild, repair, verify
from aurora_es.format.names import MANIFEST, MARK
from tests.care.repairing import check_repaired
from tests.care.stores import LAST_POSITION, SEALED, frames, record, segment, write_store
from tests.journal.support import effects_with, flip, snapshot

GIANT_BYTES = 1 << 40


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A damaged journal of which each file is a file of another store, too, as by ``cp -al``."""
    original = write_store(tmp_path / "journal", SEALED)
    copied = tmp_path / "copy"
    shutil.copytree(original, copied, copy_function=os.link)
    damaged = copied / segment(1)
    damaged.unlink()
    shutil.copy(original / segment(1), damaged)
    flip(damaged, frames(damaged)[1][0] + 80)
    return copied


@pytest.mark.parametrize("size", [None, GIANT_BYTES])
def test_what_an_error_says_leads_out(copy: Path, size: int | None) -> None:
    """The command makes a copy that is repaired; both before are as they were, also a giant mark."""
    original = copy.parent / "journal"
    if size is not None:
        os.truncate(copy / MARK, size)
    before = snapshot(copy / MANIFEST), os.stat(copy / MARK), snapshot(original / MANIFEST)
    for dry_run in (True, False):
        with pytest.raises(ForeignDirectoryError, match="nothing was changed") as refused:
            repair(copy, dry_run=dry_run, effects=effects_with())
    made, next_one = re.findall("`(cp -a --[^`]+|aurora-es[^`]+)`", str(refused.value))
    (told,) = (one for one in doctor(copy, env={}).advice if one.kind == "mark-shared")
    assert f"`{made}`" in told.cure
    assert before == (
        snapshot(copy / MANIFEST),
        os.stat(copy / MARK),
        snapshot(original / MANIFEST),
    )
    subprocess.run(made, shell=True, check=True)  # noqa: S602 - what a person does
    own = Path(f"{copy}.own")
    assert next_one == f"aurora-es repair {own} --dry-run"
    effects = effects_with()
    done = repair(own, effects=effects)
    assert done.lost == ((1, 2),)
    assert verify(own).is_whole
    truth = {position: record(position) for position in range(1, LAST_POSITION + 1)}
    check_repaired(effects, str(own), truth, done)
    assert verify(original).is_whole


def test_a_manifest_is_not_rebuilt_there(copy: Path) -> None:
    """The mark is written in place then, too."""
    shutil.copy(copy.parent / "journal" / segment(1), copy)
    with pytest.raises(ForeignDirectoryError, match="--no-preserve=links"):
        rebuild(copy, manifest=True, effects=effects_with())
