"""Extension codes of MessagePack in states of events; see ``docs/format/event-state.md``."""

from __future__ import annotations

UUID_EXTENSION = 1  # 16 bytes
DECIMAL_EXTENSION = 2  # text
DATETIME_EXTENSION = 3  # ISO 8601 text; naive, or with an offset other than UTC
INTEGER_EXTENSION = 4  # beyond 64 bits: two's complement, big-endian
TUPLE_EXTENSION = 5  # an array
REGISTERED_EXTENSION = 6  # [name of the transcoding, data]

# What a state stored as MessagePack begins with: a map of up to 15, 2^16 and 2^32 attributes.
MAP_BYTES = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))
