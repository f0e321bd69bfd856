"""Figures of the long experiments, one JSON file each in docs/reliability/.

``docs/reliability.md`` is written from them by ``python -m tests.fault.page``: no result is typed by
hand. An experiment in which a promise breaks raises before it gets here, so whatever has a file has
no violation. Files are written only where ``AURORA_FIGURES=y`` asks for it, as ``make reliability``
does: a short run must not replace the figures of a long one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.machine import machine_facts

ROOT = Path(__file__).parent.parent.parent
DIRECTORY = ROOT / "docs" / "reliability"
_MACHINE = ("cpu", "cores", "memory_bytes", "kernel", "python", "revision")
# Taken when this module is imported: the tests' environment is cleaned before each of them.
_IS_WRITTEN = os.environ.get("AURORA_FIGURES") == "y"


class Figures:
    """Measures and counts one experiment; its file is written when the block ends well.

    ``trials`` counts what the bound of 3/N is about. ``counts`` are shown in the order in which they
    were given.
    """

    def __init__(self, experiment: str, variant: str, trial: str) -> None:
        """Name the experiment (E1 ...), its variant, and what one trial is."""
        self.experiment = experiment
        self.variant = variant
        self.trial = trial
        self.trials = 0
        self.is_exhaustive = False  # whether there are no other trials of this kind
        self.counts: dict[str, int | float | str] = {}

    @property
    def key(self) -> str:
        """Name of the file, without its ending."""
        return f"{self.experiment}-{self.variant}".lower().replace(" ", "-").replace("/", "-")

    def add(self, **counts: int) -> None:
        """Add to counts."""
        for name, count in counts.items():
            self.counts[name] = int(self.counts.get(name, 0)) + count

    def as_dict(self, seconds: float) -> dict[str, Any]:
        """What the file says."""
        return {
            "experiment": self.experiment,
            "variant": self.variant,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": self._machine,
            "trial": self.trial,
            "trials": self.trials,
            "is_exhaustive": self.is_exhaustive,
            "seconds": round(seconds, 1),
            "counts": self.counts,
        }

    def __enter__(self) -> Self:
        """Begin to measure; the revision is the one that is loaded, not one that comes meanwhile."""
        facts = machine_facts(ROOT)
        self._machine = {name: facts[name] for name in _MACHINE}
        self._began = time.monotonic()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Print the figures; write them, if asked to and nothing was raised."""
        if error is not None:
            return
        told = self.as_dict(time.monotonic() - self._began)
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        sys.stdout.write(
            f"{self.experiment} {self.variant}: {self.trials} x {self.trial}"
            f" in {told['seconds']} s; {counts}\n"
        )
        if _IS_WRITTEN:
            DIRECTORY.mkdir(exist_ok=True)
            text = json.dumps(told, indent=1) + "\n"
            (DIRECTORY / f"{self.key}.json").write_text(text, "utf-8")


def all_figures() -> list[dict[str, Any]]:
    """Read all files, in order of their experiments."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted(DIRECTORY.glob("*.json"))]
    return sorted(found, key=lambda told: (int(told["experiment"][1:]), told["variant"]))
