"""The loggers of the eventsourcing face; see ``journal/logs.py``."""

from __future__ import annotations

import logging

views_logger = logging.getLogger("aurora_es.views")
runner_logger = logging.getLogger("aurora_es.runner")
