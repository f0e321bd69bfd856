"""Every bit of a small journal is flipped, and every file cut: it is noticed, or it does not matter.

Theory of operation: the short form takes the smallest journal that has every kind of file, and of
frame but the one that only a repair writes. Bits and sizes of segments, manifest and the slots of
the mark are all tried on the whole journal. Runs and tables are covered by their checksums byte by
byte, zeros included: all of their bits and sizes are tried on what reads such a file, and some on
the whole journal, which has to answer without it. The long form tries all on a larger journal.
"""

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pytest

from aurora_es.errors import AuroraConfigurationError, CorruptionError, UnsupportedFormatError
from aurora_es.format.frame_table import TABLE_HEADER_BYTES, TableHeader, decode_table_header
from aurora_es.format.manifest import Manifest, decode_manifest
from aurora_es.format.mark import SLOT_BYTES, SLOT_OFFSETS
from aurora_es.format.names import MANIFEST
from aurora_es.format.run import decode_run_header
from aurora_es.index.run_file import RunDamagedError, RunFile
from aurora_es.segment.frame_table import FrameTable, TableDamagedError
from aurora_es.testing.crashable import CrashableFiles
from tests.fault.crash_states import Tree
from tests.fault.enumeration import disk_of
from tests.fault.figures import Figures
from tests.fault.small_journal import (
    CACHES,
    PATH,
    answers,
    small_journal,
    smallest_journal,
    tree_of,
)
from tests.fault.told import ViolationError

Place = tuple[str, int, int]  # path, offset, bit
_NOTICED = (CorruptionError, UnsupportedFormatError, AuroraConfigurationError)
# Of these every bit and size is tried on what reads the one file, which comes first whenever a journal
# is opened; on the whole journal one bit, and one size, of so many bytes.
_READ_ALONE = (*CACHES, "/manifest")
_STRIDE = 16


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Original(NamedTuple):
    """A journal, and what it says."""

    tree: Tree
    says: list[bytes]


@functools.cache
def original() -> Original:
    """The larger journal."""
    tree = small_journal()
    return Original(tree, answers(disk_of(tree), read_only=True))


@functools.cache
def smallest() -> Original:
    """The smallest one."""
    tree = smallest_journal()
    return Original(tree, answers(disk_of(tree), read_only=True))


def kind_of(path: str) -> str:
    """What a file is."""
    name = path.removeprefix(PATH + "/")
    if name.endswith(".segment"):
        return "cooled segment" if ".r1." in name else "segment"
    return {".index": "run", ".frames": "table"}.get(name[name.rfind(".") :], name)


def places(tree: Tree) -> Iterator[Place]:
    """Every bit of every file; lock files are empty."""
    for path, content in tree.items():
        for offset in range(len(content or b"")):
            for bit in range(8):
                yield path, offset, bit


def flipped(content: bytes, offset: int, bit: int) -> bytes:
    """The same bytes with another bit."""
    changed = bytearray(content)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def judge(of: Original, path: str, content: bytes, figures: Figures) -> None:
    """Open with that content of a file, as a reader and as an appender; count what came of it."""
    damaged = {**of.tree, path: content}
    verdicts = set()
    for read_only in (True, False):
        disk = disk_of(damaged)
        try:
            found = answers(disk, read_only=read_only)
        except _NOTICED as error:
            if path.endswith(CACHES):
                raise ViolationError(f"damage to a cache is not hidden: {error}") from error
            if tree_of(disk) != damaged:
                raise ViolationError("refused, and changed nevertheless") from None
            verdicts.add("detected")
            continue
        # Without the newer slot a reader sees the older mark, until an appender has recovered.
        is_lagging = read_only and path.endswith("/mark") and found == of.says[: len(found)]
        if found != of.says and not is_lagging:
            raise ViolationError(f"silent: {found}")
        verdicts.add("harmless")
    figures.trials += 1
    figures.add(detected="detected" in verdicts, harmless="detected" not in verdicts, silent=0)


def flip_all(of: Original, chosen: Iterable[Place], *, is_exhaustive: bool) -> None:
    """Flip each of the bits; figures by kind of file."""
    by_kind: dict[str, list[Place]] = {}
    for place in chosen:
        by_kind.setdefault(kind_of(place[0]), []).append(place)
    for kind, own in by_kind.items():
        with Figures("E7", kind, "flipped bit") as figures:
            figures.is_exhaustive = is_exhaustive
            for path, offset, bit in own:
                try:
                    judge(of, path, flipped(of.tree[path] or b"", offset, bit), figures)
                except BaseException as error:
                    error.add_note(f"path, offset, bit: {path, offset, bit}")
                    raise


