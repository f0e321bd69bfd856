"""Turns any value into what JSON can hold, for people to look at.

Theory of operation: nothing is called that belongs to the value's class, neither ``__str__`` nor
``__repr__``, but for a few classes of the standard library: who looks at a store must not be stopped
by a class, or by a loop of references. What has attributes becomes a map of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from uuid import UUID

import msgspec

_DEPTH_MAX = 64
_INTEGER_MIN, _INTEGER_MAX = -(1 << 63), (1 << 64) - 1  # beyond these JSON gets text
_TEXTS = (UUID, Decimal, timedelta, PurePath)
_TIMES = (datetime, date, time)


def encodable(path: str) -> str:
    """Escape the bytes of a path that are no UTF-8, which JSON could not hold."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def escaped(text: str) -> str:
    """Escape what UTF-8 cannot encode, and so JSON cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def plain(value: object, depth: int = _DEPTH_MAX) -> object:
    """None, bool, int, float, str, lists and maps with str keys that show ``value``."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if isinstance(value, str):
        return escaped(str.__str__(value))
    if isinstance(value, int):
        number = int.__index__(value)
        return number if _INTEGER_MIN <= number <= _INTEGER_MAX else int.__repr__(number)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else float.__repr__(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"0x{bytes(value).hex()}"
    if isinstance(value, _TIMES):
        return value.isoformat()
    if isinstance(value, _TEXTS):
        return escaped(str(value))
    return _plain_parts(value, depth - 1) if depth > 0 else _name_of(value)


def attributes_of(value: object) -> dict[str, object]:
    """The attributes of an object by name, as they are; none for one that has none."""
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    found: dict[str, object] = {}
    for cls in reversed(type(value).__mro__):
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            descriptor = vars(cls).get(name)
            if hasattr(descriptor, "__get__") and hasattr(value, name):
                found[name] = getattr(value, name)
    found.update(getattr(value, "__dict__", {}))
    return {name: item for name, item in found.items() if not name.startswith("__")}


def _plain_parts(value: object, depth: int) -> object:
    if isinstance(value, Mapping):
        return {_key(key): plain(item, depth) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item, depth) for item in value), key=msgspec.json.encode)
    attributes = attributes_of(value)
    if attributes and not isinstance(value, type):
        return {escaped(name): plain(item, depth) for name, item in attributes.items()}
    return _name_of(value)


def _key(key: object) -> str:
    shown = plain(key)
    return shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()


def _name_of(value: object) -> str:
    cls = value if isinstance(value, type) else type(value)
    return f"<{cls.__module__}.{cls.__qualname__}>"
