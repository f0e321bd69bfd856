"""File and directory names: what is made of an application's name, and what is taken for ours."""

import os
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aurora_es.format.limits import POSITION_MAX
from aurora_es.format.names import (
    NAME_BYTES_MAX,
    REVISION_MAX,
    directory_name,
    frames_name,
    parse_cooled_name,
    parse_frames_name,
    parse_run_name,
    parse_segment_name,
    run_name,
    segment_name,
)

SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-%")


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("BankAccounts", "BankAccounts"),
        ("", "_default"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("a/b", "a%2Fb"),
        ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
        ("%2E", "%252E"),
        ("a b\n\0", "a%20b%0A%00"),
        ("a\\b:c", "a%5Cb%3Ac"),
        ("Ärger", "%C3%84rger"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
        ("\ud800", "%ED%A0%80"),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("ä" * 33, "%C3%A4" * 33),
        ("ä" * 34, None),
    ],
)
def test_directory_of_an_application(name: str, directory: str | None) -> None:
    """A name is percent-encoded outside letters, digits, "_", "." and "-"; over 200 bytes: None."""
    assert directory_name(name) == directory


@given(st.text(max_size=80))
@example("./.")
@example("a/../b")
def test_a_directory_stays_inside(name: str) -> None:
    """Whatever the name, its directory is one plain component below the root."""
    directory = directory_name(name)
    if directory is None:
        return
    assert set(directory) <= SAFE
    assert 0 < len(directory) <= NAME_BYTES_MAX
    assert directory not in {".", ".."}
    assert os.path.dirname(os.path.normpath(os.path.join("root", directory))) == "root"


@given(st.text(min_size=1, max_size=40))
def test_a_directory_tells_its_name(name: str) -> None:
    """Two names never share a directory, since the name can be had back from it."""
    directory = directory_name(name)
    if directory is not None:
        assert unquote(directory, errors="surrogatepass") == name


@given(st.integers(0, 10**10 - 1), st.integers(0, POSITION_MAX))
def test_segment_name_round_trip(segment_number: int, base_position: int) -> None:
    """A segment's name gives number and base position back, and names sort by number."""
    name = segment_name(segment_number, base_position)
    assert len(name) == 39
    assert parse_segment_name(name) == (segment_number, base_position)
    if segment_number:
        assert segment_name(segment_number - 1, POSITION_MAX) < name


@given(st.integers(0, 10**10 - 1), st.integers(0, POSITION_MAX), st.integers(1, REVISION_MAX))
def test_names_of_revisions_round_trip(
    segment_number: int, base_position: int, revision: int
) -> None:
    """Names of cooled segments and of tables give their parts back, and are not one another's."""
    place = (segment_number, base_position)
    raw, cooled = segment_name(*place), segment_name(*place, revision)
    assert parse_cooled_name(cooled) == (*place, revision)
    assert (parse_segment_name(cooled), parse_cooled_name(raw)) == (None, None)
    for number in (0, revision):
        frames = frames_name(*place, number)
        assert parse_frames_name(frames) == (*place, number)
        assert (parse_segment_name(frames), parse_cooled_name(frames)) == (None, None)
    assert (parse_frames_name(cooled), parse_frames_name(raw)) == (None, None)


@pytest.mark.parametrize(
    "suffix",
    [
        ".r0",
        ".r01",
        ".r",
        ".r-1",
        ".r1234567890",
        ".r1.r1",
        "r1",
        ".R1",
        ".r\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_other_revisions_are_none(suffix: str) -> None:
    """A revision is a number from 1 without leading zeros: no two names mean one file."""
    stem = segment_name(1, 1).removesuffix(".segment") + suffix
    assert parse_cooled_name(stem + ".segment") is None
    assert parse_frames_name(stem + ".frames") is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mark",
        segment_name(1, 1) + ".new",
        segment_name(1, 1) + "\n",
        "./" + segment_name(1, 1),
        segment_name(1, 1).removesuffix(".segment") + ".r2.segment",
        segment_name(1, 1)[1:],
        segment_name(1, 1).replace("-", "_"),
        "-" + segment_name(1, 1)[1:],
        segment_name(1, 1).replace("1", "\N{ARABIC-INDIC DIGIT ONE}"),
    ],
)
def test_other_names_are_no_segments(name: str) -> None:
    """Only an exact name is taken for a segment: no suffix, prefix, path or line end."""
    assert parse_segment_name(name) is None


def test_what_is_no_position_is_no_name() -> None:
    """A number that no header can hold is no position."""
    for position, expected in (
        (POSITION_MAX, True),
        (POSITION_MAX + 1, False),
        (10**20 - 1, False),
    ):
        place = (3, position)
        assert (parse_segment_name(segment_name(*place)) == place) is expected
        assert (parse_cooled_name(segment_name(*place, 1)) == (*place, 1)) is expected
        assert (parse_frames_name(frames_name(*place, 1)) == (*place, 1)) is expected
        assert (parse_frames_name(frames_name(*place)) == (*place, 0)) is expected


@given(st.text(max_size=50))
def test_any_name_is_parsed_or_none(name: str) -> None:
    """No name found in a directory makes the parser raise."""
    assert parse_segment_name(name) is None
    assert parse_cooled_name(name) is None
    assert parse_frames_name(name) is None


def test_names_of_runs() -> None:
    """A run is named by its level and segments; whatever else has no level and segments."""
    name = run_name(level=2, first_segment=7, last_segment=4_000_000_000)
    assert name == "02-0000000007-4000000000.index"
    assert parse_run_name(name) == (2, 7, 4_000_000_000)
    assert parse_segment_name(name) is None
    for other in (name + ".new", "2" + name[2:], name.replace("7", "\N{ARABIC-INDIC DIGIT SEVEN}")):
        assert parse_run_name(other) is None
