"""The logger of the queue."""

import logging

logger = logging.getLogger("aurora_es.queue")
