"""The plot of churn over time."""

from __future__ import annotations

import pytest

pytest.importorskip("plotext")

from examples.git_history.plot import BARS_MAX, churn_by_period, churn_plot


def test_a_short_time_is_shown_by_day_with_its_gaps() -> None:
    """Days without churn are bars too, or the plot would hide that nothing happened."""
    churn = {"2005-04-07": 3, "2005-04-09": 4}

    assert churn_by_period(churn) == ("day", {"2005-04-07": 3, "2005-04-08": 0, "2005-04-09": 4})


def test_a_longer_time_is_shown_by_month_and_by_year() -> None:
    """The finest unit that fits is taken."""
    months = {"2005-12-31": 1, "2005-12-01": 1, "2006-02-28": 2}
    assert churn_by_period(months) == ("month", {"2005-12": 2, "2006-01": 0, "2006-02": 2})
    years = {f"20{year}-12-31": 1 for year in range(10, 30)}
    assert churn_by_period(years) == ("year", {f"20{year}": 1 for year in range(10, 30)})


def test_clocks_that_were_centuries_off_leave_a_plot() -> None:
    """Even a span of millennia gives a bounded number of bars."""
    churn = {f"{year}-01-01": 1 for year in range(1000, 9999, 10)}

    assert len(churn_by_period(churn)[1]) == BARS_MAX


@pytest.mark.parametrize("churn", [{"2005-04-07": 12_345, "2005-04-09": 4}, {"2005-04-07": 0}])
def test_the_plot_is_plain_text_that_fits(churn: dict[str, int]) -> None:
    """No colour codes, no line wider than asked for, and numbers that people can read."""
    plot = churn_plot(churn, width=70)

    assert plot.replace("\n", "").isprintable()
    assert max(map(len, plot.splitlines())) <= 70
    assert f"{max(churn.values()):,}" in plot
    assert "Changed lines per day" in plot


def test_no_churn_is_no_plot() -> None:
    """A history without changes is shown by nothing."""
    assert churn_plot({}, width=70) == ""
