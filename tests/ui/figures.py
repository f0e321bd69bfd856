"""Measures the page: ``python -m tests.ui.figures [EVENTS [STORE]]``, by default 10^6.

A store at the path ``STORE`` is kept, and not made anew if it is there: one of 10^7 events takes
minutes to make and 3.2 GiB.

Prints when a browser has first painted something, and when all of the overview is there, for a
process that has just begun and for one that has everything open; how long single answers take, as
a client sees it and in processor time of the server, which other work on the machine does not change;
and the memory of the process. Chromium runs on the same machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.ui.browser import Watched, chromium, watched
from tests.ui.conftest import served
from tests.ui.stores import APP, account_id, make_store

JOURNAL = {"journal": "Bank/events"}
MIDDLE, END = "middle", "end"
ANSWERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("journals", {}),
    ("statistics", {}),
    ("rates", {"buckets": "84"}),
    ("topics", {}),
    ("events", {}),
    ("events", {"next": MIDDLE}),
    ("events", {"next": END}),
    ("events", {"text": "no such text"}),
    ("events", {"topic": "tests.ui.bank:Account.Frozen", "order": "oldest"}),
    ("streams", {}),
    ("stream_count", {}),
    ("streams", {"prefix": "0000"}),
    ("state", {"id": str(account_id(0)), "version": "100"}),
    ("state", {"id": str(account_id(0)), "version": "10000"}),
    ("storage", {}),
    ("lags", {}),
)
TIMES = 5


def main() -> None:
    """Make a store, and print a table of each kind."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as directory:
        root = Path(sys.argv[2] if len(sys.argv) > 2 else f"{directory}/store")
        if not root.exists():
            make_store(root, events=events)
        print(f"{events:,} events")
        with served(root, "--app", APP) as (address, process_id):
            with chromium() as browser:
                print("overview, first look ", _look(browser, address))
                print("overview, second look", _look(browser, address))
            print(f"memory: {_memory(process_id)}")
            places = {MIDDLE: str(events // 2), END: "50"}
            for name, parameters in ANSWERS:
                asked = {key: places.get(value, value) for key, value in parameters.items()}
                _print_answer(address, process_id, name, asked)
            print(f"memory after all of it: {_memory(process_id)}")


def _look(browser: Any, address: str) -> str:
    with watched(browser) as page:
        page.show(address, "overview", **JOURNAL)
        return _timings(page)


def _timings(page: Watched) -> str:
    found = page.page.evaluate(
        "({paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,"
        " all: Math.max(...performance.getEntriesByType('resource').map(e => e.responseEnd)),"
        " bytes: performance.getEntriesByType('resource').reduce((sum, e) => sum + e.transferSize, 0)})"
    )
    return (
        f"first paint {found['paint']:.0f} ms, all answers there {found['all']:.0f} ms,"
        f" {found['bytes'] / 1024:.0f} KiB"
    )


def _print_answer(address: str, process_id: int, name: str, parameters: dict[str, str]) -> None:
    took = []
    processor = []
    size = 0
    for _ in range(TIMES):
        begin, before = time.perf_counter(), _processor_ms(process_id)
        query = JOURNAL | parameters
        response = httpx2.get(f"{address}api/{name}", params=query, timeout=120.0)
        took.append((time.perf_counter() - begin) * 1000)
        processor.append(_processor_ms(process_id) - before)
        size = len(response.content)
    asked = " ".join(f"{key}={value}" for key, value in parameters.items())
    print(
        f"{name:<11} best {min(took):>8.1f} ms, processor {processor[0]:>8.1f} ms first"
        f" {min(processor):>8.1f} ms best {size:>9,} B  {asked}"
    )


def _processor_ms(process_id: int) -> float:
    """Processor time that all threads have used, in milliseconds."""
    tasks = Path(f"/proc/{process_id}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def _memory(process_id: int) -> str:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return f"{int(found['VmRSS'].split()[0]) >> 10} MiB, at most {int(found['VmHWM'].split()[0]) >> 10} MiB"


if __name__ == "__main__":
    main()
