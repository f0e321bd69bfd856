"""The checksum is CRC-32C, whatever library computes it."""

from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.checksum import crc32c

_POLYNOMIAL_REVERSED = 0x82F63B78


def crc32c_bit_by_bit(data: bytes) -> int:
    """Compute CRC-32C as its definition says."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (_POLYNOMIAL_REVERSED if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_the_check_value_of_the_catalogue() -> None:
    """The checksum of the digits 1 to 9 is the published one of CRC-32C."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@given(st.binary(max_size=300))
def test_agrees_with_the_definition(data: bytes) -> None:
    """The library's answer is that of the polynomial, for any bytes."""
    assert crc32c(data) == crc32c_bit_by_bit(data)
