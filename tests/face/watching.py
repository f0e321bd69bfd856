"""Tells a test when a follower sleeps, so that nothing has to wait for a while and hope."""

from __future__ import annotations

import threading

import pytest

from aurora_es.journal.following import Follower
from tests.patience import PATIENCE_SECONDS

# Longer than any test's patience: who sleeps is woken by a signal, or the test fails.
NO_POLLING = {"AURORA_POLL_INTERVAL": "3600"}


class SleepWatcher:
    """Notices sleeps, but for the first of each follower, which only registers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Watch all followers until the end of the test."""
        self._changed = threading.Condition()
        self._asleep: set[Follower] = set()
        self.polling = False  # somebody slept without a watcher of the kernel's
        sleep = Follower.sleep

        def watched(follower: Follower, seconds: float) -> None:
            if follower._waiter is not None:
                with self._changed:
                    self.polling |= follower._waiter.polling
                    self._asleep.add(follower)
                    self._changed.notify_all()
            sleep(follower, seconds)

        monkeypatch.setattr(Follower, "sleep", watched)

    def await_sleep(self, count: int = 1) -> None:
        """Return when so many followers, since the last call, found nothing and go to sleep."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._asleep) >= count, PATIENCE_SECONDS)
            self._asleep.clear()
