"""Care for stores: is a journal whole, what exactly is wrong, what is lost; back up and restore."""

from aurora_es.care.backup import backup
from aurora_es.care.backup_record import BackedUpJournal, BackupReport
from aurora_es.care.findings import Finding
from aurora_es.care.restore import RestoredJournal, RestoreReport, restore
from aurora_es.care.verify import VerifiedSegment, VerifyReport, verify

__all__ = [
    "BackedUpJournal",
    "BackupReport",
    "Finding",
    "RestoreReport",
    "RestoredJournal",
    "VerifiedSegment",
    "VerifyReport",
    "backup",
    "restore",
    "verify",
]
