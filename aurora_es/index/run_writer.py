"""Writes an index run from sorted pieces, in bounded memory, as ``<path>.new``.

Theory of operation: blocks are written as entries come, behind the place of the header, which is
known and written last; then everything is synced. ``publish_run`` renames the file over its name:
unlike a segment a run is a cache, and a new one may take the place of a damaged one. Whether
versions only rise, and how many originators there are, is seen in the sorted stream itself: of an
originator's entries, sorted by version, the positions have to rise as well.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from aurora_es.errors import TooLargeError
from aurora_es.files.layer import open_regular, write_all
from aurora_es.format.checksum import crc32c
from aurora_es.format.limits import (
    RUN_BLOCKS_MAX,
    RUN_DIRECTORY_BYTES_MAX,
    RUN_TOPICS_BYTES_MAX,
)
from aurora_es.format.names import NEW_SUFFIX
from aurora_es.format.run import (
    BLOCK_BYTES,
    RUN_HEADER_BYTES,
    RUN_MAGIC,
    RUN_VERSION,
    Directory,
    RunHeader,
    encode_blocks,
    encode_directory,
    encode_fence,
    encode_run_header,
    entries_per_block,
)
from aurora_es.index.keys import key_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from aurora_es.files.layer import Effects, Files
    from aurora_es.format.run import Columns

_PIECE_BLOCKS = 1 << 10
_SIGNED_HALF = 1 << 31  # ordinals of 4 bytes are signed
_LAST_ORIGINATOR_KEY = key_range("originator")[1]


class Coverage(NamedTuple):
    """What a run is about: the segments and positions covered, and how their state is named."""

    genesis_id: bytes
    level: int
    first_segment: int
    last_segment: int
    base_position: int
    last_position: int  # base position - 1 if the segments hold no record
    source_digest: bytes


class RunWriter:
    """Writes one run; used as a context that removes the file if anything goes wrong."""

    def __init__(
        self, effects: Effects, path: str, coverage: Coverage, *, ordinal_width: int
    ) -> None:
        """Create ``<path>.new``; an older one is removed."""
        self._files = files = effects.files
        self._path = path + NEW_SUFFIX
        self._coverage = coverage
        span = coverage.last_position - coverage.base_position + 1
        self._widths = ordinal_width, 4 if span <= 2 * _SIGNED_HALF else 8
        self._capacity = entries_per_block(*self._widths)
        self._salt = salt_of(effects)
        self._first_keys = array("Q")
        self._rest: Columns | None = None  # entries that did not fill a block
        self._last: Columns | None = None  # the last entry, to compare the next one with
        self._entry_count = self._originator_count = 0
        self._is_monotone = True
        with contextlib.suppress(FileNotFoundError):
            files.unlink(self._path)
        self._fd = open_regular(files, self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def __enter__(self) -> Self:
        """Start to write."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file; remove it if it did not get complete."""
        self._files.close(self._fd)
        if kind is not None:
            with contextlib.suppress(OSError):
                self._files.unlink(self._path)

    def add(self, columns: Columns) -> None:
        """Write sorted entries, all behind those added before; positions are absolute."""
        if not len(columns[0]):
            return
        self._observe(columns)
        keys, ordinals, positions = columns
        relative = positions - np.uint64(self._coverage.base_position)
        columns = _joined(self._rest, (keys, ordinals, relative))
        full = len(columns[0]) // self._capacity
        step = _PIECE_BLOCKS * self._capacity
        for start in range(0, full * self._capacity, step):
            end = min(start + step, full * self._capacity)
            self._write_blocks(_cut(columns, start, end))
        self._rest = _cut(columns, full * self._capacity, len(columns[0]))

    def finish(
        self, topics: Mapping[str, int] | None, commons: Iterable[tuple[int, int, int]]
    ) -> RunHeader:
        """Write what follows the blocks, and the header, and sync the file.

        ``topics`` says how many records each has, None if that is not known; ``commons`` holds
        topic keys and the first and last position where the topic has no postings. Of the same
        topic, ranges that touch are joined.
        """
        if self._rest is not None and len(self._rest[0]):
            self._write_blocks(self._rest)
        listed = sorted(topics.items()) if topics is not None else None
        if listed is not None and len(encode_directory(listed)) > RUN_TOPICS_BYTES_MAX:
            listed = None
        directory = encode_directory(Directory(listed or [], joined_ranges(commons)))
        if len(directory) > RUN_DIRECTORY_BYTES_MAX:
            raise self._too_large(f"{RUN_DIRECTORY_BYTES_MAX} bytes of directory")
        fence = encode_fence(self._first_keys)
        offset = RUN_HEADER_BYTES + len(self._first_keys) * BLOCK_BYTES
        coverage = self._coverage
        header = RunHeader(
            magic=RUN_MAGIC,
            version=RUN_VERSION,
            level=coverage.level,
            ordinal_width=self._widths[0],
            position_width=self._widths[1],
            is_monotone=int(self._is_monotone),
            topics_listed=int(listed is not None),
            incompatible_flags=0,
            compatible_flags=0,
            first_segment=coverage.first_segment,
            last_segment=coverage.last_segment,
            genesis_id=coverage.genesis_id,
            salt=self._salt,
            base_position=coverage.base_position,
            last_position=coverage.last_position,
            originator_count=self._originator_count,
            source_digest=coverage.source_digest,
            entry_count=self._entry_count,
            directory_offset=offset,
            block_count=len(self._first_keys),
            directory_length=len(directory),
            directory_checksum=crc32c(directory),
            fence_checksum=crc32c(fence),
        )
        write_all(self._files, self._fd, directory + fence, offset)
        write_all(self._files, self._fd, encode_run_header(header), 0)
        self._files.fsync(self._fd)
        return header

    def _write_blocks(self, columns: Columns) -> None:
        first_block = len(self._first_keys)
        self._first_keys.extend(columns[0][:: self._capacity].tolist())
        if len(self._first_keys) > RUN_BLOCKS_MAX:
            raise self._too_large(f"{RUN_BLOCKS_MAX} blocks")
        data = encode_blocks(columns, self._widths, self._salt, first_block)
        offset = RUN_HEADER_BYTES + first_block * BLOCK_BYTES
        write_all(self._files, self._fd, data, offset)
        self._entry_count += len(columns[0])

    def _observe(self, columns: Columns) -> None:
        """Assert that entries rise and positions are covered; count originators, see versions."""
        coverage = self._coverage
        assert coverage.base_position <= int(columns[2].min())
        assert int(columns[2].max()) <= coverage.last_position
        starts_anew = self._last is None
        keys, ordinals, positions = _joined(self._last, columns)
        same = keys[1:] == keys[:-1]
        ordinal_rises = ordinals[1:] > ordinals[:-1]
        position_rises = positions[1:] > positions[:-1]
        rises = ordinal_rises | ((ordinals[1:] == ordinals[:-1]) & position_rises)
        assert bool(((keys[1:] > keys[:-1]) | (same & rises)).all()), "entries are not sorted"
        originators = int(np.searchsorted(keys, np.uint64(_LAST_ORIGINATOR_KEY), side="right"))
        of_originators = same[: max(originators - 1, 0)]
        both_rise = (ordinal_rises & position_rises)[: len(of_originators)]
        self._is_monotone &= bool((both_rise | ~of_originators).all())
        changes = len(of_originators) - int(of_originators.sum())
        self._originator_count += changes + (1 if starts_anew and originators else 0)
        self._last = _cut(columns, len(columns[0]) - 1, len(columns[0]))

    def _too_large(self, limit: str) -> TooLargeError:
        return TooLargeError(f"{self._path}: an index run has at most {limit}")


