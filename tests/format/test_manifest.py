"""The manifest: its bytes, and what it makes of other bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from aurora_es.format.checksum import crc32c
from aurora_es.format.limits import TIMESTAMP_MAX
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
from aurora_es.format.names import frames_name, segment_name

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, (1 << 63) - 1)
words = st.integers(0, (1 << 32) - 2)
checksums = st.integers(0, (1 << 32) - 1)
times = st.integers(0, TIMESTAMP_MAX)
digests = st.binary(max_size=32).map(bytes.hex)
file_names = st.sampled_from(
    [
        segment_name(3, 7),
        segment_name(3, 7, 2),
        frames_name(3, 7, 2),
        "01-0000000003-0000000004.index",
    ]
)


def consistent(manifest: Manifest) -> Manifest:
    """The same with segments and runs that follow each other, as ``decode_manifest`` expects."""
    segments = [
        replace(
            segment,
            segment_number=number,
            base_position=10 * number,
            last_position=10 * number + 9,
            base_commit=5 * number,
            last_commit=5 * number + 4,
        )
        for number, segment in enumerate(manifest.segments, 1)
    ]
    runs = [
        IndexRun(
            level=0,
            first_segment=segment.segment_number,
            last_segment=segment.segment_number,
            base_position=segment.base_position,
            last_position=segment.last_position,
            source_digest="",
            rises=True,
        )
        for segment in segments
    ]
    return replace(manifest, segments=segments, runs=runs[::-1])


manifests = st.builds(
    Manifest,
    generation=st.integers(0, (1 << 63) - 2),
    genesis_id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    epoch=words,
    name=st.none() | texts,
    sync=texts,
    roll_cycle=texts,
    compression=texts,
    created_at=times,
    retained_from=numbers,
    segments=st.lists(
        st.builds(
            SealedSegment,
            segment_number=words,
            base_position=numbers,
            last_position=numbers,
            base_commit=numbers,
            last_commit=numbers,
            end_offset=numbers,
            last_checksum=checksums,
            first_timestamp=times,
            last_timestamp=times,
            revision=words,
            size_bytes=numbers,
            file_checksum=checksums,
            digest=digests,
        ),
        max_size=3,
    ),
    obsolete=st.just(UNSET)
    | st.lists(st.builds(ObsoleteFile, file_name=file_names, since=numbers), max_size=3),
    cool_after_hours=st.just(UNSET) | numbers,
).map(consistent)

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


SEGMENT = (
    b'{"segment_number":1,"base_position":1,"last_position":2,"base_commit":1,"last_commit":1,'
    b'"end_offset":9,"last_checksum":1,"first_timestamp":1,"last_timestamp":1,"size_bytes":9,'
    b'"file_checksum":1,"digest":""}'
)
SEGMENTS = b'"segments":[%s]' % SEGMENT
RUN = (
    b'{"level":0,"first_segment":1,"last_segment":1,"base_position":1,"last_position":2,'
    b'"source_digest":"","rises":true}'
)


@pytest.mark.parametrize(
    "changes",
    [
        b'"obsolete":[{"file_name":"../events/lock","since":0}]',
        b'"obsolete":[{"file_name":"/etc/passwd","since":0}]',
        b'"obsolete":[{"file_name":"lock","since":0}]',
        b'"obsolete":[{"file_name":"","since":0}]',
        b'"generation":-1',
        b'"epoch":9223372036854775808',
        b'"runs":[%s]' % RUN,
        SEGMENTS,
        SEGMENTS + b',"runs":[%s,%s]' % (RUN, RUN),
        SEGMENTS + b',"runs":[%s]' % RUN.replace(b'"last_segment":1', b'"last_segment":0'),
        SEGMENTS + b',"runs":[%s]' % RUN.replace(b'"last_position":2', b'"last_position":3'),
        SEGMENTS + b',"runs":[%s]' % RUN.replace(b'""', b'"0g"'),
        # Beyond what headers and tables hold, and what a datetime can say.
        b'"generation":9223372036854775807',
        b'"epoch":4294967295',
        b'"epochs":[[4294967295,1]]',
        b'"created_at":253402300800000000',
        SEGMENTS.replace(b'"last_checksum":1', b'"last_checksum":4294967296')
        + b',"runs":[%s]' % RUN,
        SEGMENTS.replace(b'"digest"', b'"revision":4294967295,"digest"') + b',"runs":[%s]' % RUN,
        SEGMENTS.replace(b'"last_timestamp":1', b'"last_timestamp":253402300800000000')
        + b',"runs":[%s]' % RUN,
        SEGMENTS + b',"runs":[%s]' % RUN.replace(b'"level":0', b'"level":255'),
    ],
)
def test_a_hostile_payload_is_refused(changes: bytes) -> None:
    """Valid checksums do not make up for names that lead elsewhere, or numbers that cannot be."""
    fine = SEGMENTS + b',"runs":[%s]' % RUN
    assert decode_manifest(with_header(SAMPLE_JSON[:-1] + b"," + fine + b"}")) is not None
    assert decode_manifest(with_header(SAMPLE_JSON[:-1] + b"," + changes + b"}")) is None


@given(manifests.filter(lambda manifest: len(manifest.segments) > 1), st.booleans())
def test_segments_that_do_not_follow_each_other_are_refused(
    manifest: Manifest,
    in_order: bool,  # noqa: FBT001
) -> None:
    """A list with a hole, or in another order, is not what was written."""
    first, *rest = manifest.segments
    others = rest[1:] if in_order else rest
    segments = [first, *others] if in_order else [*others, first]
    kept = {segment.segment_number for segment in segments}
    runs = [run for run in manifest.runs if run.first_segment in kept]
    broken = replace(manifest, segments=segments, runs=runs)
    decoded = decode_manifest(encode_manifest(broken))
    # Of two, the first alone is a whole list.
    assert (decoded is None) == (len(manifest.segments) > 2 or not in_order)


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
