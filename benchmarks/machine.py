"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .stores import SYNC_WORDS

MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
_PACKAGES = ("aurora-es", "eventsourcing", "msgspec", "google-crc32c", "lz4", "cramjam")


def resident_bytes() -> int:
    """The resident memory of this process now (its peak, where there is no /proc)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()


def file_system(path: Path) -> dict[str, str]:
    """Type, device and options of the file system that holds the path."""
    best: tuple[int, dict[str, str]] = (-1, {"type": "unknown"})
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return best[1]
    resolved = path.resolve()
    for line in lines:
        left, _, right = line.partition(" - ")
        point = Path(left.split()[4].replace("\\040", " "))
        if resolved != point and point not in resolved.parents:
            continue
        kind, device, options = right.split()[:3]
        if len(point.parts) >= best[0]:  # Of two mounts on one point the later one counts.
            best = (len(point.parts), {"type": kind, "device": device, "options": options})
    return best[1]


def machine_facts(directory: Path) -> dict[str, Any]:
    """Facts about machine, file system and software."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": list(os.getloadavg()),
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": file_system(directory),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "revision": _revision(),
        "sync_modes": SYNC_WORDS,
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    command = ["git", "rev-parse", "--short", "HEAD"]
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
