"""The other process: follows the journal live and projects churn until it is told the end.

Started by the demo as ``python -m examples.git_history.follower STORE``. It speaks JSON lines:

- out: ``{"ready": true}`` once it is subscribed
- in: ``{"last_notification_id": n}`` when the writer has finished
- out: the totals and how far it lagged, when event n has been projected

It may start before the store exists. It opens the journal read-only: it cannot disturb the writer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Tracking
from eventsourcing.projection import ProjectionRunner

from examples.git_history.application import GitHistory, SourceFile
from examples.git_history.churn import ChurnProjection, ChurnView

CATCH_UP_SECONDS_MAX = 150.0


class TimedChurnProjection(ChurnProjection):
    """Counts churn, and takes down how old each commit was when its last event was counted."""

    name = ChurnProjection.name

    def __init__(self, view: ChurnView) -> None:
        super().__init__(view)
        # Written by the runner's thread only, and read after it has ended. By commit and not by
        # event: in one that brought 20,000 files, the first is old before the last is made.
        self.ages_ms: dict[str, float] = {}

    def process_event(self, domain_event: DomainEventProtocol[UUID], tracking: Tracking) -> None:
        """Count one event."""
        super().process_event(domain_event, tracking)
        assert isinstance(domain_event, (SourceFile.Created, SourceFile.Changed))
        age = datetime.now(tz=UTC) - domain_event.timestamp
        self.ages_ms[domain_event.commit] = age.total_seconds() * 1000


def main(store: str) -> int:
    """Follow the store at this path; returns the exit status."""
    runner = ProjectionRunner(
        application_class=GitHistory,
        projection_class=TimedChurnProjection,
        view_class=ChurnView,
        # Given here and not as a class attribute: the runner makes its view from this alone.
        env={
            "PERSISTENCE_MODULE": "aurora_es",
            "AURORA_PATH": store,
            "AURORA_READ_ONLY": "y",
            "CHURN_PERSISTENCE_MODULE": "eventsourcing.popo",
        },
    )
    with runner:
        _say({"ready": True})
        line = sys.stdin.readline()
        if not line:
            return 1  # The writer is gone; nobody waits for a result.
        last_id = json.loads(line)["last_notification_id"]
        seen_id = runner.view.max_tracking_id(GitHistory.name) or 0
        # There is no event 0 to wait for, if the commits changed no file at all.
        runner.wait(last_id or None, timeout=CATCH_UP_SECONDS_MAX)
    view = runner.view
    projection = runner.projection
    assert isinstance(projection, TimedChurnProjection)
    _say(
        {
            "totals": view.totals.to_json(),
            "last_notification_id": view.max_tracking_id(GitHistory.name) or 0,
            "behind_at_end": last_id - seen_id,
            "lag_ms": lag_summary(projection.ages_ms.values()),
        }
    )
    return 0


def lag_summary(ages_ms: Iterable[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the highest age, in milliseconds; 0 if none."""
    ordered = sorted(ages_ms) or [0.0]
    last = len(ordered) - 1
    return {"p50": ordered[last // 2], "p99": ordered[last * 99 // 100], "max": ordered[last]}


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)  # Ctrl-C reaches the demo as well, which says what there is to say.
