"""CRC-32C, the checksum of everything on disk."""

from __future__ import annotations

from google_crc32c import extend as crc32c_extend
from google_crc32c import value as crc32c

__all__ = ["crc32c", "crc32c_extend"]
