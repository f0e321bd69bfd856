"""The journal: open, append, read, tail, roll, recover."""

from aurora_es.journal.journal import Journal, Statistics
from aurora_es.journal.records import Record, StoredRecord
from aurora_es.journal.tailing import Tailer

__all__ = ["Journal", "Record", "Statistics", "StoredRecord", "Tailer"]
