"""Compressed payloads: what goes in comes out, and hostile bytes take neither memory nor process."""

import contextlib
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.codecs import compression
from aurora_es.codecs.compression import (
    CODEC_LZ4,
    CODEC_NONE,
    CODEC_SNAPPY,
    CODEC_ZSTD,
    DecompressionError,
    compress,
    decompress,
)
from aurora_es.errors import AuroraConfigurationError, UnsupportedFormatError
from aurora_es.format.limits import FRAME_RAW_BYTES_MAX

codecs = st.sampled_from([CODEC_NONE, CODEC_LZ4, CODEC_SNAPPY, CODEC_ZSTD])
payloads = st.binary(max_size=300) | st.integers(0, 3000).map(lambda count: b"ab" * count)


@given(codecs, payloads)
def test_round_trip(codec: int, data: bytes) -> None:
    """Decompression gives back what was compressed, which never became longer."""
    used, stored = compress(codec, data)
    assert used in {codec, CODEC_NONE}
    assert len(stored) <= len(data)
    assert decompress(used, stored, len(data)) == data


@given(codecs, st.binary(max_size=200), st.integers(0, 1 << 32))
def test_random_bytes_are_refused_or_have_the_length_that_was_named(
    codec: int, data: bytes, raw_length: int
) -> None:
    """No bytes make a decompressor raise anything else, or give another length."""
    try:
        raw = decompress(codec, data, raw_length)
    except DecompressionError:
        return
    assert len(raw) == raw_length


@given(codecs, payloads, st.data())
def test_damaged_bytes_are_refused_or_have_the_length_that_was_named(
    codec: int, data: bytes, draw: st.DataObject
) -> None:
    """Bytes that were compressed and then changed, which lead further in, do no harm either."""
    used, stored = compress(codec, data)
    damaged = bytearray(stored)
    for _ in range(draw.draw(st.integers(1, 4))):
        if damaged:
            damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    length = draw.draw(st.just(len(data)) | st.integers(0, 2 * len(data) + 8))
    with contextlib.suppress(DecompressionError):
        assert len(decompress(used, bytes(damaged), length)) == length


@pytest.mark.parametrize("codec", [CODEC_LZ4, CODEC_SNAPPY])
@pytest.mark.parametrize("raw_length", [FRAME_RAW_BYTES_MAX + 1, 1 << 31, (1 << 32) - 1])
def test_a_length_beyond_limit_or_ratio_takes_no_memory(codec: int, raw_length: int) -> None:
    """Seven bytes that claim gigabytes are refused before anything is allocated for them."""
    hostile = b"\xff\xff\xff\xff\x0f\xfc\x00"
    tracemalloc.start()
    try:
        for length in (raw_length, 16 << 20, 256 * len(hostile)):
            with pytest.raises(DecompressionError, match=f"raw length {length}"):
                decompress(codec, hostile, length)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", [4, 77, 255])
def test_an_unknown_codec_is_refused(codec: int) -> None:
    """A codec that this version does not know raises, by its number."""
    with pytest.raises(DecompressionError, match=f"unknown codec {codec}"):
        decompress(codec, b"data", 4)


@pytest.mark.parametrize("raw_length", [FRAME_RAW_BYTES_MAX + 1, FRAME_RAW_BYTES_MAX, 999, 1001, 0])
def test_a_zstandard_frame_of_another_length_takes_no_memory(raw_length: int) -> None:
    """The length that the frame claims must be that of the header, whatever it would take."""
    _, stored = compress(CODEC_ZSTD, bytes(1000))
    tracemalloc.start()
    try:
        with pytest.raises(DecompressionError, match=f"raw length {raw_length}"):
            decompress(CODEC_ZSTD, stored, raw_length)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "stored",
    [
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000)),
        zstandard.ZstdCompressor().compress(bytes(1000)) + b"more",
        zstandard.ZstdCompressor().compress(bytes(1000)) * 2,
        b"\x50\x2a\x4d\x18\xe8\x03\0\0" + bytes(1000),
        b"",
    ],
    ids=["without length", "bytes behind it", "two frames", "skippable", "nothing"],
)
def test_only_one_whole_zstandard_frame_is_decompressed(stored: bytes) -> None:
    """Frames that do not say their length, and what is not one frame, are refused."""
    with pytest.raises(DecompressionError):
        decompress(CODEC_ZSTD, stored, 1000)


def test_threads_do_not_share_a_zstandard_context() -> None:
    """Threads that compress and decompress at the same time get what they gave."""

    def round_trips(seed: int) -> bool:
        data = b"%d " % seed * 5000
        return all(decompress(*compress(CODEC_ZSTD, data), len(data)) == data for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trips, range(16)))


def test_without_zstandard_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has cooled with the extra and reads without it is told its name; nothing is corrupt."""
    monkeypatch.setattr(compression, "_zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(AuroraConfigurationError, match=r"pip install 'aurora-es\[zstd\]'"):
        compress(CODEC_ZSTD, b"data")
    with pytest.raises(UnsupportedFormatError, match=r"pip install 'aurora-es\[zstd\]'"):
        decompress(CODEC_ZSTD, b"data", 4)


def test_without_compression_the_lengths_are_equal() -> None:
    """A raw length that differs from the stored one is refused."""
    assert decompress(CODEC_NONE, b"data", 4) == b"data"
    with pytest.raises(DecompressionError, match="raw length 5 of 4 stored bytes"):
        decompress(CODEC_NONE, b"data", 5)
