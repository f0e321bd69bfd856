"""``python -m examples.prometheus_endpoint [PORT]``: appends, follows, and tells the numbers."""

from __future__ import annotations

import sys
import tempfile
import time

from aurora_es import Journal, Record
from examples.prometheus_endpoint.endpoint import Endpoint


def main(port: int, seconds: float) -> None:
    """Append ten records a second, and read half of them, for ``seconds``."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Journal.open(f"{directory}/readings") as journal,
        journal.tail() as tailer,
        Endpoint(port) as endpoint,
    ):
        print(f"metrics at {endpoint.url}, for {seconds:g} seconds", flush=True)
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            number += 1
            journal.append([Record(topic="reading", state=str(number).encode())])
            if number % 2:
                next(tailer)
            time.sleep(0.1)


if __name__ == "__main__":
    arguments = [float(argument) for argument in sys.argv[1:]]
    main(int(arguments[0]) if arguments else 9464, arguments[1] if arguments[1:] else 600.0)
