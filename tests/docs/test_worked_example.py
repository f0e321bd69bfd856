"""docs/format/example.md shows the bytes that the code writes."""

from pathlib import Path

import pytest

from tests.docs.worked_example import GENERATED, PAGE, frame_ends, parts, write_journal


@pytest.fixture(name="journal")
def _journal(tmp_path: Path) -> Path:
    """The example's journal."""
    path = tmp_path / "journal"
    write_journal(path)
    return path


def test_the_page_shows_what_is_written(journal: Path) -> None:
    """Every byte and every value on the page is what the code writes today.

    If the format was to change: a new version, a dated note, and
    ``python -m tests.docs.worked_example`` for the page.
    """
    shown = {match["name"]: match["text"] for match in GENERATED.finditer(PAGE.read_text("utf-8"))}
    assert shown == parts(journal)


def test_what_the_page_leaves_out_is_zero(journal: Path) -> None:
    """Lock files are empty; behind what is shown of mark and segments there are zeros only."""
    sizes = {"lock": 0, "turn": 0, "background.lock": 0, "manifest.lock": 0}
    for file in sorted(journal.iterdir()):
        data = file.read_bytes()
        if file.suffix == ".segment":
            *_, (_, _, end) = frame_ends(data)
            assert not any(data[end:])
        elif file.name == "mark":
            assert not any(data[64:4096])
            assert not any(data[4160:])
        elif file.name != "manifest":
            assert len(data) == sizes[file.name]
