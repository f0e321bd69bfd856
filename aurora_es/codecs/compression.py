"""Compression of frame payloads: none, LZ4 block, raw Snappy, and Zstandard for cooled segments.

Theory of operation: the raw length stands in the checksummed frame header. It is checked against
the format's limit and against the greatest ratio that the codec can reach *before* any memory is
taken, and output goes into a buffer of exactly that size: seven bytes of Snappy may claim 4 GB.
Zstandard has no greatest ratio: there the limit of the format is the only bound, and the frame must
claim the same length, since its decompressor believes the frame and not its caller. The libraries
are imported at first use, since most journals need one of them at most.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from aurora_es.errors import AuroraConfigurationError, UnsupportedFormatError
from aurora_es.format.limits import FRAME_RAW_BYTES_MAX
from aurora_es.late_imports import fork_waits
from aurora_es.options import CompressionFormat

if TYPE_CHECKING:
    from collections.abc import Callable

CODEC_NONE = 0
CODEC_LZ4 = 1
CODEC_SNAPPY = 2
CODEC_ZSTD = 3  # in packed frames only: nobody appends with it
CODEC_OF = {
    CompressionFormat.NONE: CODEC_NONE,
    CompressionFormat.LZ4: CODEC_LZ4,
    CompressionFormat.SNAPPY: CODEC_SNAPPY,
}
# No payload that is within the limit of the format exceeds that of Zstandard.
_RATIO_MAX = {CODEC_LZ4: 255, CODEC_SNAPPY: 22, CODEC_ZSTD: FRAME_RAW_BYTES_MAX}
# Higher levels cost 3 to 200 times as much and gain 3 % on payloads of 16 KiB.
_ZSTD_LEVEL = 3
_INSTALL_ZSTD = "pip install 'aurora-es[zstd]'"


class DecompressionError(ValueError):
    """The payload cannot be what its header says."""


def compress(codec: int, data: bytes) -> tuple[int, bytes]:
    """Compress ``data``; returns the codec used and the bytes, raw ones where nothing is gained.

    Raises AuroraConfigurationError for CODEC_ZSTD if its package is not installed.
    """
    if codec == CODEC_NONE:
        return CODEC_NONE, data
    compressed = _COMPRESS[codec](data)
    return (codec, compressed) if len(compressed) < len(data) else (CODEC_NONE, data)


def decompress(codec: int, data: bytes, raw_length: int) -> bytes:
    """Decompress to exactly ``raw_length`` bytes; raises DecompressionError.

    Raises UnsupportedFormatError for CODEC_ZSTD if its package is not installed.
    """
    if codec == CODEC_NONE:
        if raw_length != len(data):
            message = f"raw length {raw_length} of {len(data)} stored bytes without compression"
            raise DecompressionError(message)
        return data
    ratio = _RATIO_MAX.get(codec)
    if ratio is None:
        message = f"unknown codec {codec}"
        raise DecompressionError(message)
    if raw_length > min(FRAME_RAW_BYTES_MAX, ratio * len(data)):
        message = f"raw length {raw_length} of {len(data)} bytes stored with codec {codec}"
        raise DecompressionError(message)
    raw = _DECOMPRESS[codec](data, raw_length)
    if len(raw) != raw_length:
        message = f"{len(raw)} bytes after decompression, {raw_length} expected"
        raise DecompressionError(message)
    return raw


@cache
def _lz4() -> Any:
    with fork_waits:
        import lz4.block
    return lz4.block


@cache
def _cramjam() -> Any:
    with fork_waits:
        import cramjam
    return cramjam


def _compress_lz4(data: bytes) -> bytes:
    compressed: bytes = _lz4().compress(data, store_size=False)
    return compressed


def _decompress_lz4(data: bytes, raw_length: int) -> bytes:
    lz4 = _lz4()
    try:
        raw: bytes = lz4.decompress(data, uncompressed_size=raw_length)
    except lz4.LZ4BlockError as error:
        raise DecompressionError(str(error)) from error
    return raw


def _compress_snappy(data: bytes) -> bytes:
    return bytes(_cramjam().snappy.compress_raw(data))


def _decompress_snappy(data: bytes, raw_length: int) -> bytes:
    cramjam = _cramjam()
    output = bytearray(raw_length)
    try:
        length = cramjam.snappy.decompress_raw_into(data, output)
    except cramjam.DecompressionError as error:
        raise DecompressionError(str(error)) from error
    return bytes(output[:length])


class _ZstdContexts(threading.local):
    """Contexts of one thread: they must not be shared, and making one costs five decompressions."""

    def __init__(self) -> None:
        with fork_waits:
            import zstandard

        self.compress = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress
        self.decompress = zstandard.ZstdDecompressor().decompress
        self.frame_parameters = zstandard.get_frame_parameters
        self.error = zstandard.ZstdError


_zstd = None


def _zstd_contexts() -> _ZstdContexts:
    global _zstd  # noqa: PLW0603 - set once; of two threads that come first, either value serves
    if _zstd is None:
        _zstd = _ZstdContexts()
    return _zstd


def _compress_zstd(data: bytes) -> bytes:
    try:
        contexts = _zstd_contexts()
    except ImportError as error:
        message = f"compression zstd: expected the package zstandard, found none; {_INSTALL_ZSTD}"
        raise AuroraConfigurationError(message) from error
    compressed: bytes = contexts.compress(data)
    return compressed


def _decompress_zstd(data: bytes, raw_length: int) -> bytes:
    try:
        contexts = _zstd_contexts()
    except ImportError as error:
        message = (
            "a segment was cooled with Zstandard, and the package zstandard is not installed:"
            f" {_INSTALL_ZSTD}; nothing was changed"
        )
        raise UnsupportedFormatError(message) from error
    try:
        claimed = contexts.frame_parameters(data).content_size
        if claimed != raw_length:
            message = f"raw length {raw_length} of a Zstandard frame of {claimed} bytes"
            raise DecompressionError(message)
        raw: bytes = contexts.decompress(data, allow_extra_data=False)
    except contexts.error as error:
        raise DecompressionError(str(error)) from error
    return raw


_COMPRESS: dict[int, Callable[[bytes], bytes]] = {
    CODEC_LZ4: _compress_lz4,
    CODEC_SNAPPY: _compress_snappy,
    CODEC_ZSTD: _compress_zstd,
}
_DECOMPRESS: dict[int, Callable[[bytes, int], bytes]] = {
    CODEC_LZ4: _decompress_lz4,
    CODEC_SNAPPY: _decompress_snappy,
    CODEC_ZSTD: _decompress_zstd,
}
