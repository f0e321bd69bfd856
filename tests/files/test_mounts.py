"""Which file system a path is on, by tables of real machines."""

import os
from pathlib import Path

import pytest

from aurora_es.files import mounts

MOUNTINFO = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
28 27 0:40 / /srv rw shared:2 master:3 propagate_from:4 - nfs4 server:/export rw,vers=4.2
29 27 0:41 / /srv/with\040space\134and\011more rw - xfs /dev/vdb rw
30 27 0:42 /@home /home rw - btrfs /dev/vdc rw,subvol=/@home
31 27 0:43 / /mnt/twice rw - ext4 /dev/vdd rw
32 31 0:44 / /mnt/twice rw - tmpfs tmpfs rw
33 27 0:45 / /media/music rw - fuse.sshfs someone@server:/music rw
"""
MOUNT_OUTPUT = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//someone@server/share on /Volumes/share (one) (smbfs, nodev, nosuid, mounted by someone)
"""


@pytest.mark.parametrize(
    ("device", "path", "expected"),
    [
        ("254:0", "/etc", "ext4"),
        ("0:40", "/anywhere", "nfs4"),
        ("0:99", "/srv/journal", "nfs4"),
        ("0:99", "/srv", "nfs4"),
        ("0:99", "/srvother", "ext4"),
        ("0:99", "/srv/with space\\and\tmore/journal", "xfs"),
        ("0:99", "/home/someone", "btrfs"),
        ("0:99", "/mnt/twice/journal", "tmpfs"),
        ("0:43", "/mnt/twice/journal", "ext4"),
        ("", "/media/music/x", "fuse.sshfs"),
    ],
)
def test_linux_finds_the_device_or_else_the_longest_mount_point(
    device: str, path: str, expected: str
) -> None:
    """A listed device decides; a device that no mount has falls back to the path."""
    assert mounts._type_by_mountinfo(MOUNTINFO, device, path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/Users/someone/journal", "apfs"),
        ("/dev/null", "devfs"),
        ("/System/Volumes/Data/home/x", "autofs"),
        ("/Volumes/share (one)/journal", "smbfs"),
    ],
)
def test_macos_finds_the_longest_mount_point(path: str, expected: str) -> None:
    """The output of mount is searched by path, whatever characters a mount point has."""
    assert mounts._type_by_mount_output(MOUNT_OUTPUT, path) == expected


@pytest.mark.parametrize("table", ["", "\n\n", "nonsense", "a - b", "1 2 3:4 / - ext4", " on / ("])
def test_a_table_that_makes_no_sense_gives_the_unknown_type(table: str) -> None:
    """Lines of another shape are passed over, and the answer is the empty string."""
    assert mounts._type_by_mountinfo(table, "3:4", "/x") == ""
    assert mounts._type_by_mount_output(table, "/x") == ""
    assert mounts.file_system_type("/", table=table) == ""


def test_a_path_that_does_not_exist_counts_as_its_nearest_ancestor(tmp_path: Path) -> None:
    """A journal that is still to be created is looked up where it will be."""
    device = os.stat(tmp_path).st_dev
    table = f"1 0 {os.major(device)}:{os.minor(device)} / /nowhere rw - journalfs none rw"
    missing = tmp_path / "not" / "there"
    assert mounts._device_of_nearest(str(missing)) == mounts._device_of_nearest(str(tmp_path))
    assert mounts._type_by_mountinfo(table, mounts._device_of_nearest(str(missing)), "/x") == (
        "journalfs"
    )
    assert mounts.file_system_type(missing) == mounts.file_system_type(tmp_path)


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The type is that of the file system that holds the data, not the link."""
    link = tmp_path / "link"
    link.symlink_to("/dev")
    assert mounts.file_system_type(link) == mounts.file_system_type("/dev")


def test_the_type_of_a_real_directory_is_found(tmp_path: Path) -> None:
    """The mount table of the machine at hand is understood, for relative paths too."""
    assert mounts.file_system_type(tmp_path)
    assert mounts.file_system_type(".") == mounts.file_system_type(os.getcwd())


def test_a_system_without_a_mount_table_gives_the_unknown_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a missing table nor a missing command raises."""
    monkeypatch.setattr(mounts, "_MOUNTINFO", "/nonexistent/mountinfo")
    monkeypatch.setattr(mounts, "_MOUNT_COMMAND", "/nonexistent/mount")
    assert mounts._mount_output() == ""
    assert mounts.file_system_type("/") == ""


@pytest.mark.parametrize(
    ("file_system", "network", "polling"),
    [
        *((name, False, False) for name in ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "apfs", "hfs")),
        *((name, True, True) for name in ("nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "ncpfs")),
        *((name, True, True) for name in ("afs", "afpfs", "webdav", "davfs", "ceph", "glusterfs")),
        *((name, True, True) for name in ("lustre", "beegfs", "gpfs", "ocfs2", "gfs2", "NFS4")),
        *((name, True, True) for name in ("fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.goofys")),
        *((name, True, True) for name in ("fuse.ceph", "fuse.glusterfs")),
        *((name, False, True) for name in ("overlay", "9p", "virtiofs", "fuse", "fuseblk", "")),
        *((name, False, True) for name in ("fuse.mergerfs", "fuse.", "vboxsf", "macfuse")),
    ],
)
def test_types_are_told_apart(file_system: str, *, network: bool, polling: bool) -> None:
    """Network file systems are refused and polled, stacked and unknown ones only polled."""
    assert mounts.is_network(file_system) is network
    assert mounts.needs_polling(file_system) is polling
