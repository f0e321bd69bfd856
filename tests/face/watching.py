"""Tells a test when a follower sleeps, so that nothing has to wait for a while and hope."""

from __future__ import annotations

import threading

import pytest

from aurora_es.journal.following import Follower
from tests.face.support import PATIENCE_SECONDS

# Longer than any test's patience: who sleeps is woken by a signal, or the test fails.
NO_POLLING = {"AURORA_POLL_INTERVAL": "3600"}


class SleepWatcher:
    """Counts sleeps, but for the first of each follower, which only registers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Watch all followers until the end of the test."""
        self._asleep = threading.Semaphore(0)
        sleep = Follower.sleep

        def watched(follower: Follower, seconds: float) -> None:
            if follower._waiter is not None:
                self._asleep.release()
            sleep(follower, seconds)

        monkeypatch.setattr(Follower, "sleep", watched)

    def await_sleep(self) -> None:
        """Return when a follower has looked, found nothing, and goes to sleep."""
        assert self._asleep.acquire(timeout=PATIENCE_SECONDS)
