"""A file of JSON lines as a side of a move; or a stream, which is read or written once.

Theory of operation: lines are read in blocks and never whole; a page ends where its part does. An
export that was interrupted may end within a line: that line is cut off, and so is an end line that
stands before new rows. A file that begins with a header and has no end line is of an export that
did not finish: what is there is good, but it is not all.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from msgspec import UNSET

from aurora_es.errors import ForeignDirectoryError
from aurora_es.files.layer import (
    SYSTEM_EFFECTS,
    open_regular,
    read_exactly,
    replace_file,
    write_all,
)
from aurora_es.format.names import NEW_SUFFIX
from aurora_es.moving.json_lines_format import (
    LINE_BYTES_MAX,
    BadLineError,
    Decoded,
    LineCoder,
    encode_end,
    encode_header,
    encode_tracked,
)
from aurora_es.moving.moving_errors import SourceError, TargetError
from aurora_es.moving.pages import (
    BYTES_MAX,
    ROWS_MAX,
    Digest,
    Extent,
    Page,
    Tracked,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.files.layer import Effects
    from aurora_es.moving.json_lines_format import End, Line
    from aurora_es.moving.pages import Row

_BLOCK_BYTES = 1 << 20


class JsonLines:
    """A file of JSON lines, or a binary stream."""

    keeps_ids = True

    def __init__(
        self, place: str | os.PathLike[str] | BinaryIO, *, effects: Effects = SYSTEM_EFFECTS
    ) -> None:
        """Name the file, or pass the stream; constructing touches nothing."""
        self._files = effects.files
        self._stream: BinaryIO | None = None
        if isinstance(place, str | os.PathLike):
            self.name = os.path.abspath(os.fspath(place))
        else:
            self._stream = place
            self.name = "standard input or output"
        self.can_repeat = self.is_durable = self._stream is None
        self._coder = LineCoder()
        self._fd: int | None = None
        self._length = 0  # bytes of whole lines; where the next one is written
        self._tracked: dict[str, dict[str, int]] = {}
        self._is_cut = False  # what stands behind the last row goes when the next one comes

    # As a source

    def open_source(self) -> None:
        """Open the file for reading; raises SourceError."""
        if self._stream is not None:
            return
        try:
            self._fd = open_regular(self._files, self.name, os.O_RDONLY)
        except FileNotFoundError as error:
            message = f"{self.name}: expected a file of JSON lines, found none; name another one"
            raise SourceError(message) from error
        except ForeignDirectoryError as error:
            message = (
                f"{self.name}: expected a file of JSON lines, found a link, a FIFO, a device or a"
                " directory; read a stream with `aurora-es import jsonl -`"
            )
            raise SourceError(message) from error
        self._length = self._files.fstat(self._fd).st_size

    def extents(self) -> dict[str, Extent]:
        """Nothing is known before all is read."""
        return {}

    def left_out(self) -> list[str]:
        """Nothing."""
        return []

    def stream(self) -> Iterator[Page | Tracked]:
        """Pages of consecutive lines of one part; raises SourceError, which names a bad line."""
        digests: dict[str, Digest] = {}
        has_header, end, number = False, None, 0
        for number, item in self._items():
            if end is not None:
                message = f"{self.name}, line {number}: expected nothing behind the end line"
                raise SourceError(message + ", found more. Export again, or cut it off")
            if isinstance(item, Page):
                digests.setdefault(item.part, Digest(item.part)).add(item.rows)
                yield item
                continue
            has_header = has_header or item.header is not UNSET
            if item.tracking is not UNSET:
                yield Tracked(item.tracking.part, item.tracking.ids)
            if item.end is not UNSET:
                end = item.end
        self._check_end(number, end, digests, has_header=has_header)

    def _items(self) -> Iterator[tuple[int, Page | Line]]:
        """Pages of consecutive rows, and other lines, each with the number of a line so far."""
        gathered = _Gathered()
        number = 0
        for lines in self._line_lists():
            if (plain := self._coder.decode_plain(lines)) is not None:
                if (page := gathered.take()) is not None:
                    yield number, page
                number += len(lines)
                for at in range(0, len(lines), ROWS_MAX):
                    end = at + ROWS_MAX
                    yield number, Page(plain.part, plain.rows[at:end], plain.ids[at:end])
                continue
            for data in lines:
                number += 1
                decoded = self._decode(number, data)
                page = gathered.add(decoded) if isinstance(decoded, Decoded) else gathered.take()
                if page is not None:
                    yield number, page
                if not isinstance(decoded, Decoded):
                    yield number, decoded
        if (page := gathered.take()) is not None:
            yield number, page

    def _decode(self, number: int, data: bytes) -> Decoded | Line:
        try:
            return self._coder.decode(data)
        except BadLineError as error:
            message = (
                f"{self.name}, line {number}: {error}. What is before it is in the target; mend the"
                f" line ({data[:60]!r}…), and run `aurora-es import jsonl` again: it goes on there"
            )
            raise SourceError(message) from error

    def _check_end(
        self, number: int, end: End | None, digests: dict[str, Digest], *, has_header: bool
    ) -> None:
        if end is None:
            if has_header:
                message = (
                    f"{self.name}: expected an end line, found the end of the file behind line"
                    f" {number}: this export was not finished. Run `aurora-es export jsonl` again,"
                    " which goes on there, and then `aurora-es import jsonl`"
                )
                raise SourceError(message)
            return
        counts = {part: digest.count for part, digest in digests.items()}
        texts = {part: digest.text() for part, digest in digests.items()}
        if counts != end.counts or (end.digests and texts != end.digests):
            message = (
                f"{self.name}, line {number}: expected {end.counts} rows with digests {end.digests}, as the"
                f" end line says, found {counts} with {texts}: lines were lost or changed. Export"
                " again; or remove the end line, if the change was meant"
            )
            raise SourceError(message)

    def _line_lists(self) -> Iterator[list[bytes]]:
        """All whole lines; the last one may lack its newline. Raises SourceError for a long one."""
        rest = b""
        number = 0
        for block in self._blocks():
            *lines, rest = (rest + block).split(b"\n")
            number += len(lines)
            if lines:
                yield lines
            if len(rest) > LINE_BYTES_MAX:
                message = (
                    f"{self.name}, line {number + 1}: expected at most {LINE_BYTES_MAX} bytes, found"
                    " more; is this a file of JSON lines? Name another one"
                )
                raise SourceError(message)
        if rest:
            yield [rest]

    def _blocks(self) -> Iterator[bytes]:
        if self._stream is not None:
            while block := self._stream.read(_BLOCK_BYTES):
                yield block
            return
        assert self._fd is not None
        offset = 0
        while offset < self._length:
            block = read_exactly(
                self._files, self._fd, min(_BLOCK_BYTES, self._length - offset), offset
            )
            if not block:
                return
            offset += len(block)
            yield block

    # As a target

    def open_target(self, application_name: str, *, is_process: bool) -> None:
        """Open the file, or make it; raises TargetError."""
        if self._stream is not None:
            self._stream.write(encode_header(application_name))
            return
        header = encode_header(application_name)
        if not self._is_begun():
            # Whole and on disk, or not there: who was killed while writing rows left a header.
            replace_file(self._files, self.name, header, draft=self.name + NEW_SUFFIX)
        self._fd = open_regular(self._files, self.name, os.O_RDWR)
        size = self._length = self._files.fstat(self._fd).st_size
        if read_exactly(self._files, self._fd, len(header), 0) != header:
            message = (
                f"{self.name}: expected no file, or an earlier export of the same application, found"
                " something else; nothing was changed. Name another one, or remove it, and run"
                " `aurora-es export jsonl` again"
            )
            raise TargetError(message)
        self._length = self._good_bytes()
        self._is_cut = self._length == size

    def _is_begun(self) -> bool:
        """Whether there is a file with something in it; raises TargetError for what is no file."""
        try:
            fd = open_regular(self._files, self.name, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except ForeignDirectoryError as error:
            # A device or a link must not be replaced by our file.
            message = (
                f"{self.name}: expected no file, or an earlier export, found a link, a FIFO, a device"
                " or a directory; nothing was changed. Name a file, or write a stream with"
                " `aurora-es export jsonl -`"
            )
            raise TargetError(message) from error
        try:
            return self._files.fstat(fd).st_size > 0
        finally:
            self._files.close(fd)

    def _good_bytes(self) -> int:
        """Bytes of the header and of the rows behind it, up to the first line that is none.

        That is a line that is written last, and anew; or one that a killed export, or a power cut
        in the middle of one, has left: torn, or never on disk.
        """
        size, good = self._length, 0
        try:
            lines = (data for part in self._line_lists() for data in part)
            for number, data in enumerate(lines, 1):
                is_whole = good + len(data) < size
                if not is_whole or (
                    number > 1 and not isinstance(self._coder.decode(data), Decoded)
                ):
                    break
                good += len(data) + 1
        except (BadLineError, SourceError):
            # Left by a power cut; what is before it was written, and is compared.
            pass
        return good

    def _write(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.write(data)
            return
        assert self._fd is not None
        if not self._is_cut:
            self._files.ftruncate(self._fd, self._length)
            self._is_cut = True
        write_all(self._files, self._fd, data, self._length)
        self._length += len(data)

    def pages(self, part: str) -> Iterator[Page]:
        """Rows of ``part`` that are there; a stream has none."""
        return self.read_back((part,))

    def read_back(self, parts: Sequence[str]) -> Iterator[Page]:
        """Rows of all ``parts``, in the order of the file."""
        if self._stream is not None:
            return
        for _, item in self._items():
            if isinstance(item, Page) and item.part in parts:
                yield item

    def is_keyed(self, part: str) -> bool:
        """All lines are in order."""
        return False

    def find(self, part: str, rows: Sequence[Row]) -> list[Row | None]:
        """Nothing is looked up in a file."""
        raise NotImplementedError

    def append(self, page: Page) -> None:
        """Write the lines of a page."""
        self._write(self._coder.encode_page(page))

    def tracked(self, part: str) -> dict[str, int]:
        """Tracking records that were written by this object."""
        return self._tracked.get(part, {})

    def track(self, tracked: Tracked) -> None:
        """Write a line of tracking records."""
        self._tracked[tracked.part] = tracked.ids
        self._write(encode_tracked(tracked.part, tracked.ids))

    def finish(self, counts: dict[str, int], digests: dict[str, str]) -> None:
        """Write the end line; force the file and its name to disk."""
        self._write(encode_end(counts, digests))
        if self._stream is not None:
            self._stream.flush()
            return
        assert self._fd is not None
        self._files.fsync(self._fd)
        self._files.sync_directory(os.path.dirname(self.name))

    def close(self) -> None:
        """Close the file; a stream stays open."""
        if self._fd is not None:
            self._files.close(self._fd)
            self._fd = None


class _Gathered:
    """Rows of consecutive lines, until they are a page."""

    def __init__(self) -> None:
        self._part = ""
        self._rows: list[Row] = []
        self._ids: list[int] = []
        self._size = 0

    def add(self, decoded: Decoded) -> Page | None:
        """Add a row; returns a page that is full, or that another part ends."""
        page = None
        if (
            decoded.part != self._part
            or (decoded.id is None) != (not self._ids)
            or len(self._rows) == ROWS_MAX
            or self._size >= BYTES_MAX
        ):
            page = self.take()
            self._part = decoded.part
        self._rows.append(decoded.row)
        if decoded.id is not None:
            self._ids.append(decoded.id)
        self._size += len(decoded.row[3])
        return page

    def take(self) -> Page | None:
        """What was gathered."""
        if not self._rows:
            return None
        page = Page(self._part, self._rows, self._ids or None)
        self._rows, self._ids, self._size = [], [], 0
        return page
