"""Settings that hold for every test."""

import gc
import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# A shared machine stalls now and then: neither a deadline nor a slow draw says that code is wrong.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time, so that a failure belongs to the change at hand and can be repeated.
settings.register_profile(
    "default", _patient, derandomize=True, max_examples=40, stateful_step_count=30
)
# New examples each time, remembered in .hypothesis/ and printed in a form that can be pasted.
settings.register_profile(
    "long", _patient, max_examples=2_000, stateful_step_count=100, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

_RELIABILITY_FACTORS = {"short": 1, "normal": 5, "long": 100}
_RELIABILITY = os.environ.get("AURORA_RELIABILITY", "normal")


# Where Linux keeps files in memory; a user of containers may have made it small.
_MEMORY = "/dev/shm"  # noqa: S108 - private directories are made in it
_MEMORY_BYTES_MIN = 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Choose where the files of tests lie, and refuse an unknown AURORA_RELIABILITY."""
    # Thousands of small journals, each with its syncs, would make a test wait for whatever else
    # the disk does. What is tested for long, and with real faults, is tested on the disk.
    if "TMPDIR" not in os.environ and "not reliability" in config.option.markexpr and _has_memory():
        os.environ["TMPDIR"] = _MEMORY
        tempfile.tempdir = None  # it is looked up once
    _check_reliability()


def _has_memory() -> bool:
    return os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES_MIN


def _check_reliability() -> None:
    """A typing error must not shorten a run unseen."""
    if _RELIABILITY not in _RELIABILITY_FACTORS and not _is_factor(_RELIABILITY):
        allowed = ", ".join(_RELIABILITY_FACTORS)
        raise pytest.UsageError(
            f"AURORA_RELIABILITY is {_RELIABILITY!r}, expected one of {allowed}, or a factor from 1 on"
        )


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end: thousands of tests, and all modules."""
    gc.collect()
    gc.freeze()


def _is_factor(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


@pytest.fixture(scope="session")
def reliability_factor() -> int:
    """By how much a reliability test multiplies its shortest useful number of rounds."""
    return _RELIABILITY_FACTORS.get(_RELIABILITY) or int(_RELIABILITY)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the shell's user, and of this run, away from the code under test."""
    for key in list(os.environ):
        if "AURORA_" in key or key.endswith("PERSISTENCE_MODULE"):
            monkeypatch.delenv(key)
    # Background runs are processes that come and go as they like: tests of them say so.
    monkeypatch.setenv("AURORA_BACKGROUND", "n")
