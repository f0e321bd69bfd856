"""Directories, files, versions and settings that are refused, with nothing touched."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aurora_es import (
    AuroraConfigurationError,
    CompressionFormat,
    CorruptionError,
    ForeignDirectoryError,
    Journal,
    RollCycle,
    StorageError,
    Sync,
    UnsupportedFormatError,
)
from aurora_es.files.layer import Effects
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    HEADER_BYTES,
    KIND_PACKED,
    KIND_RECORDS,
    decode_header,
    encode_frame,
)
from aurora_es.format.manifest import CHECKSUM, MANIFEST_HEADER, MANIFEST_HEADER_BYTES
from aurora_es.format.names import LOCK, MANIFEST, MARK, TURN, segment_name
from aurora_es.format.segment_header import (
    SEGMENT_HEADER_BYTES,
    decode_segment_header,
    encode_segment_header,
)
from aurora_es.journal import opening
from tests.journal.support import (
    ScriptedFiles,
    effects_with,
    message,
    open_with,
    patch,
    segment_paths,
    snapshot,
    states,
)

Change = Callable[[Path], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a journal with two records in one segment."""
    with open_with(tmp_path / "journal") as journal:
        journal.append([message(b"a")])
        journal.append([message(b"b")])
    return tmp_path / "journal"


def use(path: Path, *, read_only: bool) -> None:
    """Open, look, read, append: whichever comes to the bad place."""
    with open_with(path, read_only=read_only) as opened:
        opened.statistics()
        states(opened)
        opened.append([message()])


def refused(path: Path, error: type[Exception], text: str) -> None:
    """Check that every way in is refused alike, and leaves everything as it was."""
    before = snapshot(path.parent)
    for read_only in (True, False):
        with pytest.raises(error, match=text) as caught:
            use(path, read_only=read_only)
        assert str(path) in str(caught.value)
    assert snapshot(path.parent) == before


# Directories


@pytest.mark.parametrize(
    "names",
    [["notes.txt"], ["mark", "notes.txt"], [".git"], ["recovered"], ["lock", "manifest.bak"]],
)
def test_a_foreign_directory_is_refused(tmp_path: Path, names: list[str]) -> None:
    """A directory with other files is not made into a journal; the error names one of them."""
    path = tmp_path / "journal"
    path.mkdir()
    for name in names:
        (path / name).write_text("mine")
    refused(path, ForeignDirectoryError, "expected an empty or absent directory or a journal")


def test_an_empty_directory_becomes_a_journal(tmp_path: Path) -> None:
    """A directory that was made beforehand serves."""
    path = tmp_path / "journal"
    path.mkdir()
    with open_with(path) as journal:
        assert journal.append([message()]) == range(1, 2)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_where_a_directory_should_be(tmp_path: Path, below: str) -> None:
    """A file in the place of the journal, or of its parent, is left alone."""
    (tmp_path / "journal").write_text("mine")
    refused(tmp_path / "journal" / below, ForeignDirectoryError, "expected a directory or nothing")


def test_only_the_last_component_is_made(tmp_path: Path) -> None:
    """A journal below a directory that does not exist is refused, with what makes it; none is made."""
    path = tmp_path / "not there" / "journal"
    with (
        open_with(path) as journal,
        pytest.raises(StorageError, match="below an existing one") as caught,
    ):
        journal.append([message()])
    assert f"`mkdir -p '{path.parent}'`" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    path.parent.mkdir(parents=True)
    with open_with(path) as journal:
        assert journal.append([message()]) == range(1, 2)


def test_a_directory_that_may_not_be_used(tmp_path: Path) -> None:
    """Missing permission is told with the user and the path (root ignores modes: a fake is)."""
    denied = PermissionError(13, "Permission denied", str(tmp_path / "journal"))

    def refuse(*_: object) -> Any:
        raise denied

    effects = opening_effects(listdir=refuse)
    with pytest.raises(StorageError, match=r"Permission denied .*journal\); expected a directory"):
        open_with(tmp_path / "journal", effects)
    with (
        open_with(tmp_path / "journal", opening_effects(mkdir=refuse)) as journal,
        pytest.raises(StorageError, match="nothing was written"),
    ):
        journal.append([message()])
    assert list(tmp_path.iterdir()) == []


