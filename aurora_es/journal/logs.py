"""The logger of the journal layer; quiet unless something happens that a person should know.

Quiet by default is the whole package: without a handler of the application nothing is printed, as
the standard library asks of libraries. docs/reference/logging.md lists every message.
"""

from __future__ import annotations

import logging

logging.getLogger("aurora_es").addHandler(logging.NullHandler())
logger = logging.getLogger("aurora_es.journal")
