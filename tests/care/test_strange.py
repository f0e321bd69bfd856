"""Something else in the place of a small file: ``verify`` names it, ``repair`` moves it aside."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from aurora_es import RollCycle
from aurora_es.care import backup, doctor, repair, restore, verify
from aurora_es.care.findings import (
    FILE_MODE,
    FILE_STRANGE,
    SEGMENT_FRAME_DAMAGED,
    SEGMENT_OVERLONG,
    UNREADABLE,
)
from aurora_es.care.journals import advise_on_strange
from aurora_es.care.repair import RepairReport
from aurora_es.care.strange import strange_files
from aurora_es.errors import ForeignDirectoryError, InUseError, StorageError
from aurora_es.format.names import (
    BACKGROUND_LOCK,
    LOCK,
    LOCK_FILES,
    MANIFEST,
    MARK,
    RECOVERED,
)
from aurora_es.journal import recovery
from aurora_es.segment import salvage
from tests.care.repairing import check_repaired
from tests.care.stores import (
    LAST_POSITION,
    LAST_RUN,
    SEALED,
    frames,
    record,
    segment,
    table,
    write_store,
)
from tests.journal.support import (
    ScriptedFiles,
    bind_socket,
    effects_with,
    error_of,
    flip,
    open_with,
    snapshot,
)

TRUTH = {position: record(position) for position in range(1, LAST_POSITION + 1)}
STRAY = "0000000009-00000000000000000099.segment"
NEXT = "0000000005-00000000000000000019.segment.new"
NAMES = (*LOCK_FILES, RECOVERED, "manifest.new", NEXT, f"{table(4)}.new", f"{LAST_RUN}.new")


def _directory(place: Path) -> None:
    place.mkdir()
    (place / "notes").write_text("mine")


MAKERS: dict[str, Callable[[Path], object]] = {
    "a directory": _directory,
    "a FIFO": os.mkfifo,
    "a link": lambda place: place.symlink_to(place.parent.parent / "outside"),
    "a socket or a device": bind_socket,
}
CASES = [
    *((LOCK, found) for found in MAKERS),
    *((name, "a directory") for name in NAMES if name not in {LOCK, RECOVERED}),
    (RECOVERED, "a file"),
    (RECOVERED, "a link"),
]


def _put(path: Path, name: str, found: str) -> Path:
    """A store with something in the place of one of its files."""
    write_store(path, SEALED)
    (path / name).unlink(missing_ok=True)
    if found == "a file":
        (path / name).write_text("mine")
    else:
        MAKERS[found](path / name)
    return path


@pytest.mark.parametrize(("name", "found"), CASES)
def test_it_is_named_and_moved_aside(name: str, found: str, tmp_path: Path) -> None:
    """By ``verify`` and ``doctor``; a dry run changes nothing; what was there is kept as it was."""
    effects, path = effects_with(), _put(tmp_path / "journal", name, found)
    before = os.lstat(path / name)
    (finding,) = verify(path).findings
    assert (finding.kind, Path(finding.path).name, finding.found) == (FILE_STRANGE, name, found)
    assert finding.cure == f"aurora-es repair {path} --dry-run"
    told = {one.where: one for one in doctor(path, env={}).advice}[str(path / name)]
    assert f"`aurora-es repair {path} --dry-run`" in told.cure
    planned = repair(path, dry_run=True, effects=effects)
    assert [(one.file, one.action) for one in planned.repairs] == [(name, "moved aside")]
    assert os.lstat(path / name) == before
    done = repair(path, effects=effects)
    assert (done.repairs, done.lost, done.epoch) == (planned.repairs, (), 0)
    kept = tmp_path / "journal.broken-1" / f"{name}.broken"
    assert os.lstat(kept).st_ino == before.st_ino
    assert found != "a directory" or (kept / "notes").read_text() == "mine"
    assert verify(path).is_whole
    check_repaired(effects, str(path), TRUTH, done)


def test_one_beside_a_damage(tmp_path: Path) -> None:
    """All is in one plan; what was confirmed once is not asked again."""
    effects, path = effects_with(), _put(tmp_path / "journal", LOCK, "a FIFO")
    flip(path / segment(1), frames(path / segment(1))[1][0] + 80)
    assert [one.kind for one in verify(path).findings] == [FILE_STRANGE, SEGMENT_FRAME_DAMAGED]
    planned = repair(path, dry_run=True, effects=effects)
    assert planned.lost == ((1, 2),)
    shown: list[RepairReport] = []
    answers = iter([False, True])

    def confirm(report: RepairReport) -> bool:
        shown.append(report)
        return next(answers)

    before = snapshot(path)
    assert repair(path, confirm=confirm, effects=effects) == planned
    assert snapshot(path) == before
    assert [*path.parent.iterdir()] == [path]
    done = repair(path, confirm=confirm, effects=effects)
    assert (shown, done.repairs, done.lost) == ([planned, planned], planned.repairs, planned.lost)
    assert verify(path).is_whole
    check_repaired(effects, str(path), TRUTH, done)


def test_what_is_appended_meanwhile_is_in_the_plan(tmp_path: Path) -> None:
    """Nobody can be kept out by a lock that is none: what comes in between is seen, and asked about."""
    effects, path = effects_with(), _put(tmp_path / "journal", LOCK, "a FIFO")
    (path / MARK).unlink()
    shown = []

    def confirm(report: RepairReport) -> bool:
        shown.append(report)
        if len(shown) == 1:  # somebody else puts it right, and goes on
            (path / LOCK).unlink()
            repair(path, effects=effects)
            with open_with(str(path), effects) as journal:
                journal.append([record(LAST_POSITION + 1)])
            (path / LOCK).unlink()
            os.mkfifo(path / LOCK)
        return True

    repair(path, confirm=confirm, effects=effects)
    assert [len(one.repairs) for one in shown] == [2, 1]
    assert verify(path).is_whole
    with open_with(str(path), effects, read_only=True) as journal:
        assert journal.statistics().last_position == LAST_POSITION + 1


def test_somebody_who_may_hold_the_lock_of_before(tmp_path: Path) -> None:
    """Two would append at once: it is moved aside when nobody has the journal open any more."""
    effects, path = effects_with(), write_store(tmp_path / "journal", SEALED)
    with open_with(str(path), effects) as journal:
        journal.append([record(LAST_POSITION + 1)])
        with journal.exclusive():
            (path / LOCK).unlink()
            (path / LOCK).mkdir()
            assert repair(path, dry_run=True, effects=effects).repairs
            with pytest.raises(InUseError, match="nothing was changed"):
                repair(path, effects=effects)
        assert (path / LOCK).is_dir()
        assert [*path.parent.iterdir()] == [path]
    done = repair(path, effects=effects)
    assert [one.file for one in done.repairs] == [LOCK]
    with open_with(str(path), effects) as journal:
        assert journal.append([record(LAST_POSITION + 2)]) == range(
            LAST_POSITION + 2, LAST_POSITION + 3
        )
    assert verify(path).is_whole


def test_a_repair_that_was_killed_behind_the_moving(tmp_path: Path) -> None:
    """It is started again, also if the strange thing is there again."""
    effects, path = effects_with(), _put(tmp_path / "journal", BACKGROUND_LOCK, "a directory")
    kept = tmp_path / "journal.broken-1"
    kept.mkdir()
    _directory(kept / f"{BACKGROUND_LOCK}.broken")
    repair(path, effects=effects)
    assert (kept / f"{BACKGROUND_LOCK}.broken.broken" / "notes").read_text() == "mine"
    assert verify(path).is_whole


@pytest.mark.parametrize("name", [*LOCK_FILES, MARK])
def test_a_file_without_rights(name: str, tmp_path: Path) -> None:
    """It is named with its rights, nothing is changed, and ``doctor`` gives the command."""
    path = write_store(tmp_path / "journal", SEALED)
    before = snapshot(path)
    files = ScriptedFiles()
    files.fail(
        "open", error_of(errno.EACCES), times=99, when=lambda one, *_: one.endswith(f"/{name}")
    )
    (finding,) = verify(path, effects=effects_with(files)).findings
    kind = UNREADABLE if name == MARK else FILE_MODE
    assert (finding.kind, Path(finding.path).name) == (kind, name)
    assert "Permission denied" in finding.found
    assert finding.cure == f"aurora-es doctor {path}"
    if name != MARK:
        with pytest.raises(StorageError, match="nothing was written"):
            repair(path, effects=effects_with(files))
    assert snapshot(path) == before
    (seen,) = strange_files(effects_with(files).files, str(path))
    assert advise_on_strange(str(path), seen).cure.startswith(f"`chmod 600 {path}/{name}`")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_the_superuser_sees_what_the_owner_may_not(mode: int, tmp_path: Path) -> None:
    """Rights do not stop him: the mode tells that the next append of the owner is refused."""
    path = write_store(tmp_path / "journal", SEALED)
    os.chown(path / LOCK, 1000, 1000)
    (path / LOCK).chmod(mode)
    (finding,) = verify(path).findings
    assert (finding.kind, finding.found) == (
        FILE_MODE,
        f"one that its owner may not use (mode {mode:04o})",
    )
    told = {one.kind: one for one in doctor(path, env={}).advice}
    assert told["file-mode"].cure.startswith("`chmod 600 ")


def _give(path: Path, user: int, modes: tuple[int, int, int]) -> None:
    """Give all files below ``path`` to ``user``, with modes of directories, lock files and others."""
    for directory, _, names in os.walk(path):
        os.chown(directory, user, user)
        os.chmod(directory, modes[0])
        for name in names:
            file = os.path.join(directory, name)
            os.chown(file, user, user)
            os.chmod(file, modes[1] if name in LOCK_FILES else modes[2])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_an_archive_that_nobody_writes_to(tmp_path: Path) -> None:
    """Where no file may be made, rights without writing are right."""
    path = write_store(tmp_path / "journal", SEALED)
    _give(path, 1000, (0o500, 0o400, 0o400))
    assert verify(path).is_whole
    assert "file-mode" not in {one.kind for one in doctor(path, env={}).advice}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_journal_that_is_read_by_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lock files that only their owner may use are no fault for whoever may read the rest."""
    path = write_store(tmp_path / "journal", SEALED)
    files = ScriptedFiles()
    files.fail(
        "open",
        error_of(errno.EACCES),
        times=99,
        when=lambda one, *_: os.path.basename(one) in LOCK_FILES,
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert verify(path, effects=effects_with(files)).is_whole
    monkeypatch.undo()
    findings = verify(path, effects=effects_with(files)).findings
    assert [one.kind for one in findings] == [FILE_MODE] * len(LOCK_FILES)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("directory_mode", [0o500, 0o700])
def test_a_backup_that_was_made_read_only_is_restored(directory_mode: int, tmp_path: Path) -> None:
    """What only who appends would need is nothing that a restore asks for."""
    path = write_store(tmp_path / "journal", SEALED)
    backup(path, tmp_path / "backup")
    _give(tmp_path / "backup", 1000, (directory_mode, 0o400, 0o400))
    restore(tmp_path / "backup", tmp_path / "restored")
    restored = tmp_path / "restored"
    check_repaired(effects_with(), str(restored), TRUTH, repair(restored, dry_run=True))


@pytest.mark.parametrize(
    ("name", "found", "is_kept", "lost"),
    [
        (segment(1), "a link", True, ()),
        (segment(1), "a link", False, ((1, 4),)),
        (MARK, "a directory", False, ()),
        (MANIFEST, "a FIFO", False, ()),
        (STRAY, "a directory", False, ()),
    ],
)
def test_a_strange_record_has_a_command(
    name: str,
    found: str,
    is_kept: bool,  # noqa: FBT001 - a parameter
    lost: tuple[tuple[int, int], ...],
    tmp_path: Path,
) -> None:
    """It may lead to the only bytes there are: ``doctor`` says how to move it, and that leads out."""
    if is_kept:
        shutil.copy(write_store(tmp_path / "twin", SEALED) / name, tmp_path / "outside")
    path = _put(tmp_path / "journal", name, found)
    (finding,) = (one for one in verify(path).findings if one.path == str(path / name))
    assert (finding.kind, finding.cure) == (UNREADABLE, f"aurora-es doctor {path}")
    with pytest.raises(ForeignDirectoryError, match="`aurora-es doctor`"):
        repair(path, effects=effects_with())
    told = {one.where: one for one in doctor(path, env={}).advice}[str(path / name)]
    made = re.findall("`((?:mv|cp) [^`]+)`", told.cure)
    assert made[-1] == f"mv {path / name} {path}.aside-{name}"
    assert len(made) == 1 + is_kept
    subprocess.run(made[0], shell=True, check=True)  # noqa: S602 - what a person does
    assert repair(path, effects=effects_with()).lost == lost
    assert verify(path).is_whole


def test_a_tail_that_grows_while_older_segments_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What busy writers have appended since the mark was read may be as much as anybody writes."""
    monkeypatch.setattr(salvage, "TAIL_SLACK_BYTES_MAX", 1 << 16)
    path = str(tmp_path / "journal")
    effects = effects_with()
    with open_with(path, effects, roll_cycle=RollCycle.events(2)) as journal:
        journal.append([record(1), record(2)])
        journal.append([record(3)])
        files = ScriptedFiles()
        appended: list[range] = []

        def append_first(call: Callable[[], object], place: str, *_: object) -> object:
            if place.endswith(segment(1)) and not appended:
                large = msgspec.structs.replace(record(4), state=b"x" * (1 << 17))
                appended.append(journal.append([large]))
            return call()

        files.reactions["open"] = append_first
        assert verify(path, effects=effects_with(files)).is_whole
        assert appended == [range(4, 5)]


@pytest.mark.parametrize("has_mark", [True, False])
def test_a_tail_that_somebody_has_blown_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_mark: bool
) -> None:
    """Nobody appends behind a terabyte of zeros: it is named, and written again without them."""
    for module in (recovery, salvage):
        monkeypatch.setattr(module, "TAIL_SLACK_BYTES_MAX", 1 << 20)  # as many are searched
    effects, path = effects_with(), write_store(tmp_path / "journal", SEALED)
    os.truncate(path / segment(4), 1 << 40)
    if not has_mark:
        (path / MARK).unlink()
    found = verify(path)
    (finding,) = (one for one in found.findings if Path(one.path).name == segment(4))
    assert (finding.kind, finding.lost) == (SEGMENT_OVERLONG, ())
    planned = repair(path, dry_run=True, effects=effects)
    assert found.lost_behind == planned.lost_behind == (None if has_mark else LAST_POSITION)
    done = repair(path, effects=effects)
    assert (done.repairs, done.lost) == (planned.repairs, ())
    assert verify(path).is_whole
    check_repaired(effects, str(path), TRUTH, done)


def test_where_no_more_files_can_be_opened_rights_are_not_blamed(tmp_path: Path) -> None:
    """It is this process that lacks something, and not the file."""
    path = write_store(tmp_path / "journal", SEALED)
    (path / LOCK).touch(mode=0o600)
    files = ScriptedFiles()
    files.fail("open", error_of(errno.EMFILE))
    with pytest.raises(OSError, match="Too many open files"):
        strange_files(effects_with(files).files, str(path))
