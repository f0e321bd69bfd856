"""The endpoint for Prometheus answers while the application is at work."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from aurora_es import Journal, Record, Sync
from examples.prometheus_endpoint.endpoint import Endpoint
from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parent.parent.parent


def fetched(url: str) -> tuple[str, str]:
    """Content type and text of a page."""
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own
        return answer.headers["Content-Type"], answer.read().decode()


def test_it_answers_with_the_numbers_of_now(tmp_path: Path) -> None:
    """Two scrapes see two states; there is no other page."""
    with Journal.open(tmp_path / "j", sync=Sync.NEVER) as journal, Endpoint(0) as endpoint:
        for expected in (1, 2):
            journal.append([Record(topic="t", state=b"")])
            kind, text = fetched(endpoint.url)
            assert kind == "text/plain; version=0.0.4; charset=utf-8"
            assert (
                f'aurora_es_appended_commits_total{{journal="{tmp_path}/j"}} {expected}\n' in text
            )
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(endpoint.url.removesuffix("metrics"))


def test_the_program_runs() -> None:
    """It says where the metrics are, and they tell of appends and of a reader that lags."""
    command = [sys.executable, "-W", "error", "-m", "examples.prometheus_endpoint", "0", "600"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            (url,) = re.findall(r"http://127\.0\.0\.1:\d+/metrics", process.stdout.readline())
            deadline = time.monotonic() + PATIENCE_SECONDS
            lag = 0
            while not lag and time.monotonic() < deadline:
                found = re.search(
                    r'aurora_es_subscription_lag_records\{.*kind="tailer".*\} (\d+)',
                    fetched(url)[1],
                )
                lag = int(found[1]) if found else 0
            assert lag
        finally:
            process.terminate()
