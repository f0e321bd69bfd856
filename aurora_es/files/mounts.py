"""Which file system a path is on, and what that means for locks and wake-ups.

Theory of operation.  Linux lists its mounts in ``/proc/self/mountinfo``, one per line:

    36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/root rw,errors=continue
    id parent major:minor root mount-point options optional-fields - type source options

The mount of a file is found by its device number (``st_dev``).  Some file systems report a device
number that no mount has (btrfs subvolumes, regular files on overlay), so the longest mount point
that leads to the path decides where the number is not listed.  macOS has no such file; there the
output of ``/sbin/mount`` is searched by longest mount point.  An unknown type is the empty string,
never an exception: the answer is advice.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

__all__ = ["file_system_type", "is_network", "needs_polling"]

_MOUNTINFO = "/proc/self/mountinfo"
_MOUNT_COMMAND = "/sbin/mount"
_MOUNT_COMMAND_S_MAX = 5.0
# The kernel writes space, tab, newline and backslash of a mount point as three octal digits.
_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")

_NETWORK_TYPES = frozenset(
    """
    acfs afpfs afs auristorfs beegfs ceph cifs coda davfs fhgfs ftp gfs gfs2 glusterfs
    gpfs kafs lustre ncp ncpfs nfs nfs3 nfs4 ocfs2 orangefs panfs pvfs2 smb2 smb3 smbfs webdav
    wekafs
    """.split()
)
# Linux writes "fuse." and the name of the program behind FUSE.
_NETWORK_FUSE_PROGRAMS = frozenset(
    """
    azure-storage-fuse blobfuse blobfuse2 ceph ceph-fuse curlftpfs cvmfs2 davfs davfs2 gcsfuse
    glusterfs goofys google-drive-ocamlfuse hdfs juicefs lizardfs mfs moosefs mount-s3
    mountpoint-s3 rclone s3fs s3ql seaweedfs sshfs weed
    """.split()
)
# Local in name, but a change made by another kernel or in another layer raises no event here.
_SILENT_TYPES = frozenset(
    """
    9p aufs drvfs lofs nullfs overlay overlayfs prl_fs unionfs vboxsf virtiofs vmhgfs wslfs
    """.split()
)


def file_system_type(path: str | os.PathLike[str], *, table: str | None = None) -> str:
    """Return the type of the file system that holds ``path``, for example "ext4" or "nfs4".

    A path that does not exist counts as being where its nearest existing ancestor is.  Returns ""
    when the type cannot be found.  ``table`` replaces the system's mount table: on macOS the output
    of ``/sbin/mount``, elsewhere the text of ``/proc/self/mountinfo``.  Raises nothing, keeps no
    state, and may be called from any thread; the table is read anew by each call.
    """
    real_path = os.path.realpath(path)
    if sys.platform == "darwin":
        return _type_by_mount_output(_mount_output() if table is None else table, real_path)
    device = _device_of_nearest(real_path)
    return _type_by_mountinfo(_mountinfo() if table is None else table, device, real_path)


def is_network(file_system: str) -> bool:
    """Tell whether a file system of this type is shared between machines.

    Locks, syncs and the order of writes cannot be relied on there (a journal refuses to open).
    An unknown type ("") is taken to be local.
    """
    name = file_system.lower()
    if name.startswith("fuse."):
        return name.removeprefix("fuse.") in _NETWORK_FUSE_PROGRAMS
    return name in _NETWORK_TYPES


def needs_polling(file_system: str) -> bool:
    """Tell whether changes of a file must be polled for because kernel events may not come.

    True for network and host-shared file systems, for stacked ones, for everything behind FUSE,
    and for the unknown type (""): polling works everywhere, only later.
    """
    name = file_system.lower()
    return (
        not name
        or name in _SILENT_TYPES
        or name.startswith(("fuse", "osxfuse", "macfuse"))
        or is_network(name)
    )


def _mountinfo() -> str:
    try:
        with open(_MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _mount_output() -> str:
    try:
        done = subprocess.run(
            [_MOUNT_COMMAND],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_MOUNT_COMMAND_S_MAX,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return os.fsdecode(done.stdout)


def _device_of_nearest(real_path: str) -> str:
    """Return "major:minor" of the path or of its nearest ancestor that can be looked at."""
    while True:
        try:
            device = os.stat(real_path).st_dev
        except OSError:
            parent = os.path.dirname(real_path)
            if parent == real_path:
                return ""
            real_path = parent
        else:
            return f"{os.major(device)}:{os.minor(device)}"


def _type_by_mountinfo(table: str, device: str, real_path: str) -> str:
    """Look up by device number, else by the longest mount point above ``real_path``."""
    best_point, best_type = "", ""
    for line in table.splitlines():
        mount, separator, source = line.partition(" - ")
        fields, source_fields = mount.split(" "), source.split(" ")
        if not separator or len(fields) < 5:
            continue
        if fields[2] == device:
            return source_fields[0]
        point = _OCTAL_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
        # ">=": of several mounts on one point the last one listed covers the others.
        if _leads_to(point, real_path) and len(point) >= len(best_point):
            best_point, best_type = point, source_fields[0]
    return best_type


def _type_by_mount_output(table: str, real_path: str) -> str:
    """Look up in lines like ``/dev/disk3s1 on /System/Volumes/Data (apfs, local, journaled)``."""
    best_point, best_type = "", ""
    for line in table.splitlines():
        mount, _, options = line.rpartition(" (")
        _, separator, rest = mount.partition(" on /")
        if not separator or not options.endswith(")"):
            continue
        point = "/" + rest
        if _leads_to(point, real_path) and len(point) >= len(best_point):
            best_point, best_type = point, options.removesuffix(")").split(",")[0].strip()
    return best_type


def _leads_to(mount_point: str, real_path: str) -> bool:
    return real_path == mount_point or real_path.startswith(mount_point.rstrip("/") + "/")
