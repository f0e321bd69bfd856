"""The logger of backups and restores; see ``journal/logs.py``."""

from __future__ import annotations

import logging

logger = logging.getLogger("aurora_es.care")