def opening_effects(**reactions: Callable[..., Any]) -> Effects:
    """Make effects of which some calls do something else."""
    files = ScriptedFiles()
    files.reactions.update(reactions)
    return effects_with(files)


def make_fifo(path: Path) -> None:
    """Put a FIFO in the place of a file."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def make_symlink(path: Path) -> None:
    """Put a symbolic link to a file with the same content in the place of a file."""
    target = path.parent.parent / f"target of {path.name}"
    if path.exists():
        path.rename(target)
    path.symlink_to(target)


def make_directory(path: Path) -> None:
    """Put a directory in the place of a file."""
    path.unlink(missing_ok=True)
    path.mkdir()


def make_socket(path: Path) -> None:
    """Put a socket in the place of a file."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(path.parent)  # the path of a socket may have 108 bytes only
        try:
            listening.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize("make", [make_fifo, make_symlink, make_directory, make_socket])
@pytest.mark.parametrize("name", [MANIFEST, MARK, segment_name(1, 1)])
def test_other_things_than_files_are_refused(path: Path, name: str, make: Change) -> None:
    """A FIFO, a link, a directory or a socket in the place of a file is not opened."""
    make(path / name)
    refused(path, ForeignDirectoryError, "expected a regular file|expected an empty or absent")


@pytest.mark.parametrize("make", [make_fifo, make_symlink, make_directory, make_socket])
@pytest.mark.parametrize("name", [LOCK, TURN])
def test_other_things_than_lock_files_are_refused(path: Path, name: str, make: Change) -> None:
    """Nor in the place of a lock file, which only an appender opens."""
    make(path / name)
    before = snapshot(path.parent)
    with pytest.raises(ForeignDirectoryError, match="expected a regular file"):
        open_with(path)
    with open_with(path, read_only=True) as reader:
        assert states(reader) == [b"a", b"b"]
    assert snapshot(path.parent) == before


@pytest.mark.parametrize("make", [make_fifo, make_symlink, make_directory])
def test_a_link_in_an_unborn_directory_is_not_followed(tmp_path: Path, make: Change) -> None:
    """Nobody can make a creator write through a link that was put there before."""
    path = tmp_path / "journal"
    path.mkdir()
    make(path / LOCK)
    before = snapshot(tmp_path)
    with open_with(path) as journal, pytest.raises(ForeignDirectoryError):
        journal.append([message()])
    assert snapshot(tmp_path) == before


def test_files_are_the_users_own(path: Path) -> None:
    """Directories get mode 0o700 and files 0o600, whatever the umask leaves to them."""
    modes = {name: state.mode & 0o777 for name, state in snapshot(path).items()}
    assert modes.pop(str(path)) == 0o700
    assert set(modes.values()) == {0o600}


def test_the_modes_hold_for_all_that_comes_later(tmp_path: Path) -> None:
    """Also segments of a roll, and what recovery keeps, are for the user alone."""
    path = tmp_path / "journal"
    previous = os.umask(0)
    try:
        with open_with(path, roll_cycle=RollCycle.events(1)) as journal:
            journal.append([message()])
            journal.append([message()])
            patch(segment_paths(path)[-1], journal.statistics().tail_bytes, b"debris")
            journal.append([message()])
            assert journal.statistics().cut_bytes == 6
    finally:
        os.umask(previous)
    for name, state in snapshot(path).items():
        is_directory = Path(name).is_dir()
        assert state.mode & 0o777 == (0o700 if is_directory else 0o600), name


# Versions


