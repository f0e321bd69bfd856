"""Care for stores: is a journal whole, what exactly is wrong, what is lost; and what to do then."""

from aurora_es.care.advice import Advice
from aurora_es.care.backup import BackupReport, JournalBackup, backup
from aurora_es.care.doctor import DoctorReport, doctor
from aurora_es.care.findings import Finding
from aurora_es.care.rebuild import RebuildReport, rebuild
from aurora_es.care.repair import Repair, RepairReport, repair
from aurora_es.care.restore import JournalRestore, RestoreReport, restore
from aurora_es.care.settings import SettingsReport, change_settings
from aurora_es.care.verify import VerifiedSegment, VerifyReport, verify

__all__ = [
    "Advice",
    "BackupReport",
    "DoctorReport",
    "Finding",
    "JournalBackup",
    "JournalRestore",
    "RebuildReport",
    "Repair",
    "RepairReport",
    "RestoreReport",
    "SettingsReport",
    "VerifiedSegment",
    "VerifyReport",
    "backup",
    "change_settings",
    "doctor",
    "rebuild",
    "repair",
    "restore",
    "verify",
]
