"""The journal: open, append, read, tail, roll, recover."""

from aurora_es.journal.journal import Journal
from aurora_es.journal.listing import Originator
from aurora_es.journal.records import Record, StoredRecord
from aurora_es.journal.statistics import Statistics
from aurora_es.journal.tailing import Tailer

__all__ = ["Journal", "Originator", "Record", "Statistics", "StoredRecord", "Tailer"]
