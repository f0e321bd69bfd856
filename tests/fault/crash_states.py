"""All disks that a power cut may leave, at each place of a trace of system calls.

Theory of operation: an independent model, built from what strace saw and not from the file layer of
the package. Nothing is durable but by a sync of the very file, or of the very directory for names.
Everything since is in *atoms*, each of which reached the disk or did not, in any combination: a sector
of 64 bytes (less than any disk has) of a write, a cut, a size, a name that came, went or was renamed. Where there are few
atoms all combinations are built; where there are many: none, all, each alone, all but each, all
beginnings, and random ones up to a limit.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.fault.trace import Operation

SECTOR_BYTES = 64
Tree = dict[str, "bytes | None"]  # path to content; None for a directory


class Atom(NamedTuple):
    """Something that reached the disk or did not."""

    kind: str  # write, cut, size or names
    file: int  # inode; 0 for names
    offset: int = 0
    data: bytes = b""
    names: tuple[tuple[str, int], ...] = ()  # path and inode; 0 for a removal
    order: int = 0  # of the operation


@dataclass
class Disk:
    """What is durable, and what is not yet."""

    content: dict[int, bytes] = field(default_factory=dict)  # by inode; directories have none
    names: dict[str, int] = field(default_factory=dict)
    cached: dict[str, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)  # as processes see them
    pending: list[Atom] = field(default_factory=list)
    directories: set[int] = field(default_factory=set)
    inodes: int = 0

    def plant(self, home: str, tree: Tree) -> None:
        """Begin with files that are durable, below the directory ``home``."""
        for path, content in {home: None, **tree}.items():
            inode = self._new(content is None)
            self.names[path] = self.cached[path] = inode
            if content is not None:
                self.content[inode] = content
                self.sizes[inode] = len(content)

    def _new(self, is_directory: bool) -> int:  # noqa: FBT001
        self.inodes += 1
        if is_directory:
            self.directories.add(self.inodes)
        else:
            self.content[self.inodes] = b""
            self.sizes[self.inodes] = 0
        return self.inodes

    def apply(self, operation: Operation, order: int) -> None:
        """Let one operation happen."""
        name, path = operation.name, operation.path
        if name in {"create", "mkdir"}:
            if path not in self.cached:
                self._enter(order, (path, self._new(name == "mkdir")))
        elif name == "link":
            self._enter(order, (operation.target, self.cached[path]))
        elif name == "rename":
            self._enter(order, (path, 0), (operation.target, self.cached[path]))
        elif name == "unlink":
            self._enter(order, (path, 0))
        elif name == "write":
            self._write(self.cached[path], operation.offset, operation.data, order)
        elif name == "cut":
            inode = self.cached[path]
            self.sizes[inode] = operation.offset
            self.pending.append(Atom("cut", inode, operation.offset, order=order))
        elif name == "sync":
            self._sync(path, operation.began)

    def _enter(self, order: int, *names: tuple[str, int]) -> None:
        for path, inode in names:
            if inode:
                self.cached[path] = inode
            else:
                del self.cached[path]
        self.pending.append(Atom("names", 0, names=names, order=order))

    def _write(self, inode: int, offset: int, data: bytes, order: int) -> None:
        at = offset
        while at < offset + len(data):
            end = min((at // SECTOR_BYTES + 1) * SECTOR_BYTES, offset + len(data))
            part = data[at - offset : end - offset]
            self.pending.append(Atom("write", inode, at, part, order=order))
            at = end
        if offset + len(data) > self.sizes[inode]:
            self.sizes[inode] = offset + len(data)
            self.pending.append(Atom("size", inode, self.sizes[inode], order=order))

    def _sync(self, path: str, began: int) -> None:
        inode = self.cached[path]

        def covers(atom: Atom) -> bool:
            if atom.order >= began:
                return False
            if inode in self.directories:
                return atom.kind == "names" and os.path.dirname(atom.names[0][0]) == path
            return atom.file == inode

        covered = [atom for atom in self.pending if covers(atom)]
        self.content, self.names = self._kept(covered)
        self.pending = [atom for atom in self.pending if not covers(atom)]

    def _kept(self, atoms: list[Atom]) -> tuple[dict[int, bytes], dict[str, int]]:
        """Contents and names when these atoms, and no other, have reached the disk."""
        names = dict(self.names)
        changed: dict[int, list[Atom]] = {}
        for atom in atoms:
            if atom.kind == "names":
                for path, inode in atom.names:
                    if inode:
                        names[path] = inode
                    else:
                        names.pop(path, None)
            else:
                changed.setdefault(atom.file, []).append(atom)
        content = dict(self.content)
        for inode, own in changed.items():
            content[inode] = _content_after(content[inode], own)
        return content, names

    def tree(self, atoms: list[Atom]) -> Tree:
        """The files after a power cut that these atoms, and no other, have survived."""
        content, names = self._kept(atoms)
        found: Tree = {}
        for path in sorted(names):
            # What is in a directory that has no name itself is not reached.
            if os.path.dirname(path) in names:
                inode = names[path]
                found[path] = None if inode in self.directories else content[inode]
        return found

    def states(self, limit: int, rng: random.Random) -> Iterator[Tree]:
        """Trees that a power cut may leave now, up to about ``limit`` of them."""
        atoms = self.pending
        if 1 << len(atoms) <= limit:
            for bits in range(1 << len(atoms)):
                yield self.tree([atom for at, atom in enumerate(atoms) if bits >> at & 1])
            return
        count = len(atoms)
        yield self.tree([])
        yield self.tree(atoms)
        stride = max(1, 3 * count // limit)
        for at in range(0, count, stride):
            yield self.tree([atoms[at]])
            yield self.tree(atoms[:at] + atoms[at + 1 :])
            yield self.tree(atoms[:at])
        for _ in range(limit - 2 - 3 * (count // stride)):
            chance = rng.choice((0.05, 0.3, 0.5, 0.7, 0.95))
            yield self.tree([atom for atom in atoms if rng.random() < chance])


def _content_after(before: bytes, atoms: list[Atom]) -> bytes:
    """Apply the atoms of one file in their order.

    Bytes without their size are on the medium, and nobody sees them.
    """
    data = bytearray(before)
    size = len(before)
    for atom in atoms:
        if atom.kind == "cut":
            size = atom.offset
            del data[size:]
            data += bytes(max(0, size - len(data)))
        elif atom.kind == "size":
            size = atom.offset
        else:
            end = atom.offset + len(atom.data)
            data += bytes(max(0, end - len(data)))
            data[atom.offset : end] = atom.data
    data += bytes(max(0, size - len(data)))
    return bytes(data[:size])
