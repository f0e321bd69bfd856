"""The settings in the environment: their keys, how each is read, and which key wins.

Theory of operation: an application named Bank looks a setting up as ``BANK_AURORA_PATH`` first, then
as ``AURORA_PATH``, as the library does. What is read here is text; whoever wants values calls
``read_setting``, which names the keys and the values allowed where the text is wrong. The factory
and ``aurora-es doctor`` read the same, so that the one cannot see what the other does not.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from aurora_es.errors import AuroraConfigurationError
from aurora_es.journal.following import POLL_SECONDS_MIN
from aurora_es.options import CompressionFormat, RollCycle, Sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_T = TypeVar("_T")
_TRUE = frozenset({"y", "yes", "t", "true", "on", "1"})
_FALSE = frozenset({"n", "no", "f", "false", "off", "0"})
_SECONDS_MAX = 86_400
_CLOSE_ENOUGH = 0.8
_MARKER = "AURORA_"
PERSISTENCE_MODULE = "PERSISTENCE_MODULE"
# The library's own older names of the same, in the order in which it asks for them.
PERSISTENCE_KEYS = (PERSISTENCE_MODULE, "INFRASTRUCTURE_FACTORY", "FACTORY_TOPIC")
# What the library takes when none of them is set: everything is in memory.
PERSISTENCE_DEFAULT = "eventsourcing.popo"
MEMORY = ":memory:"


class Found(NamedTuple):
    """A setting as it was found: which key won, and its text."""

    key: str
    text: str


def keys_of(name: str, setting: str) -> list[str]:
    """The keys under which an application looks a setting up, in this order."""
    return [f"{name.upper()}_{setting}", setting] if name else [setting]


def find_setting(env: Mapping[str, str], name: str, setting: str) -> Found | None:
    """Look a setting up; None if no key is set. An empty text is found, and means the default."""
    for key in keys_of(name, setting):
        if key in env:
            return Found(key, env[key])
    return None


def read_setting(
    env: Mapping[str, str], name: str, setting: str, parse: Callable[[str], _T], default: _T
) -> _T:
    """Look a setting up and read it; raises AuroraConfigurationError."""
    found = find_setting(env, name, setting)
    text = "" if found is None else found.text.strip()
    if not text:
        return default
    try:
        return parse(text)
    except (AuroraConfigurationError, ValueError) as error:
        keys = ", ".join(keys_of(name, setting))
        message = (
            f"{setting} (looked up as {keys}): {error}. `aurora-es doctor` shows which key"
            " an application sees"
        )
        raise AuroraConfigurationError(message) from None


def misspelled_keys(env: Iterable[str]) -> list[tuple[str, str]]:
    """Keys close to one of ours that are none, each with the one that may be meant."""
    known = {setting.removeprefix(_MARKER) for setting in PARSERS if setting.startswith(_MARKER)}
    found = []
    for key in env:
        suffix = key.rpartition(_MARKER)[2] if _MARKER in key else ""
        if not suffix or suffix in known:
            continue
        if close := get_close_matches(suffix, known, n=1, cutoff=_CLOSE_ENOUGH):
            found.append((key, _MARKER + close[0]))
    return found


def parse_flag(text: str) -> bool:
    """Read y or n, or one of their synonyms in the library; raises ValueError."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        message = f"expected y or n; found {text!r}"
        raise ValueError(message)
    return word in _TRUE


def parse_seconds(text: str) -> float:
    """Read a number of seconds up to a day; raises ValueError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _SECONDS_MAX:
        message = f"expected seconds, 0 to {_SECONDS_MAX}; found {text!r}"
        raise ValueError(message)
    return seconds


def parse_poll_interval(text: str) -> float:
    """Read a poll interval in seconds; raises ValueError."""
    seconds = parse_seconds(text)
    if seconds < POLL_SECONDS_MIN:
        message = f"expected seconds, {POLL_SECONDS_MIN} to {_SECONDS_MAX}; found {text!r}"
        raise ValueError(message)
    return seconds


def parse_hours(text: str) -> int | None:
    """Read a number of hours such as ``24h``; raises ValueError."""
    if not text.endswith("h") or not text.isascii() or not text[:-1].isdigit():
        message = f"expected <n>h, as in 24h; found {text!r}"
        raise ValueError(message)
    return int(text[:-1])


def parse_choice(*allowed: str) -> Callable[[str], str]:
    """A function that reads one of ``allowed``; it raises ValueError."""

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            message = f"expected one of {', '.join(allowed)}; found {text!r}"
            raise ValueError(message)
        return text.lower()

    return parse


# Every setting of ours, and how its text is read.
PARSERS: dict[str, Callable[[str], object]] = {
    "AURORA_PATH": str,
    "AURORA_SYNC": Sync.parse,
    "AURORA_ROLL_CYCLE": RollCycle.parse,
    "AURORA_COMPRESSION": CompressionFormat.parse,
    "AURORA_LOCK_TIMEOUT": parse_seconds,
    "AURORA_READ_ONLY": parse_flag,
    "AURORA_POLL_INTERVAL": parse_poll_interval,
    "AURORA_MAPPER": parse_choice("json", "msgpack"),
    "AURORA_BACKGROUND": parse_flag,
    "AURORA_COOL_AFTER": parse_hours,
    "AURORA_ALLOW_NETWORK_FILE_SYSTEM": parse_flag,
    "ORIGINATOR_ID_TYPE": parse_choice("as written", "uuid", "text"),
}
