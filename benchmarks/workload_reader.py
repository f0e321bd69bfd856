"""A reader that catches up, as a process: ``python -m benchmarks.workload_reader``.

Reads the settings of a store as JSON from the first line of its input, says ``ready``, and on the
next line begins to page through the log; at its end it begins again. When its input ends it prints
the seconds that each page took and the events that it has read.
"""

from __future__ import annotations

import json
import sys
import threading
from time import perf_counter

from eventsourcing.persistence import ApplicationRecorder

from .workload_stores import open_recorder

PAGE = 100


def read_pages(
    recorder: ApplicationRecorder, stopping: threading.Event
) -> tuple[list[float], int, float]:
    """Page through the log until told to stop: seconds of full pages, events, seconds of all."""
    seconds: list[float] = []
    position = events = 0
    begun = perf_counter()
    while not stopping.is_set():
        started = perf_counter()
        page = recorder.select_notifications(start=position + 1, limit=PAGE)
        taken = perf_counter() - started
        events += len(page)
        position = page[-1].id if page else 0
        if len(page) == PAGE:
            seconds.append(taken)
    return seconds, events, perf_counter() - begun


def main() -> None:
    """Read until the input ends."""
    settings = json.loads(sys.stdin.readline())
    with open_recorder(settings) as factory:
        recorder = factory.application_recorder()
        recorder.max_notification_id()
        print("ready", flush=True)
        sys.stdin.readline()
        stopping = threading.Event()

        def wait_for_end() -> None:
            sys.stdin.read()
            stopping.set()

        ending = threading.Thread(target=wait_for_end)
        ending.start()
        seconds, events, whole = read_pages(recorder, stopping)
        ending.join()
    print(json.dumps({"seconds": seconds, "events": events, "whole": whole}), flush=True)


if __name__ == "__main__":
    main()
