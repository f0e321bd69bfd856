"""What this process has done to its journals and queues, in numbers, for those who watch it.

``snapshot()`` is a plain function; ``prometheus_text`` renders what it returns, and
``register_instruments`` (extra ``otel``) lets OpenTelemetry ask for it. Nothing here has a thread,
and nothing is computed before somebody asks.
"""

from aurora_es.metrics.otel import register_instruments
from aurora_es.metrics.prometheus import CONTENT_TYPE, prometheus_text
from aurora_es.metrics.snapshots import snapshot
from aurora_es.metrics.values import (
    Extent,
    Histogram,
    JournalMetrics,
    ReceiverMetrics,
    Snapshot,
    SubscriptionMetrics,
)

__all__ = [
    "CONTENT_TYPE",
    "Extent",
    "Histogram",
    "JournalMetrics",
    "ReceiverMetrics",
    "Snapshot",
    "SubscriptionMetrics",
    "prometheus_text",
    "register_instruments",
    "snapshot",
]