def is_in_slot(offset: int) -> bool:
    """Whether a byte of the mark is one that anybody looks at."""
    return any(at <= offset < at + SLOT_BYTES for at in SLOT_OFFSETS)


def test_the_smallest_journal_has_every_kind_of_file() -> None:
    """So that what is tried on it is tried on each."""
    assert {kind_of(path) for path, _, _ in places(smallest().tree)} == {
        "cooled segment", "manifest", "mark", "run", "segment", "table",
    }  # fmt: skip


def is_opened(path: str, offset: int, bit: int) -> bool:
    """Whether a whole journal is opened with that bit flipped, and not only what reads the file."""
    if path.endswith(_READ_ALONE):
        return offset % _STRIDE == 0 and bit == offset // _STRIDE % 8
    return not path.endswith("/mark") or is_in_slot(offset)


@pytest.mark.parametrize("part", range(4))
def test_every_bit_of_the_smallest_journal(part: int) -> None:
    """Whichever bit of segments and mark, and some of the rest: a typed error, or the same answers."""
    of = smallest()
    chosen = [place for place in places(of.tree) if is_opened(*place)]
    flip_all(of, chosen[part::4], is_exhaustive=False)


def test_nobody_looks_between_the_slots_of_the_mark() -> None:
    """All the other bits of the mark at once do not matter."""
    path, figures = f"{PATH}/mark", Figures("E7", "mark", "flipped bit")
    content = smallest().tree[path] or b""
    other = bytes(byte if is_in_slot(offset) else byte ^ 255 for offset, byte in enumerate(content))
    judge(smallest(), path, other, figures)
    assert figures.counts["harmless"] == 1


def sizes(path: str, content: bytes) -> Iterator[int]:
    """Sizes to which a file is cut: all, but for what is read alone, and where nobody looks."""
    for size in range(len(content)):
        if path.endswith("/mark"):
            if is_in_slot(size) or is_in_slot(size - 1) or size % 512 == 100:
                yield size
        elif not path.endswith(_READ_ALONE) or size % _STRIDE == 0:
            yield size


def test_every_size_of_every_file() -> None:
    """However short a file becomes, nothing that was acknowledged is missing unseen."""
    of = smallest()
    with Figures("E7", "cut", "size") as figures:
        for path, content in of.tree.items():
            for size in sizes(path, content or b""):
                try:
                    judge(of, path, (content or b"")[:size], figures)
                except BaseException as error:
                    error.add_note(f"{path} cut to {size} bytes")
                    raise


Read = Callable[[bytes], None]


def reader_of(path: str) -> Read:
    """Opens one run or table with other content, and reads all of it."""
    tree = smallest().tree
    content = tree[path] or b""
    disk = disk_of({PATH: None, path: content})
    files = CrashableFiles(disk)
    if path.endswith(".index"):
        header = decode_run_header(content)
        assert header is not None

        def read(content: bytes) -> None:
            disk.find(path).cached[:] = content  # type: ignore[union-attr]
            run = RunFile(
                files, path, genesis_id=header.genesis_id, source_digest=header.source_digest
            )
            for block in range(header.block_count):
                run.read_block(block)

        return read
    table = decode_table_header(content[:TABLE_HEADER_BYTES])
    assert isinstance(table, TableHeader)

    def read_table(content: bytes) -> None:
        disk.find(path).cached[:] = content  # type: ignore[union-attr]
        found = FrameTable(files, path, table.identity)
        found.frame_of(table.identity.base_position)

    return read_table


@pytest.mark.parametrize("path", [path for path in smallest().tree if path.endswith(CACHES)])
def test_every_bit_and_size_of_a_cache(path: str) -> None:
    """Whichever bit of a run or a table is another, and wherever it ends: it is not believed."""
    read, content = reader_of(path), smallest().tree[path] or b""
    read(content)
    others = [flipped(content, offset, bit) for _, offset, bit in places({path: content})]
    for other in (*others, *(content[:size] for size in range(len(content)))):
        with pytest.raises((RunDamagedError, TableDamagedError)):
            read(other)


def test_every_bit_and_size_of_the_manifest() -> None:
    """Whichever bit of it is another, and wherever it ends: it is none, and so no journal opens."""
    path = f"{PATH}/{MANIFEST}"
    content = smallest().tree[path] or b""
    assert isinstance(decode_manifest(content), Manifest)
    for _, offset, bit in places({path: content}):
        assert not isinstance(decode_manifest(flipped(content, offset, bit)), Manifest)
    for size in range(len(content)):
        assert decode_manifest(content[:size]) is None


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_every_bit() -> None:
    """The same for every single bit of a larger journal."""
    flip_all(original(), places(original().tree), is_exhaustive=True)
