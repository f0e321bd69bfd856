"""Options: text forms, combination, bounds, calendar."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aurora_es.errors import AuroraConfigurationError
from aurora_es.journal.roll import roll_is_due
from aurora_es.options import (
    SEGMENT_BYTES_MAX_DEFAULT,
    SEGMENT_EVENTS_MAX,
    SYNC_INTERVAL_MS_MAX,
    CompressionFormat,
    RollCycle,
    Sync,
)
from aurora_es.segment.walk import Chain

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PERIODS = {
    "minute": timedelta(minutes=1),
    "five_minutes": timedelta(minutes=5),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}

calendars = st.sampled_from(list(PERIODS))
sizes = st.integers(1 << 20, 1 << 30) | st.sampled_from([1 << 20, 3 << 20, 5 << 29 >> 2, 1 << 30])
event_counts = st.integers(1, 1 << 20)
cycles = st.builds(
    RollCycle,
    calendar=st.none() | calendars,
    segment_bytes_max=st.none() | sizes,
    segment_events_max=st.none() | event_counts,
)
syncs = (
    st.just(Sync.ALWAYS)
    | st.just(Sync.NEVER)
    | st.integers(1, SYNC_INTERVAL_MS_MAX).map(Sync.interval)
)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone


def microseconds(moment: datetime) -> int:
    """Give a moment as the journal's timestamps do."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def start_of_cycle(calendar: str, moment: datetime) -> datetime:
    """Find the begin of a calendar cycle by what the calendar says, not by dividing."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if calendar == "week":
        return midnight - timedelta(days=moment.weekday())
    return midnight + (moment - midnight) // PERIODS[calendar] * PERIODS[calendar]


def share_a_segment(cycle: RollCycle, first: int, now: int) -> bool:
    """Say whether a commit at ``now`` goes into the segment whose first commit was at ``first``."""
    chain = Chain(1, 1, 200, 0, commit_number=1, position=1, timestamp=first, first_timestamp=first)
    return not roll_is_due(cycle.bounds(), chain, now)


@given(cycles)
def test_roll_cycle_text_form(cycle: RollCycle) -> None:
    """Parsing the text form of a cycle gives the cycle back."""
    assert RollCycle.parse(str(cycle)) == cycle


@given(syncs)
def test_sync_text_form(sync: Sync) -> None:
    """Parsing the text form of a sync mode gives the mode back."""
    assert Sync.parse(str(sync)) == sync


@pytest.mark.parametrize("compression", CompressionFormat)
def test_compression_text_form(compression: CompressionFormat) -> None:
    """Parsing the text form of a compression gives it back."""
    assert CompressionFormat.parse(str(compression)) is compression


@pytest.mark.parametrize(
    ("text", "cycle"),
    [
        ("minute", RollCycle.MINUTE),
        ("five_minutes", RollCycle.FIVE_MINUTES),
        ("HOUR", RollCycle.HOUR),
        (" day ", RollCycle.DAY),
        ("Week", RollCycle.WEEK),
        ("64MiB", RollCycle.bytes(64 << 20)),
        ("1024KiB", RollCycle.bytes(1 << 20)),
        ("1GiB", RollCycle.bytes(1 << 30)),
        ("1048577B", RollCycle.bytes((1 << 20) + 1)),
        ("5events", RollCycle.events(5)),
        ("day+64MiB", RollCycle.DAY | RollCycle.bytes(64 << 20)),
        ("5events + hour + 1MiB", RollCycle.HOUR | RollCycle.bytes(1 << 20) | RollCycle.events(5)),
        ("day+day", RollCycle.DAY),
    ],
)
def test_roll_cycles_as_people_write_them(text: str, cycle: RollCycle) -> None:
    """A text means the cycle that one would expect."""
    assert RollCycle.parse(text) == cycle


@pytest.mark.parametrize(
    ("text", "sync"),
    [
        ("always", Sync.ALWAYS),
        (" Never", Sync.NEVER),
        ("1ms", Sync.interval(1)),
        ("60000MS", Sync.interval(60_000)),
    ],
)
def test_sync_modes_as_people_write_them(text: str, sync: Sync) -> None:
    """A text means the mode that one would expect."""
    assert Sync.parse(text) == sync


@given(cycles, cycles)
def test_combination_takes_what_either_says(first: RollCycle, second: RollCycle) -> None:
    """Combining is commutative, and gives each bound that one of the two names."""
    try:
        combined = first | second
    except AuroraConfigurationError as error:
        assert "exclude each other" in str(error)  # noqa: PT017 - most pairs do combine
        return
    assert combined == second | first
    assert combined | first == combined
    for field in ("calendar", "segment_bytes_max", "segment_events_max"):
        named = {getattr(first, field), getattr(second, field)} - {None}
        assert {getattr(combined, field)} - {None} == named


def test_contradictions_are_refused() -> None:
    """Two different calendars, sizes or counts do not combine; the message names both."""
    with pytest.raises(AuroraConfigurationError, match="day and hour exclude each other"):
        RollCycle.DAY | RollCycle.HOUR
    with pytest.raises(AuroraConfigurationError, match="5 and 6 exclude each other"):
        RollCycle.parse("5events+6events")


def test_caps_of_what_is_not_said() -> None:
    """Every cycle has bounds for bytes and events, 32 MiB and 2**20 unless it says otherwise."""
    assert RollCycle.DAY.bounds()[:2] == (32 << 20, 1 << 20)
    assert RollCycle.bytes(1 << 30).bounds()[:2] == (1 << 30, 1 << 20)
    assert RollCycle.events(7).bounds()[:2] == (32 << 20, 7)
    assert (SEGMENT_BYTES_MAX_DEFAULT, SEGMENT_EVENTS_MAX) == (32 << 20, 1 << 20)


@given(st.integers(0, 100), st.integers(0, 10), st.integers(1, 10))
def test_a_segment_is_full_at_its_caps(records: int, commits: int, cap: int) -> None:
    """A roll is due once bytes or events have reached the cap, and never without a commit."""
    first = 0 if commits else None
    chain = Chain(1, 1, (1 << 20) - 50 + records, 0, 1, position=records, first_timestamp=first)
    full = first is not None
    assert roll_is_due(RollCycle.events(cap).bounds(), chain, 0) == (full and records >= cap)
    assert roll_is_due(RollCycle.bytes(1 << 20).bounds(), chain, 0) == (full and records >= 50)


def test_a_cycle_that_says_nothing_has_the_default_size() -> None:
    """Such a cycle can be recorded and read again like any other."""
    assert RollCycle() == RollCycle.bytes(32 << 20)
    assert str(RollCycle()) == "32MiB"


@given(calendars, moments, st.integers(-20, 20), st.timedeltas(timedelta(0), timedelta(days=8)))
def test_calendar_cycles(calendar: str, moment: datetime, ticks: int, later: timedelta) -> None:
    """Two moments share a cycle exactly if the calendar says so, down to the microsecond."""
    cycle = RollCycle(calendar)
    boundary = start_of_cycle(calendar, moment)
    assume(boundary > EPOCH + timedelta(days=8))
    for first, second in [
        (moment, moment + later),
        (boundary, boundary + timedelta(microseconds=ticks)),
    ]:
        same = start_of_cycle(calendar, first) == start_of_cycle(calendar, second)
        assert share_a_segment(cycle, microseconds(first), microseconds(second)) == same


def test_weeks_begin_on_monday() -> None:
    """Sunday's last microsecond is in another week than the Monday that follows."""
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    assert monday.strftime("%A") == "Monday"
    start = microseconds(monday)
    assert not share_a_segment(RollCycle.WEEK, start - 1, start)
    next_week = microseconds(monday + timedelta(days=7))
    assert share_a_segment(RollCycle.WEEK, start, next_week - 1)
    assert not share_a_segment(RollCycle.WEEK, start, next_week)


