"""What a user chooses for a journal: sync mode, roll cycle, compression.

Each has a text form, used in settings and recorded in the manifest: ``always``, ``100ms``,
``day+64MiB``, ``lz4``. ``parse`` and ``str()`` are inverse to each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, NamedTuple

from aurora_es.errors import AuroraConfigurationError

MIB = 1 << 20
SEGMENT_BYTES_MAX_DEFAULT = 32 * MIB
SEGMENT_EVENTS_MAX = 1 << 20
SEGMENT_BYTES_MAX_RANGE = (MIB, 1 << 30)
SYNC_INTERVAL_MS_MAX = 60_000
_SIZES = "bytes (1MiB to 1GiB)"

_MICROSECONDS_PER_DAY = 86_400_000_000
_CALENDAR_MICROSECONDS = {
    "minute": 60_000_000,
    "five_minutes": 300_000_000,
    "hour": 3_600_000_000,
    "day": _MICROSECONDS_PER_DAY,
    "week": 7 * _MICROSECONDS_PER_DAY,
}
# 1970-01-01 was a Thursday; three days on, the weeks of the count begin on Mondays.
_WEEK_SHIFT_MICROSECONDS = 3 * _MICROSECONDS_PER_DAY
_SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30}
_SIZE_PATTERN = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_EVENTS_PATTERN = re.compile(r"([0-9]{1,12})events")
_INTERVAL_PATTERN = re.compile(r"([0-9]{1,9})ms")


def _check_count(what: str, count: object, bounds: tuple[int, int], unit: str) -> None:
    low, high = bounds
    if isinstance(count, bool) or not isinstance(count, int) or not low <= count <= high:
        message = f"{what}: expected {low} to {high} {unit}, found {count!r}"
        raise AuroraConfigurationError(message)


class CompressionFormat(Enum):
    """How the payload of each frame is compressed; the value is the text form.

    Each frame is compressed by itself and names its codec, so a journal may hold all of them. It
    helps commits of many events and does next to nothing for single small ones.
    """

    NONE = "none"  # as it is
    LZ4 = "lz4"  # the better choice, as a rule
    SNAPPY = "snappy"  # about as small and as fast

    def __str__(self) -> str:
        """Give the text form."""
        return str(self.value)

    @classmethod
    def parse(cls, text: str) -> CompressionFormat:
        """Read the text form; raises AuroraConfigurationError."""
        try:
            return cls(text.strip().lower())
        except ValueError:
            allowed = ", ".join(str(member) for member in cls)
            message = f"compression: expected one of {allowed}; found {text!r}"
            raise AuroraConfigurationError(message) from None


@dataclass(frozen=True, slots=True)
class Sync:
    """When an append is forced to disk: ``Sync.ALWAYS``, ``Sync.NEVER``, ``Sync.interval(ms)``.

    Under ``ALWAYS`` a call returns only after its commit and everything before it survive a power
    cut. Under ``interval(n)`` a power cut loses at most the last n milliseconds while a writer
    lives. Under ``NEVER`` the operating system decides, usually within half a minute. None of
    them loses anything when only the process dies.
    """

    interval_ms: int | None  # 0: ``always``; None: ``never``

    ALWAYS: ClassVar[Sync]  # each append waits until it is on disk
    NEVER: ClassVar[Sync]  # only rolls and ``close`` sync

    def __post_init__(self) -> None:
        """Refuse what has no text form: it would be recorded and could not be read again."""
        if self.interval_ms is not None:
            _check_count("sync interval", self.interval_ms, (0, SYNC_INTERVAL_MS_MAX), "ms")

    @classmethod
    def interval(cls, milliseconds: int) -> Sync:
        """Sync at most ``milliseconds`` (1 to 60,000) after a commit."""
        _check_count("sync interval", milliseconds, (1, SYNC_INTERVAL_MS_MAX), "ms")
        return cls(milliseconds)

    @classmethod
    def parse(cls, text: str) -> Sync:
        """Read ``always``, ``never`` or ``<n>ms``; raises AuroraConfigurationError."""
        word = text.strip().lower()
        if word == "always":
            return cls.ALWAYS
        if word == "never":
            return cls.NEVER
        matched = _INTERVAL_PATTERN.fullmatch(word)
        if matched is None:
            message = f"sync: expected always, never or <n>ms (as in 100ms); found {text!r}"
            raise AuroraConfigurationError(message)
        return cls.interval(int(matched[1]))

    def __str__(self) -> str:
        """Give the text form."""
        if self.interval_ms is None:
            return "never"
        return "always" if self.interval_ms == 0 else f"{self.interval_ms}ms"


Sync.ALWAYS = Sync(0)
Sync.NEVER = Sync(None)


class RollBounds(NamedTuple):
    """A roll cycle as numbers."""

    segment_bytes_max: int
    segment_events_max: int
    period_us: int  # 0: no calendar
    shift_us: int  # added before dividing by the period, so that cycles begin where they should

    def same_cycle(self, first: int, second: int) -> bool:
        """Say whether two timestamps (microseconds, UTC) lie in one cycle of the calendar."""
        period, shift = self.period_us, self.shift_us
        return not period or (first + shift) // period == (second + shift) // period


@dataclass(frozen=True, slots=True)
class RollCycle:
    """When a new segment starts: by calendar (UTC), by size, by number of events, or combined.

    ``RollCycle.DAY | RollCycle.bytes(64 << 20)`` rolls at midnight and at 64 MiB. Whatever is not
    said is capped at 32 MiB and 2**20 events, so that the tail stays small; ``RollCycle()``, which
    says nothing, is ``RollCycle.bytes(32 << 20)``. A commit is never split: a segment exceeds its
    bound by one commit at most.
    """

    calendar: str | None = None  # name of the cycle, None: by size or number only
    segment_bytes_max: int | None = None  # None: 32 MiB
    segment_events_max: int | None = None  # None: 2**20

    MINUTE: ClassVar[RollCycle]  # at each full minute, UTC
    FIVE_MINUTES: ClassVar[RollCycle]  # at each full five minutes
    HOUR: ClassVar[RollCycle]  # at each full hour
    DAY: ClassVar[RollCycle]  # at midnight, UTC; the default
    WEEK: ClassVar[RollCycle]  # at midnight before Monday, UTC

    def __post_init__(self) -> None:
        """Refuse what has no text form: it would be recorded and could not be read again."""
        if self._fields() == (None, None, None):
            object.__setattr__(self, "segment_bytes_max", SEGMENT_BYTES_MAX_DEFAULT)
        if self.calendar is not None and self.calendar not in _CALENDAR_MICROSECONDS:
            allowed = ", ".join(_CALENDAR_MICROSECONDS)
            message = f"roll cycle: expected one of {allowed}; found {self.calendar!r}"
            raise AuroraConfigurationError(message)
        if self.segment_bytes_max is not None:
            _check_count("roll cycle", self.segment_bytes_max, SEGMENT_BYTES_MAX_RANGE, _SIZES)
        if self.segment_events_max is not None:
            _check_count("roll cycle", self.segment_events_max, (1, SEGMENT_EVENTS_MAX), "events")

    @classmethod
    def bytes(cls, count: int) -> RollCycle:
        """Roll at ``count`` bytes, 1 MiB to 1 GiB."""
        return cls(segment_bytes_max=count)

    @classmethod
    def events(cls, count: int) -> RollCycle:
        """Roll at the first commit that reaches ``count`` events, 1 to 2**20."""
        return cls(segment_events_max=count)

    @classmethod
    def parse(cls, text: str) -> RollCycle:
        """Read the text form, such as ``day``, ``64MiB`` or ``hour+1000events``."""
        first, *others = (cls._parse_part(part.strip(), text) for part in text.split("+"))
        for other in others:
            first |= other
        return first

    @classmethod
    def _parse_part(cls, part: str, text: str) -> RollCycle:
        if part.lower() in _CALENDAR_MICROSECONDS:
            return cls(calendar=part.lower())
        if matched := _SIZE_PATTERN.fullmatch(part):
            return cls.bytes(int(matched[1]) * _SIZE_UNITS[matched[2]])
        if matched := _EVENTS_PATTERN.fullmatch(part):
            return cls.events(int(matched[1]))
        message = (
            f"roll cycle: expected {', '.join(_CALENDAR_MICROSECONDS)}, <n>B, <n>KiB, <n>MiB,"
            f" <n>GiB or <n>events, joined by '+'; found {text!r}"
        )
        raise AuroraConfigurationError(message)

    def __or__(self, other: RollCycle) -> RollCycle:
        """Combine two cycles; a bound that both name with different values is an error."""
        merged = []
        for mine, theirs in zip(self._fields(), other._fields(), strict=True):
            if mine is not None and theirs is not None and mine != theirs:
                message = (
                    f"roll cycle: {mine} and {theirs} exclude each other; expected one of them"
                )
                raise AuroraConfigurationError(message)
            merged.append(theirs if mine is None else mine)
        return RollCycle(*merged)  # type: ignore[arg-type]

    def _fields(self) -> tuple[str | None, int | None, int | None]:
        return self.calendar, self.segment_bytes_max, self.segment_events_max

    def __str__(self) -> str:
        """Give the text form."""
        parts = [self.calendar] if self.calendar else []
        if self.segment_bytes_max is not None:
            parts.append(_size_text(self.segment_bytes_max))
        if self.segment_events_max is not None:
            parts.append(f"{self.segment_events_max}events")
        return "+".join(parts)

    def bounds(self) -> RollBounds:
        """The same as numbers, with the defaults for what was not said."""
        period = 0 if self.calendar is None else _CALENDAR_MICROSECONDS[self.calendar]
        return RollBounds(
            self.segment_bytes_max or SEGMENT_BYTES_MAX_DEFAULT,
            self.segment_events_max or SEGMENT_EVENTS_MAX,
            period,
            _WEEK_SHIFT_MICROSECONDS if self.calendar == "week" else 0,
        )


def _size_text(count: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        if count % _SIZE_UNITS[unit] == 0:
            return f"{count // _SIZE_UNITS[unit]}{unit}"
    return f"{count}B"


RollCycle.MINUTE = RollCycle("minute")
RollCycle.FIVE_MINUTES = RollCycle("five_minutes")
RollCycle.HOUR = RollCycle("hour")
RollCycle.DAY = RollCycle("day")
RollCycle.WEEK = RollCycle("week")
