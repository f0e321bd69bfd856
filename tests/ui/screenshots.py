"""Makes the pictures of docs/how-to/ui.md: ``python -m tests.ui.screenshots``.

The store is the same each time, but for the times of looking at it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from tests.ui.browser import Watched, chromium, watched
from tests.ui.conftest import served
from tests.ui.stores import APP, account_id, make_store

IMAGES = Path(__file__).parents[2] / "docs" / "images"
EVENTS = 200_000
BYTES_MAX = 150_000
_VERSION = 7
_Scheme = Literal["light", "dark"]
PICTURES: tuple[tuple[str, str, dict[str, str | int], int, _Scheme], ...] = (
    ("ui-overview", "overview", {}, 1200, "light"),
    ("ui-events", "events", {"text": "salary"}, 1200, "light"),
    (
        "ui-aggregate",
        "aggregate",
        {"id": str(account_id(600)), "version": _VERSION},
        1200,
        "dark",
    ),
    ("ui-storage", "storage", {}, 1200, "light"),
    ("ui-lag", "lag", {}, 1200, "dark"),
    ("ui-narrow", "aggregate", {"id": str(account_id(600)), "version": _VERSION}, 360, "light"),
)


def main() -> None:
    """Make a store, look at it, and keep the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        root = make_store(Path(directory) / "store", events=EVENTS)
        with served(root, "--app", APP) as (address, _), chromium() as browser:
            for name, view, parameters, width, scheme in PICTURES:
                with watched(browser, width=width, height=760, scheme=scheme) as page:
                    _take(page, address, view, parameters, IMAGES / f"{name}.png")


def _take(
    page: Watched, address: str, view: str, parameters: dict[str, str | int], path: Path
) -> None:
    shown = page.show(address, view, journal="Bank/events", **parameters)
    if view == "events":
        shown.locator(".event summary").nth(1).click()
        shown.locator(".event[open] .json").wait_for()
    page.page.mouse.move(0, 0)
    page.page.screenshot(path=str(path), animations="disabled")
    size = path.stat().st_size
    print(f"{path.name}: {size:,} B")
    assert size <= BYTES_MAX, f"{path} has {size:,} B, at most {BYTES_MAX:,} are wanted"
    assert page.complaints == [], page.complaints


if __name__ == "__main__":
    main()
