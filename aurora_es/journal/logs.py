"""The logger of the journal layer; quiet unless something happens that a person should know."""

from __future__ import annotations

import logging

logger = logging.getLogger("aurora_es.journal")