def change_segment_header(path: Path, **changes: object) -> None:
    """Rewrite a segment's header with valid checksum."""
    segment = Path(segment_paths(path)[0])
    decoded = decode_segment_header(segment.read_bytes()[:SEGMENT_HEADER_BYTES])
    assert decoded is not None
    patch(segment, 0, encode_segment_header(decoded[0]._replace(**changes))[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes", [{"version": 2}, {"incompatible_flags": 1}, {"key_id": bytes(15) + b"k"}]
)
def test_an_unknown_segment_version_is_unsupported(path: Path, changes: dict[str, Any]) -> None:
    """A segment of a newer version is not called corrupt, and not touched."""
    change_segment_header(path, **changes)
    refused(path, UnsupportedFormatError, "expected format version 1 without incompatible flags")


@pytest.mark.parametrize(("field", "offset"), [("version", 8), ("flags", 12)])
def test_an_unknown_manifest_version_is_unsupported(path: Path, field: str, offset: int) -> None:
    """A manifest of a newer version is not called corrupt, and not touched."""
    data = bytearray((path / MANIFEST).read_bytes())
    data[offset] = 7
    head = bytes(data[: MANIFEST_HEADER.size])
    data[MANIFEST_HEADER.size : MANIFEST_HEADER_BYTES] = CHECKSUM.pack(crc32c(head))
    (path / MANIFEST).write_bytes(data)
    refused(path, UnsupportedFormatError, f"expected manifest version 1.*{field} (7|0x7)")


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"codec": 3},
        {"kind": KIND_PACKED},
        {"kind": 200},
        {"kind": KIND_RECORDS, "version": 255},
    ],
)
def test_an_unknown_frame_is_unsupported(path: Path, changes: dict[str, Any]) -> None:
    """A frame of an unknown version, kind or codec is not called corrupt or torn, and not cut."""
    segment = Path(segment_paths(path)[0])
    content = segment.read_bytes()
    offset = content.index(
        content[56:64], SEGMENT_HEADER_BYTES + 8
    )  # the frame behind the checkpoint
    decoded = decode_header(content, offset)
    assert decoded is not None
    header = decoded[0]
    payload = content[offset + HEADER_BYTES : offset + HEADER_BYTES + header.stored_length]
    patch(segment, offset, encode_frame(header._replace(**changes), payload)[0])
    refused(path, UnsupportedFormatError, f"offset {offset}: expected .* found")


# A journal that is not what it says


def test_commits_without_a_manifest_are_corruption(path: Path) -> None:
    """A directory that has lost its manifest is not taken for an empty one."""
    (path / MANIFEST).unlink()
    refused(path, CorruptionError, "expected a manifest, since .* holds commits, found no file")


