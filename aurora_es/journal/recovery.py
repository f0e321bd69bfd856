"""Recovery: what the holder of ``lock`` does about bytes that nobody vouches for.

Theory of operation: M is the mark, X the end of the last complete valid commit in the tail. X below
M's durable offset is corruption, and so is a valid frame behind X that says that bytes beyond X had
been synced before it was written. Everything else behind X is a torn tail: the unfinished write of
a dead or interrupted appender, or pages that a power cut brought to disk in any order. It is kept
in ``recovered/``, cut and counted. What is complete is adopted, never dropped: it is written again
with the same bytes (after a failed sync the page cache lies), synced, and only then published. An
end frame at X means that a roll was under way: it is finished. Recovery may be killed anywhere and
started again.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aurora_es.errors import CorruptionError, ForeignDirectoryError
from aurora_es.files.layer import is_directory, read_exactly, write_all, write_synced
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    ALIGNMENT,
    HEADER_BYTES,
    KIND_RECORDS,
    decode_header,
    frame_bytes,
)
from aurora_es.format.limits import FRAME_RAW_BYTES_MAX, TAIL_SLACK_BYTES_MAX
from aurora_es.format.names import MARK, RECOVERED, parse_segment_name, segment_name
from aurora_es.journal.catch_up import (
    advance,
    catch_up,
    decode_commit,
    first_chain,
    not_behind_sealed,
    open_successor,
)
from aurora_es.journal.logs import logger
from aurora_es.journal.manifest_file import begun_epoch, change_manifest, read_manifest
from aurora_es.journal.roll import finish_roll
from aurora_es.journal.tail_writes import poisoned, publish_synced, renew_mark
from aurora_es.segment.walk import Chain, Stop, Walk, stop_error

if TYPE_CHECKING:
    from aurora_es.format.mark import Mark
    from aurora_es.format.payload import TrackingData
    from aurora_es.journal.handle import Handle
    from aurora_es.segment.file import SegmentFile

_BLOCK_BYTES = 1 << 20
_FRAME_BYTES_MAX = frame_bytes(FRAME_RAW_BYTES_MAX)
_KEPT_BYTES_MAX = 16 << 20
_KEPT_FILES_MAX = 16
_COPY_NAME = re.compile(r"\d{10}-\d{12}-\d{20}\.bytes", re.ASCII)


@dataclass(slots=True)
class _Tail:
    """The tail segment as recovery finds it."""

    file: SegmentFile
    chain: Chain  # behind the last complete commit, or behind the end frame: X is its offset
    durable_offset: int  # up to here the mark vouches for this segment
    visible_offset: int
    stop: Stop
    size_bytes: int


def recover(handle: Handle) -> Mark:
    """Recover the tail; the caller holds the append lock. Returns the mark to append at.

    Raises CorruptionError or UnsupportedFormatError with nothing changed, and PoisonedHandleError
    when a sync fails.
    """
    return _recover(handle, None)


def _recover(handle: Handle, failed_at: tuple[int, int] | None) -> Mark:
    """Recover; ``failed_at`` is X of an attempt that did not find there what the walk had seen."""
    descriptors = handle.usable()
    assert descriptors is not None
    found = descriptors.mark.read()
    stop = advance(handle, found)
    mark = not_behind_sealed(handle, found)
    mark = mark._replace(epoch=_newest_epoch(handle, found))
    chain = handle.state.chain
    assert chain is not None
    if chain.segment_number != mark.segment_number:
        # No crash: a roll syncs a segment before its successor, and that before the mark names it.
        raise stop_error(
            handle.segment(chain.segment_number, chain.base_position), stop or Stop("end", 0)
        )
    tracking = dict(handle.state.index.tracking)
    durable_offset, visible_offset = mark.durable_offset, mark.visible_offset
    chain = chain.copy()
    adopted = 0
    while True:
        tail = _walk_tail(handle, chain, durable_offset, visible_offset, tracking)
        adopted += tail.chain.commit_number - chain.commit_number
        _refuse_corruption(handle, tail)
        zeros_only = tail.file.is_zero_from(tail.chain.offset)
        clean = tail.chain.offset == visible_offset == durable_offset and mark == found
        if clean and zeros_only and tail.chain.segment_number == mark.segment_number:
            # A clean end, or a power cut that tore one slot of the mark: the next must not find both torn.
            handle.in_doubt = False
            return renew_mark(handle, mark)
        if not _may_rewrite(handle, tail, failed_at):
            return _recover(handle, _place(tail))
        may_lack = not zeros_only and not adopted and _may_lack_commits(handle, tail)
        mark = _raise_epoch(handle, tail, mark, may_lack=may_lack)
        if not _settle(handle, tail, mark, zeros_only=zeros_only):
            _refuse_change(tail, failed_at)
            return _recover(handle, _place(tail))
        if not tail.chain.ended:
            # A writer died between its write and its publication, or the power cut left an old mark.
            return _publish(handle, tail.chain, mark, adopted)
        chain = _enter_successor(handle, tail.chain, tracking, epoch=mark.epoch)
        durable_offset = visible_offset = chain.offset


def _walk_tail(
    handle: Handle,
    start: Chain,
    durable_offset: int,
    visible_offset: int,
    tracking: dict[str, TrackingData],
) -> _Tail:
    """Walk from the last known commit to the end of the file, gathering tracking records."""
    file = handle.open_tail(start)
    chain = start.copy()
    size = file.size_bytes()
    walk = Walk(file, chain, size)
    for frames in walk:
        if frames[0].header.kind == KIND_RECORDS:
            record = decode_commit(file, frames)[1]
            if record is not None:
                tracking[record.application_name] = record
    if size > chain.offset + TAIL_SLACK_BYTES_MAX:
        # Somebody has blown the file up: to search it for frames would take hours.
        raise CorruptionError(
            file.path,
            chain.offset,
            expected=f"the end of the file, within {TAIL_SLACK_BYTES_MAX} bytes",
            found=f"{size - chain.offset} more bytes",
        )
    return _Tail(file, chain, durable_offset, visible_offset, walk.stop, size)


def _refuse_corruption(handle: Handle, tail: _Tail) -> None:
    """Raise for whatever is more than a torn tail; nothing has been changed so far."""
    end = tail.chain.offset
    if tail.stop.reason == "unsupported" or end < tail.durable_offset:
        # Acknowledged bytes are never cut, and what a newer version wrote is not ours to judge.
        raise stop_error(tail.file, tail.stop)
    number = tail.chain.segment_number + 1
    for name in handle.files.listdir(handle.path):
        parsed = parse_segment_name(name)
        if parsed is None or parsed[0] != number:
            continue
        if not tail.chain.ended:
            # The next segment is linked only after this one is on disk with its end frame.
            raise CorruptionError(
                tail.file.path, end, expected=f"an end frame, since {name} exists", found="none"
            )
        if name != segment_name(number, tail.chain.position + 1):
            raise CorruptionError(
                os.path.join(handle.path, name),
                0,
                expected=f"base position {tail.chain.position + 1}",
                found=f"{parsed[1]}",
            )
    refuse_later_frames(tail.file, tail.chain, tail.stop)


def refuse_later_frames(file: SegmentFile, chain: Chain, stop: Stop) -> None:
    """Look for a header behind X that proves that bytes beyond X had been synced.

    Valid frames that do not prove it are part of the torn tail: a power cut brings the pages of
    one unsynced write to disk in any order, so a frame behind a hole is the normal picture.
    """
    end, salt = chain.offset, file.salt
    size = min(file.size_bytes(), end + TAIL_SLACK_BYTES_MAX)  # more was never written behind X
    at = end
    while at < size:
        block = read_exactly(file.files, file.fd, _BLOCK_BYTES + HEADER_BYTES, at)
        found = block.find(salt)
        while 0 <= found < _BLOCK_BYTES:
            decoded = decode_header(block, found) if (at + found) % ALIGNMENT == 0 else None
            if decoded is not None:
                header = decoded[0]
                if header.commit_number > chain.commit_number and header.synced_to > end:
                    raise CorruptionError(
                        file.path,
                        end,
                        expected=f"{stop.expected or 'a frame'}, since the frame at"
                        f" {at + found} was written after offset {header.synced_to} was synced",
                        found=stop.found or "end of file",
                    )
            found = block.find(salt, found + 1)
        at += _BLOCK_BYTES


def _newest_epoch(handle: Handle, mark: Mark) -> int:
    """The manifest has seen every epoch; a mark that lost its last sync may name an old one."""
    manifest = read_manifest(handle.files, handle.path)
    return mark.epoch if manifest is None else max(mark.epoch, manifest.epoch)


def _raise_epoch(handle: Handle, tail: _Tail, mark: Mark, *, may_lack: bool) -> Mark:
    """Say by a new epoch that visible commits are gone, or that nobody knows whether some are.

    Under a weak sync mode a power cut may take them back. With ``may_lack`` see _may_lack_commits.
    """
    if tail.chain.offset >= tail.visible_offset and not may_lack:
        return mark
    epoch = mark.epoch + 1
    handle.manifest = change_manifest(
        handle.effects,
        handle.path,
        lambda current: begun_epoch(current, epoch, tail.chain.position + 1),
        lock_timeout=handle.lock_timeout,
    )
    if may_lack:
        logger.warning(
            "%s: a slot of the mark is damaged, and what lies behind position %d is no commit:"
            " whether it was one, nobody can tell; epoch %d",
            handle.path,
            tail.chain.position,
            epoch,
        )
    else:
        logger.warning(
            "%s: commits that were visible but not synced are gone, from position %d on (sync mode"
            " %s); epoch %d",
            handle.path,
            tail.chain.position + 1,
            handle.sync_mode,
            epoch,
        )
    return mark._replace(epoch=epoch)


def _may_lack_commits(handle: Handle, tail: _Tail) -> bool:
    """Whether the damaged slot may have vouched for what lies behind X, and is no frame any more.

    No crash: a power cut that tears a slot leaves the commits of that mark, which were synced before,
    and recovery makes it valid before anything is appended. So a slot has rotted: the newer one, and
    the newest commit with it; or the older one, and a writer died in its write. Nobody can tell.
    """
    descriptors = handle.usable()
    assert descriptors is not None
    return tail.chain.offset == tail.visible_offset and descriptors.mark.is_damaged()


def _settle(handle: Handle, tail: _Tail, mark: Mark, *, zeros_only: bool) -> bool:
    """Keep and cut what lies behind X, write what lies before it again, sync.

    False if bytes before X are not what the walk saw any more: walk again.
    """
    files, file, end = handle.files, tail.file, tail.chain.offset
    if not zeros_only:
        _keep_torn_bytes(handle, tail, mark.sequence)
    handle.reserved_end = 0
    try:
        if not rewrite(file, tail.durable_offset, end):
            return False
        files.ftruncate(file.fd, end)
        files.fsync(file.fd)
    except OSError as error:
        raise poisoned(handle, file.path, error) from error
    return True


def _place(tail: _Tail) -> tuple[int, int]:
    return tail.chain.segment_number, tail.chain.offset


def _refuse_change(tail: _Tail, failed_at: tuple[int, int] | None) -> None:
    """Raise if bytes before X changed since the walk, and had done so before.

    What has left the cache once does not come back: the next walk ends before it. A medium that
    reads differently each time would be walked for ever.
    """
    if failed_at == _place(tail):
        raise CorruptionError(
            tail.file.path,
            tail.durable_offset,
            expected=f"the same valid frames up to offset {tail.chain.offset} at each look",
            found="other bytes at the second look, twice",
        )


def _may_rewrite(handle: Handle, tail: _Tail, failed_at: tuple[int, int] | None) -> bool:
    """Whether a frame begins at the durable offset; False once, if it may just have been lost.

    Pages of a failed sync may leave the cache behind the walk, and then the next walk ends before
    them. If it ends in the same place, the mark names an offset where nothing begins.
    """
    begin = tail.durable_offset
    if begin >= tail.chain.offset:
        return True
    block = read_exactly(tail.file.files, tail.file.fd, HEADER_BYTES, begin)
    decoded = decode_header(block, 0)
    if decoded is not None and decoded[0].salt == tail.file.salt:
        return True
    if failed_at == _place(tail):
        raise CorruptionError(
            os.path.join(handle.path, MARK),
            0,
            expected="a durable offset at which a frame begins",
            found=f"{begin} of segment {tail.chain.segment_number}",
        )
    return False


def rewrite(file: SegmentFile, begin: int, end: int) -> bool:
    """Write the frames from ``begin`` to ``end`` again; False if one is not valid any more.

    After a failed sync pages look clean and are not on disk; written again with the same bytes they
    are dirty, and a sync means something. Such a page may leave the cache at any moment, also
    between the walk and here: so what is written is checked once more.
    """
    files = file.files
    while begin < end:
        block = read_exactly(files, file.fd, min(_BLOCK_BYTES, end - begin), begin)
        length = _whole_frames(block, file.salt)
        if not length:
            block = read_exactly(files, file.fd, min(_FRAME_BYTES_MAX, end - begin), begin)
            length = _whole_frames(block, file.salt)
            if not length:
                return False
        write_all(files, file.fd, block[:length], begin)
        begin += length
    return True


def _whole_frames(block: bytes, salt: bytes) -> int:
    """Bytes that the valid and complete frames at the start of ``block`` take."""
    at = 0
    while (decoded := decode_header(block, at)) is not None:
        header = decoded[0]
        begin, end = at + HEADER_BYTES, at + frame_bytes(header.stored_length)
        payload = block[begin : begin + header.stored_length]
        if header.salt != salt or end > len(block) or crc32c(payload) != header.payload_checksum:
            break
        at = end
    return at


def _keep_torn_bytes(handle: Handle, tail: _Tail, sequence: int) -> None:
    """Copy the bytes that are about to be cut; a full disk does not stop recovery."""
    files, end = handle.files, tail.chain.offset
    data = read_exactly(files, tail.file.fd, min(_KEPT_BYTES_MAX, tail.size_bytes - end), end)
    data = data.rstrip(b"\0")
    handle.cut_bytes += len(data)
    directory = os.path.join(handle.path, RECOVERED)
    number = tail.chain.segment_number
    path = os.path.join(directory, f"{number:010d}-{end:012d}-{sequence:020d}.bytes")
    logger.warning(
        "%s: %d bytes of an unfinished write cut at offset %d, kept in %s (%s: expected %s)",
        tail.file.path,
        len(data),
        end,
        path,
        tail.stop.reason,
        tail.stop.expected,
    )
    try:
        try:
            files.mkdir(directory, 0o700)
            files.sync_directory(handle.path)
        except FileExistsError:
            _refuse_link(handle, directory)
            _drop_old_copies(handle, directory, len(data))
        write_synced(files, path, data)
        files.sync_directory(directory)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}:
            raise
        logger.warning("%s: no copy of the cut bytes could be kept: %s", directory, error)


def _refuse_link(handle: Handle, directory: str) -> None:
    """Raise ForeignDirectoryError unless it is a directory: a link's target is not ours."""
    if not is_directory(handle.files, directory):
        message = (
            f"{directory}: expected a directory, for bytes that recovery cuts, found something else;"
            " nothing was changed. Move it elsewhere: `aurora-es doctor` looks at the journal"
        )
        raise ForeignDirectoryError(message)


