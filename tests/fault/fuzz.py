"""Coverage-guided attacks on the parsers: ``python -m tests.fault.fuzz TARGET [RUNS [SECONDS]]``.

Needs the extra ``fuzz`` (atheris). The targets are those of ``targets.py``; without RUNS (a number)
ten thousand executions are made, or fewer where they take longer than SECONDS. A target that raises anything but the errors of the package ends
the run, and the bytes that did it are printed. Prints figures, and writes them as
``tests/fault/figures.py`` says.
"""

from __future__ import annotations

import logging
import math
import os
import resource
import sys
import time

import atheris  # first, so that what follows can be instrumented

with atheris.instrument_imports(include=["aurora_es"]):
    from tests.fault.figures import Figures
    from tests.fault.targets import TARGETS, TREES

_RUNS_DEFAULT = 10_000
_INPUT_BYTES_MAX = 96


def main(name: str, runs: int, seconds: float = math.inf) -> None:
    """Fuzz one target in a child, since libFuzzer ends its process, and so does the last run."""
    logging.disable(logging.CRITICAL)
    target = {**TARGETS, **TREES}[name]
    reading, writing = os.pipe()
    with Figures("E12", f"{name}, coverage-guided", "execution") as figures:
        child = os.fork()
        if child == 0:
            slowest = 0.0
            count = 0
            end = time.monotonic() + seconds

            def attack(data: bytes) -> None:
                nonlocal slowest, count
                began = time.monotonic()
                target(data)
                slowest = max(slowest, time.monotonic() - began)
                count += 1
                if count == runs or time.monotonic() > end:
                    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
                    os.write(writing, f"{count} {slowest * 1000:.1f} {peak}".encode())
                    os._exit(0)

            options = [f"-max_len={_INPUT_BYTES_MAX}", "-verbosity=0"]
            atheris.Setup([sys.argv[0], *options], attack)
            atheris.Fuzz()
        os.close(writing)
        with os.fdopen(reading) as told:
            words = told.read().split()
        if os.waitpid(child, 0)[1] != 0 or not words:
            message = f"{name}: the target has failed, see above"
            raise AssertionError(message)
        figures.trials = int(words[0])
        figures.counts["slowest ms"] = float(words[1])
        figures.counts["peak MiB"] = int(words[2])
        figures.counts["crashes"] = 0


if __name__ == "__main__":
    name, *limits = sys.argv[1:]
    main(name, *[int(limit) for limit in limits] or [_RUNS_DEFAULT])