@pytest.mark.parametrize(
    "name",
    [
        "00-0000000001-0000000001.index",
        "0000000001-00000000000000000001.frames",
        "0000000001-00000000000000000001.r1.frames.new",
        "0000000001-00000000000000000001.r1.segment",
    ],
)
def test_what_belongs_to_sealed_segments_without_a_manifest_is_corruption(
    tmp_path: Path, name: str
) -> None:
    """Runs, tables and cooled segments show that there was a manifest once."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / name).write_bytes(b"anything")
    refused(tmp_path / "journal", CorruptionError, f"expected a manifest, since {name} exists")


def test_a_later_segment_without_a_manifest_is_corruption(tmp_path: Path) -> None:
    """A second segment alone says that there was a manifest."""
    path = tmp_path / "journal"
    with open_with(path, roll_cycle=RollCycle.events(1)) as journal:
        journal.append([message()])
        journal.append([message()])
    for name in (MANIFEST, segment_name(1, 1)):
        (path / name).unlink()
    refused(path, CorruptionError, "expected a manifest, since 0000000002-[0-9]+.segment exists")


def test_what_a_dead_creator_left_is_absent(path: Path) -> None:
    """Lock files, mark, .new files and a segment without a commit make no journal yet."""
    fresh = path.parent / "fresh"
    fresh.mkdir()
    for name in (LOCK, TURN, MARK, segment_name(1, 1), "manifest.new", segment_name(2, 5) + ".new"):
        (fresh / name).write_bytes(b"")
    content = Path(segment_paths(path)[0]).read_bytes()
    (fresh / segment_name(1, 1)).write_bytes(content[:208] + bytes(1000))
    before = snapshot(fresh)
    with open_with(fresh, read_only=True) as reader, open_with(fresh) as journal:
        assert reader.last_position == journal.last_position == 0
        assert not reader.statistics().exists
        assert snapshot(fresh) == before
        assert journal.append([message(b"x")]) == range(1, 2)
        assert states(reader) == [b"x"]


def test_a_segment_of_another_journal_is_refused(path: Path) -> None:
    """A file that was copied from another journal is not read as one of ours."""
    with open_with(path.parent / "other") as other:
        other.append([message(b"x")])
        other.append([message(b"y")])
    foreign = Path(segment_paths(path.parent / "other")[0])
    Path(segment_paths(path)[0]).write_bytes(foreign.read_bytes())
    refused(path, CorruptionError, "expected journal [0-9a-f]{32}, segment 1, base position 1")


def test_a_segment_under_a_wrong_name_is_refused(path: Path) -> None:
    """Number and base position in the name have to be those in the header."""
    change_segment_header(path, segment_number=5)
    refused(path, CorruptionError, "expected journal .*, segment 1, .*found journal .*, segment 5")


@pytest.mark.parametrize("genesis_id", ["", "0" * 31, "g" * 32, "0" * 33])
def test_a_manifest_with_a_wrong_genesis_id_is_refused(path: Path, genesis_id: str) -> None:
    """Valid checksums do not make up for a value that cannot be."""
    payload = (path / MANIFEST).read_bytes()[MANIFEST_HEADER_BYTES:]
    at = payload.index(b'"genesis_id":"') + len(b'"genesis_id":"')
    write_manifest_payload(path, payload[:at] + genesis_id.encode() + payload[at + 32 :])
    refused(path, CorruptionError, "expected a manifest with valid checksums")


@pytest.mark.parametrize(
    ("before", "after"),
    [(b'"always"', b'"usually"'), (b'"day"', b'"decade"'), (b'"none"', b'"gzip"')],
)
def test_a_manifest_with_unknown_settings_is_refused(
    path: Path, before: bytes, after: bytes
) -> None:
    """A setting that this version does not know is named, with what it allows."""
    payload = (path / MANIFEST).read_bytes()[MANIFEST_HEADER_BYTES:]
    write_manifest_payload(path, payload.replace(before, after))
    content = snapshot(path)
    for read_only in (True, False):
        with pytest.raises(AuroraConfigurationError, match=r"expected .* found"):
            open_with(path, read_only=read_only)
    assert snapshot(path) == content


def write_manifest_payload(path: Path, payload: bytes) -> None:
    """Write a manifest with valid checksums."""
    head = MANIFEST_HEADER.pack(b"AUR\x89MAN\n", 1, 0, 0, len(payload), crc32c(payload))
    (path / MANIFEST).write_bytes(head + CHECKSUM.pack(crc32c(head)) + payload)


# Settings


def test_another_sync_mode_is_refused(path: Path) -> None:
    """The mode belongs to the journal: set and different is an error that names both."""
    before = snapshot(path)
    with pytest.raises(AuroraConfigurationError, match=r"never was asked for, .* records always"):
        open_with(path, sync=Sync.NEVER)
    assert snapshot(path) == before
    with open_with(path, sync=Sync.NEVER, read_only=True) as reader:
        assert reader.statistics().sync == "always"
    with open_with(path, sync=Sync.ALWAYS) as journal:
        assert journal.last_position == 2


@pytest.mark.parametrize(
    "options",
    [{"sync": "always"}, {"roll_cycle": "day"}, {"compression": "lz4"}, {"sync": 100}],
)
def test_a_text_where_an_option_belongs_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    """What would be recorded without being looked at is refused before anything is made."""
    with pytest.raises(
        AuroraConfigurationError, match=r"expected a (Sync|RollCycle|Compr\w+), found"
    ):
        Journal.open(tmp_path / "journal", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_cycle_that_says_nothing_can_be_recorded(tmp_path: Path) -> None:
    """A journal made with an empty roll cycle can be opened again."""
    path = tmp_path / "journal"
    with open_with(path, roll_cycle=RollCycle(), compression=CompressionFormat.NONE) as journal:
        journal.append([message()])
    with open_with(path) as journal:
        assert journal.statistics().roll_cycle == "32MiB"


# Network file systems


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "fuse.sshfs", "ceph"])
def test_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Another machine's mount is refused with its type, unless the caller insists."""
    monkeypatch.setattr(opening, "file_system_type", lambda path: kind)
    path = tmp_path / "journal"
    with pytest.raises(AuroraConfigurationError, match=rf"{path} is on a network .*\({kind}\)"):
        Journal.open(path)
    with pytest.raises(AuroraConfigurationError):
        Journal.open(path, read_only=True)
    assert list(tmp_path.iterdir()) == []
    with Journal.open(path, allow_network_file_system=True) as journal:
        assert journal.append([message()]) == range(1, 2)


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "tmpfs", "overlay", "apfs", ""])
def test_a_local_file_system_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Local types, and the unknown one, are taken."""
    monkeypatch.setattr(opening, "file_system_type", lambda path: kind)
    with Journal.open(tmp_path / "journal") as journal:
        assert journal.append([message()]) == range(1, 2)
