"""The manifest: its bytes, and what it makes of other bytes."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from aurora_es.format.checksum import crc32c
from aurora_es.format.manifest import (
    CHECKSUM,
    MANIFEST_HEADER,
    MANIFEST_HEADER_BYTES,
    MANIFEST_MAGIC,
    MANIFEST_VERSION,
    IndexRun,
    Manifest,
    ObsoleteFile,
    SealedSegment,
    UnsupportedManifest,
    decode_manifest,
    encode_manifest,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, (1 << 63) - 1)
manifests = st.builds(
    Manifest,
    generation=numbers,
    genesis_id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    epoch=st.integers(0, 0xFFFF_FFFF),
    name=st.none() | texts,
    sync=texts,
    roll_cycle=texts,
    compression=texts,
    created_at=numbers,
    retained_from=numbers,
    segments=st.lists(
        st.builds(
            SealedSegment,
            segment_number=numbers,
            base_position=numbers,
            last_position=numbers,
            base_commit=numbers,
            last_commit=numbers,
            end_offset=numbers,
            last_checksum=numbers,
            first_timestamp=numbers,
            last_timestamp=numbers,
            revision=numbers,
            size_bytes=numbers,
            file_checksum=numbers,
            digest=texts,
        ),
        max_size=3,
    ),
    runs=st.lists(
        st.builds(
            IndexRun,
            level=numbers,
            first_segment=numbers,
            last_segment=numbers,
            base_position=numbers,
            last_position=numbers,
            source_digest=texts,
            rises=st.booleans(),
        ),
        max_size=3,
    ),
    obsolete=st.just(UNSET)
    | st.lists(st.builds(ObsoleteFile, file_name=texts, since=numbers), max_size=3),
    cool_after_hours=st.just(UNSET) | numbers,
)

SAMPLE = Manifest(
    generation=3,
    genesis_id="00112233445566778899aabbccddeeff",
    epoch=1,
    name="bank",
    sync="always",
    roll_cycle="day",
    compression="none",
    created_at=1_700_000_000_000_000,
)
SAMPLE_JSON = (
    b'{"generation":3,"genesis_id":"00112233445566778899aabbccddeeff","epoch":1,"name":"bank",'
    b'"sync":"always","roll_cycle":"day","compression":"none","created_at":1700000000000000,'
    b'"retained_from":1,"segments":[],"runs":[]}'
)
SAMPLE_BYTES = (
    bytes.fromhex(
        "415552894d414e0a"  # 0 magic
        "01000000 00000000 00000000"  # 8 version, incompatible flags, compatible flags
        "d8000000 9b598f97"  # 20 payload length, payload checksum
        "fe34f9ee"  # 28 header checksum
    )
    + SAMPLE_JSON
)


def with_header(
    payload: bytes, *, version: int = MANIFEST_VERSION, incompatible: int = 0, compatible: int = 0
) -> bytes:
    """Encode a manifest by hand, every checksum valid."""
    head = MANIFEST_HEADER.pack(
        MANIFEST_MAGIC, version, incompatible, compatible, len(payload), crc32c(payload)
    )
    return head + CHECKSUM.pack(crc32c(head)) + payload


def test_size() -> None:
    """The header takes 32 bytes, so that ``tail -c +33 manifest`` shows the JSON."""
    assert (MANIFEST_HEADER.size, MANIFEST_HEADER_BYTES) == (28, 32)


def test_golden_manifest() -> None:
    """The bytes of a manifest are those that are written down here."""
    assert encode_manifest(SAMPLE) == SAMPLE_BYTES
    assert decode_manifest(SAMPLE_BYTES) == SAMPLE


@given(manifests)
def test_round_trip(manifest: Manifest) -> None:
    """What was encoded is decoded."""
    assert decode_manifest(encode_manifest(manifest)) == manifest


def test_unknown_keys_and_compatible_flags_are_ignored() -> None:
    """A manifest with additions that a later version calls compatible is read."""
    payload = SAMPLE_JSON.replace(b'"epoch":1', b'"epoch":1,"colour":{"of":["the","sky"]}')
    assert decode_manifest(with_header(payload, compatible=1)) == SAMPLE


def test_unknown_version_and_flags_are_unsupported_not_invalid() -> None:
    """Whatever the payload is: a newer version's manifest is told from a damaged one."""
    assert decode_manifest(with_header(b"?", version=2)) == UnsupportedManifest(2, 0)
    assert decode_manifest(with_header(SAMPLE_JSON, incompatible=4)) == UnsupportedManifest(1, 4)


@given(st.integers(0, len(SAMPLE_BYTES) * 8 - 1))
def test_any_flipped_bit_is_noticed(bit: int) -> None:
    """One wrong bit anywhere in the file makes it invalid."""
    encoded = bytearray(SAMPLE_BYTES)
    encoded[bit // 8] ^= 1 << bit % 8
    assert decode_manifest(bytes(encoded)) is None


@given(st.integers(0, len(SAMPLE_BYTES) - 1), st.binary(min_size=1, max_size=9))
def test_a_shorter_or_longer_file_is_none(length: int, after: bytes) -> None:
    """A file that was cut, or to which something was added, is invalid."""
    assert decode_manifest(SAMPLE_BYTES[:length]) is None
    assert decode_manifest(SAMPLE_BYTES + after) is None


@given(st.binary(max_size=100))
def test_other_bytes_are_none(data: bytes) -> None:
    """Random bytes are no manifest, not even behind a header with valid checksums."""
    assert decode_manifest(data) is None
    assert decode_manifest(with_header(data)) is None


def test_hostile_json_is_none() -> None:
    """Deep nesting, text that is no UTF-8 and values of a wrong kind are invalid, not a crash."""
    assert decode_manifest(with_header(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")) is None
    assert decode_manifest(with_header(SAMPLE_JSON.replace(b'"bank"', b'"\xff"'))) is None
    assert decode_manifest(with_header(SAMPLE_JSON.replace(b'"epoch":1', b'"epoch":"1"'))) is None
    assert decode_manifest(with_header(SAMPLE_JSON.replace(b"00112233", b"../../.."))) is None
    assert decode_manifest(with_header(SAMPLE_JSON.replace(b"eeff", b"eef"))) is None