def test_a_cycle_without_calendar_never_changes() -> None:
    """A cycle by size alone does not roll because time goes by."""
    assert share_a_segment(RollCycle.bytes(1 << 20), 0, 1 << 60)


@pytest.mark.parametrize(
    ("construct", "found"),
    [
        (lambda: RollCycle.bytes((1 << 20) - 1), "1048575"),
        (lambda: RollCycle.bytes((1 << 30) + 1), "1073741825"),
        (lambda: RollCycle.bytes(1.5e6), "1500000.0"),  # type: ignore[arg-type]
        (lambda: RollCycle.bytes("64MiB"), "'64MiB'"),  # type: ignore[arg-type]
        (lambda: RollCycle.events(0), "0"),
        (lambda: RollCycle.events(-1), "-1"),
        (lambda: RollCycle.events((1 << 20) + 1), "1048577"),
        (lambda: RollCycle.events(True), "True"),
        (lambda: RollCycle("fortnight"), "'fortnight'"),
        (lambda: RollCycle(segment_events_max=0), "0"),
        (lambda: Sync.interval(0), "0"),
        (lambda: Sync.interval(-5), "-5"),
        (lambda: Sync.interval(60_001), "60001"),
        (lambda: Sync.interval(0.5), "0.5"),  # type: ignore[arg-type]
        (lambda: Sync(-1), "-1"),
    ],
)
def test_wrong_numbers_are_refused(construct: Callable[[], object], found: str) -> None:
    """No option can be made that could be recorded but not read; expected and found are named."""
    with pytest.raises(AuroraConfigurationError, match=rf"expected .*found {found}$"):
        construct()


@pytest.mark.parametrize("parse", [RollCycle.parse, Sync.parse, CompressionFormat.parse])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "day+",
        "daily",
        "64",
        "64MB",
        "64mib",
        "-1MiB",
        "1.5MiB",
        "1KiB",
        "2GiB",
        "0events",
        "1048577events",
        "9999999999999events",
        "\N{ARABIC-INDIC DIGIT FIVE}events",
        "0ms",
        "60001ms",
        "9999999999ms",
        "-1ms",
        "100",
        "100 ms",
        "100s",
        "sometimes",
        "gzip",
        "always\0",
    ],
)
def test_wrong_texts_are_refused(parse: Callable[[str], object], text: str) -> None:
    """A wrong text raises an error that says what was expected and what was found."""
    with pytest.raises(AuroraConfigurationError, match=r"expected .+[,;] found"):
        parse(text)


@pytest.mark.parametrize("parse", [RollCycle.parse, Sync.parse, CompressionFormat.parse])
@given(text=st.text(max_size=12))
def test_any_text_is_parsed_or_refused(parse: Callable[[str], object], text: str) -> None:
    """No text makes a parser raise anything else, and what it accepts has a text form."""
    try:
        option = parse(text)
    except AuroraConfigurationError:
        return
    assert parse(str(option)) == option


def test_the_error_is_the_librarys_habit() -> None:
    """A wrong setting is an OSError too, as with the library's own recorders."""
    assert issubclass(AuroraConfigurationError, OSError)