def _drop_old_copies(handle: Handle, directory: str, coming_bytes: int) -> None:
    files = handle.files
    kept = [name for name in files.listdir(directory) if _COPY_NAME.fullmatch(name)]
    kept.sort(key=lambda name: name.rpartition("-")[2])  # by the mark's sequence: oldest first
    sizes = [files.stat(os.path.join(directory, name)).st_size for name in kept]
    while kept and (len(kept) >= _KEPT_FILES_MAX or sum(sizes) + coming_bytes > _KEPT_BYTES_MAX):
        files.unlink(os.path.join(directory, kept.pop(0)))
        sizes.pop(0)


def _enter_successor(
    handle: Handle, ended: Chain, tracking: dict[str, TrackingData], *, epoch: int
) -> Chain:
    """Go on behind an end frame: into the next segment, made here if the roll died before."""
    path = os.path.join(handle.path, segment_name(ended.segment_number + 1, ended.position + 1))
    try:
        handle.files.stat(path)
    except FileNotFoundError:
        # The roll died between its end frame and the link of the next segment.
        finish_roll(handle, ended, tracking.values(), epoch=epoch)
        logger.warning(
            "%s: the roll of an interrupted writer finished: segment %d begins at position %d",
            handle.path,
            ended.segment_number + 1,
            ended.position + 1,
        )
    file, chain = open_successor(handle, ended)
    # A power cut may take back an unsynced directory entry: nothing may refer to it before.
    handle.files.sync_directory(handle.path)
    return first_chain(file, chain)


def _publish(handle: Handle, chain: Chain, mark: Mark, adopted: int) -> Mark:
    mark = mark._replace(
        sequence=mark.sequence + 1,
        visible_commit=chain.commit_number,
        visible_position=chain.position,
        segment_number=chain.segment_number,
        visible_offset=chain.offset,
        durable_offset=chain.offset,
    )
    publish_synced(handle, mark)
    mark = renew_mark(handle, mark)
    handle.recoveries += 1
    if adopted:
        handle.adopted_commits += adopted
        logger.warning(
            "%s: %d complete commits of an interrupted writer adopted, up to position %d",
            handle.path,
            adopted,
            chain.position,
        )
    handle.in_doubt = False
    catch_up(handle, mark)
    return mark
