"""docs/benchmarks.md is what the kept figures say."""

from __future__ import annotations

from benchmarks import page


def test_the_page_is_written_from_the_kept_figures() -> None:
    """Whoever changes figures or words runs ``python -m benchmarks.page``."""
    assert page.PAGE.read_text("utf-8") == page.render()


def test_the_readme_has_rows_of_the_kept_figures() -> None:
    """The few rows of the README are those of the page."""
    assert page.README.read_text("utf-8") == page.readme()
    assert len(page.readme_table().splitlines()) == len(page._OF_README) + 4


def test_the_pictures_are_drawn_from_the_kept_figures() -> None:
    """So it is with pictures, and none is left of a workload that is gone."""
    drawn = page.pictures()
    kept = {it.name: it.read_text("utf-8") for it in page.IMAGES.glob("*.svg")}
    assert kept == drawn