def publish_run(files: Files, path: str) -> None:
    """Give a written run its name, also in place of an older run, and sync the directory."""
    files.rename(path + NEW_SUFFIX, path)
    files.sync_directory(os.path.dirname(path))


def salt_of(effects: Effects) -> bytes:
    """Random salt, which is never zero."""
    while not any(salt := effects.random_bytes(8)):
        pass
    return salt


def width_of(ordinals: Iterable[int]) -> int:
    """Width in bytes of a column with these ordinals, of which the least and greatest suffice."""
    return 4 if all(-_SIGNED_HALF <= ordinal < _SIGNED_HALF for ordinal in ordinals) else 8


def _cut(columns: Columns, start: int, end: int) -> Columns:
    return columns[0][start:end], columns[1][start:end], columns[2][start:end]


def _joined(before: Columns | None, columns: Columns) -> Columns:
    if before is None or not len(before[0]):
        return columns
    return (
        np.concatenate((before[0], columns[0])),
        np.concatenate((before[1], columns[1])),
        np.concatenate((before[2], columns[2])),
    )


def joined_ranges(commons: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Topic keys and ranges of positions, sorted; of the same key, those that touch are one."""
    joined: list[tuple[int, int, int]] = []
    for key, first, last in sorted(commons):
        if joined and joined[-1][0] == key and joined[-1][2] + 1 == first:
            joined[-1] = (key, joined[-1][1], last)
        else:
            joined.append((key, first, last))
    return joined
