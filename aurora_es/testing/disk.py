"""A disk in memory that loses what was not synced.

Theory of operation: every file has two contents, *cached* (what every process reads) and *durable*
(what is on the medium), and the sectors in which they differ. A directory has two lists of names
and the changes that lead from one to the other. Nothing becomes durable but by a sync or by
``write_back``. ``crash`` is a power cut: every unsynced sector, size and name is kept or dropped on
its own, in any combination, and the cache becomes what is durable. A sector is written whole or
not at all.

A failed sync is worse than none: the kernel marks pages clean that never reached the medium. Such
*lying* sectors read back from the cache as written, a later sync succeeds without writing them, and
``evict`` replaces them by what is durable. Only writing them again makes them dirty again.

Every choice comes from the ``random.Random`` that the caller passes, so a run is repeated by its
seed. Single-threaded use only, or from one thread at a time.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

    from aurora_es.testing.crashable import CrashableFiles, OpenFile

# Nearly nothing, half and nearly everything of what was not synced reaches the disk.
_KEEP_CHANCES = (0.0, 0.1, 0.5, 0.9, 1.0)


class FileNode:
    """A regular file: cached and durable bytes, and where they differ."""

    __slots__ = (
        "cached",
        "cut_at",
        "dirty",
        "durable",
        "durable_size",
        "ghosts",
        "inode",
        "links",
        "lying",
        "mode",
        "owners",
        "sector_bytes",
    )

    def __init__(self, inode: int, mode: int, sector_bytes: int) -> None:
        """Make an empty file; its name is the directory's affair."""
        self.inode = inode
        self.links = 0  # number of names
        self.mode = stat.S_IFREG | mode
        self.sector_bytes = sector_bytes
        self.cached = bytearray()
        self.durable = bytearray()  # may be longer than durable_size: blocks without a size yet
        self.durable_size = 0
        self.dirty: set[int] = set()  # numbers of the sectors that the next sync writes
        self.lying: set[int] = set()  # sectors that no sync writes though they are not durable
        # Sectors that were dirty when the file was cut: the kernel may have written them before.
        self.ghosts: dict[int, bytes] = {}
        self.cut_at: int | None = None  # shortest size since the last sync, if it was cut
        self.owners: dict[OpenFile, int] = {}  # who holds a flock, and which

    def size_bytes(self) -> int:
        """Size that processes see."""
        return len(self.cached)

    def write(self, data: bytes, offset: int) -> None:
        """Write into the cache."""
        cached, end = self.cached, offset + len(data)
        if not data:
            return
        if offset > len(cached):
            self._extend(offset)
        cached[offset:end] = data
        sectors = range(offset // self.sector_bytes, (end - 1) // self.sector_bytes + 1)
        self.dirty.update(sectors)
        self.lying.difference_update(sectors)

    def truncate(self, length: int) -> None:
        """Cut the cache, or fill it with zeros, up to ``length``."""
        if length >= len(self.cached):
            self._extend(length)
            return
        size = self.sector_bytes
        for sector in self.dirty:
            if (sector + 1) * size > length:
                self.ghosts[sector] = bytes(self.cached[sector * size : (sector + 1) * size])
        del self.cached[length:]
        self.cut_at = length if self.cut_at is None else min(self.cut_at, length)
        beyond = -(-length // size)
        self.dirty = {sector for sector in self.dirty if sector < beyond}
        self.lying = {sector for sector in self.lying if sector < beyond}

    def sync(self) -> None:
        """Make everything durable but lying sectors."""
        self._cut()
        self._persist(self.dirty)
        self.dirty.clear()
        self._settle_size(len(self.cached))

    def fail_sync(self, rng: random.Random) -> None:
        """Make some dirty sectors durable and the rest lying; the size may stay unsynced."""
        if rng.random() < 0.5:
            self._cut()
        chance = rng.choice(_KEEP_CHANCES)
        bound = None if self.cut_at is None else self.cut_at // self.sector_bytes
        written = {
            sector
            for sector in sorted(self.dirty)
            if rng.random() < chance and (bound is None or sector < bound)
        }
        self._persist(written)
        self.lying |= self.dirty - written
        self.dirty.clear()
        if bound is None and rng.random() < 0.5:
            self._settle_size(len(self.cached))

    def write_back(self, rng: random.Random) -> None:
        """Write some dirty sectors, as the kernel does when it likes."""
        self._cut()
        chance = rng.choice(_KEEP_CHANCES)
        written = {sector for sector in sorted(self.dirty) if rng.random() < chance}
        self._persist(written)
        self.dirty -= written
        if rng.random() < 0.5:
            self._settle_size(len(self.cached))

    def evict(self) -> None:
        """Drop lying sectors from the cache: what is durable shows through."""
        for sector in self.lying:
            begin = sector * self.sector_bytes
            end = min(begin + self.sector_bytes, len(self.cached))
            content = bytes(self.durable[begin:end])
            self.cached[begin:end] = content + bytes(end - begin - len(content))
        self.lying.clear()

    def crash(self, rng: random.Random) -> None:
        """Cut the power: keep or drop each unsynced sector and size change."""
        if self.cut_at is not None:
            if rng.random() < 0.5:
                self._cut()
            else:
                self._raise_ghosts(rng)
        if self.dirty:
            chance = rng.choice(_KEEP_CHANCES)
            self._persist({sector for sector in sorted(self.dirty) if rng.random() < chance})
        size = self.durable_size
        if self.cut_at is None and size != len(self.cached):
            between = rng.randint(min(size, len(self.cached)), max(size, len(self.cached)))
            size = rng.choice((size, len(self.cached), between))
        self._settle_size(size)
        self.cached = bytearray(self.durable)
        self.dirty.clear()
        self.lying.clear()
        self.ghosts.clear()
        self.cut_at = None
        self.owners.clear()

    def garble(self, rng: random.Random) -> None:
        """Fill one dirty sector, durably, with noise; the power went while it was written."""
        sectors = sorted(self.dirty)
        if sectors:
            begin = rng.choice(sectors) * self.sector_bytes
            end = min(begin + self.sector_bytes, len(self.cached))
            self.cached[begin:end] = rng.randbytes(end - begin)
            self._persist({begin // self.sector_bytes})
            self.dirty.discard(begin // self.sector_bytes)

    def _extend(self, length: int) -> None:
        self.cached += bytes(length - len(self.cached))

    def _cut(self) -> None:
        if self.cut_at is not None:
            del self.durable[self.cut_at :]
            self.durable_size = min(self.durable_size, self.cut_at)
            self.cut_at = None
            self.ghosts.clear()

    def _raise_ghosts(self, rng: random.Random) -> None:
        """Let sectors be on the disk that were written back before the file was cut."""
        chance = rng.choice(_KEEP_CHANCES)
        for sector, content in sorted(self.ghosts.items()):
            if rng.random() < chance:
                begin = sector * self.sector_bytes
                if len(self.durable) < begin:
                    self.durable += bytes(begin - len(self.durable))
                self.durable[begin : begin + len(content)] = content
                self.durable_size = max(self.durable_size, begin + len(content))

    def _persist(self, sectors: set[int]) -> None:
        size = self.sector_bytes
        for sector in sectors:
            begin = sector * size
            content = self.cached[begin : begin + size]
            if len(self.durable) < begin:
                self.durable += bytes(begin - len(self.durable))
            self.durable[begin : begin + len(content)] = content

    def _settle_size(self, size: int) -> None:
        self.durable_size = size
        if size < len(self.durable):
            del self.durable[size:]
        else:
            self.durable += bytes(size - len(self.durable))


class DirectoryNode:
    """A directory: names in the cache, durable names, and the changes between them."""

    __slots__ = ("durable", "entries", "inode", "mode", "owners", "pending")

    def __init__(self, inode: int, mode: int) -> None:
        """Make an empty directory."""
        self.inode = inode
        self.mode = stat.S_IFDIR | mode
        self.entries: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}
        # Each is a list of (name, node or None for removal) that happens as a whole.
        self.pending: list[list[tuple[str, Node | None]]] = []
        self.owners: dict[OpenFile, int] = {}  # who holds a flock, and which

    def change(self, *changes: tuple[str, Node | None]) -> None:
        """Enter or remove names, as one atomic and unsynced change."""
        for name, node in changes:
            before = self.entries.get(name)
            for changed, count in ((before, -1), (node, 1)):
                if isinstance(changed, FileNode):
                    changed.links += count
        _apply(self.entries, changes)
        self.pending.append([*changes])

    def sync(self) -> None:
        """Make all names durable."""
        self.durable = dict(self.entries)
        self.pending.clear()

    def write_back(self, rng: random.Random) -> None:
        """Make the first of the unsynced changes durable, as a failed sync may, too."""
        for _ in range(rng.randint(0, len(self.pending))):
            _apply(self.durable, self.pending.pop(0))

    def crash(self, rng: random.Random) -> None:
        """Cut the power: keep or drop each unsynced change."""
        chance = rng.choice(_KEEP_CHANCES)
        for changes in self.pending:
            if rng.random() < chance:
                _apply(self.durable, changes)
        self.entries = dict(self.durable)
        self.pending.clear()


Node = FileNode | DirectoryNode


def _apply(names: dict[str, Node], changes: Iterable[tuple[str, Node | None]]) -> None:
    for name, node in changes:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class CrashableDisk:
    """The disk of one machine; processes reach it through a ``CrashableFiles`` each.

    ``sector_bytes`` is what is written whole or not at all. Small sectors tear frames in more
    places; 64 is the least that keeps the slots of a mark whole, as real disks do.
    """

    def __init__(self, sector_bytes: int = 512) -> None:
        """Make a disk with an empty root directory."""
        self.sector_bytes = sector_bytes
        self._inodes = 1
        self.root = DirectoryNode(1, 0o755)
        self.processes: list[CrashableFiles] = []

    def make_directories(self, path: str) -> None:
        """Make ``path`` and its parents durably: the ground on which a test begins."""
        node: Node = self.root
        for part in path.strip("/").split("/"):
            assert isinstance(node, DirectoryNode)
            if part not in node.entries:
                node.change((part, self.new_directory(0o755)))
                node.sync()
            node = node.entries[part]

    def crash(self, rng: random.Random, *, garbled: str | None = None) -> None:
        """Cut the power: all processes die, what was not synced is kept or dropped at random.

        At most one unsynced sector of the file with the path ``garbled`` may end up as noise.
        """
        for process in [*self.processes]:
            process.kill()
        node = self.find(garbled) if garbled is not None else None
        if isinstance(node, FileNode) and rng.random() < 0.5:
            node.garble(rng)
        self._crash_below(self.root, rng)

    def evict(self) -> None:
        """Drop what failed syncs left in the cache and not on the disk."""
        for node in self.nodes():
            if isinstance(node, FileNode) and node.lying:
                node.evict()

    def write_back(self, rng: random.Random) -> None:
        """Let the kernel make some unsynced changes durable."""
        for node in self.nodes():
            if not isinstance(node, FileNode) or node.dirty or node.cut_at is not None:
                node.write_back(rng)

    def find(self, path: str) -> Node | None:
        """The file or directory that ``path`` names, None if there is none."""
        node: Node = self.root
        for part in path.split("/"):
            if not part:
                continue
            if not isinstance(node, DirectoryNode) or part not in node.entries:
                return None
            node = node.entries[part]
        return node

    def content(self, path: str) -> bytes:
        """What processes read from the file ``path``."""
        node = self.find(path)
        if not isinstance(node, FileNode):
            raise FileNotFoundError(path)
        return bytes(node.cached)

    def damage(self, path: str, offset: int, flipped_bits: int) -> None:
        """Flip bits of one byte, in the cache and on the disk: rot."""
        node = self.find(path)
        if not isinstance(node, FileNode):
            raise FileNotFoundError(path)
        node.cached[offset] ^= flipped_bits
        if offset < len(node.durable):
            node.durable[offset] ^= flipped_bits

    def nodes(self) -> Iterator[Node]:
        """Everything that has a name, each once, parents first."""
        seen: set[int] = set()
        waiting: list[Node] = [self.root]
        while waiting:
            node = waiting.pop()
            if node.inode in seen:
                continue
            seen.add(node.inode)
            yield node
            if isinstance(node, DirectoryNode):
                waiting.extend(node.entries.values())

    def new_file(self, mode: int) -> FileNode:
        """Make a file without a name."""
        self._inodes += 1
        return FileNode(self._inodes, mode, self.sector_bytes)

    def new_directory(self, mode: int) -> DirectoryNode:
        """Make a directory without a name."""
        self._inodes += 1
        return DirectoryNode(self._inodes, mode)

    def _crash_below(self, directory: DirectoryNode, rng: random.Random) -> None:
        crashed: set[int] = set()
        waiting = [directory]
        while waiting:
            at = waiting.pop()
            at.crash(rng)
            for node in at.entries.values():
                if isinstance(node, DirectoryNode):
                    waiting.append(node)
                    continue
                if node.inode not in crashed:
                    crashed.add(node.inode)
                    node.links = 0
                    node.crash(rng)
                node.links += 1


def status_of(node: Node) -> os.stat_result:
    """What stat says of a file or directory; times are zero."""
    size, links = (node.size_bytes(), node.links) if isinstance(node, FileNode) else (0, 2)
    owner, group = os.geteuid(), os.getegid()
    return os.stat_result((node.mode, node.inode, 1, links, owner, group, size, 0, 0, 0))
