"""A real Chromium, and a page in it that notices everything that must not happen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from tests.patience import PATIENCE_SECONDS

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CURE = (
    "the page is tested in a real Chromium: `apt-get install chromium` (or set CHROMIUM to its path),"
    " and `pip install -e '.[browser]'` for playwright, which drives it"
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser; skips the test where none is to be had."""
    playwright = pytest.importorskip("playwright.sync_api", reason=CURE)
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(CURE)
    # Its sandbox needs rights that containers rarely have; it loads nothing but our page.
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, what it has asked for, and what it has complained about."""

    def __init__(self, page: Any) -> None:
        """Watch ``page`` from its beginning."""
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self._complain("pageerror", str(error)))
        page.on("dialog", self._refuse)

    def _complain(self, kind: str, text: str) -> None:
        if kind in {"error", "warning", "pageerror", "dialog"}:
            self.complaints.append(f"{kind}: {text}")

    def _refuse(self, dialog: Any) -> None:
        self._complain("dialog", dialog.message)
        dialog.dismiss()

    def show(self, address: str, view: str, **parameters: str | int) -> Any:
        """Show a view and return its element once it is there."""
        # A new load of the page, so that each view is seen as by who follows a link.
        self.page.goto("about:blank")
        self.page.goto(view_address(address, view, **parameters))
        return self.settled(view)

    def settled(self, view: str) -> Any:
        """The element of a view, once everything that it asks for has come."""
        self.page.locator(f"main:not([aria-busy]) > .view-{view}").wait_for()
        return self.page.locator(f".view-{view}")

    def outside(self, address: str) -> list[str]:
        """Requests that did not go to the page's own origin."""
        return [url for url in self.requests if not url.startswith((address, "about:"))]


def view_address(address: str, view: str, **parameters: str | int) -> str:
    """Where a view is."""
    from urllib.parse import urlencode

    return f"{address}#/{view}?{urlencode(parameters)}"


@contextmanager
def watched(
    browser: Any,
    *,
    width: int = 1280,
    height: int = 860,
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Watched]:
    """Open a page in a context of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
    )
    try:
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        yield Watched(context.new_page())
    finally:
        context.close()
