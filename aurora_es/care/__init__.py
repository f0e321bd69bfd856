"""Care for stores: is a journal whole, what exactly is wrong, what is lost; and what to do then."""

from aurora_es.care.advice import Advice
from aurora_es.care.backup import backup
from aurora_es.care.backup_record import BackedUpJournal, BackupReport
from aurora_es.care.bench import BenchReport, BenchRow, bench
from aurora_es.care.doctor import DoctorReport, doctor
from aurora_es.care.findings import Finding
from aurora_es.care.fork import ForkedJournal, ForkReport, fork
from aurora_es.care.init import InitReport, init
from aurora_es.care.rebuild import RebuildReport, rebuild
from aurora_es.care.repair import Repair, RepairReport, repair
from aurora_es.care.restore import RestoredJournal, RestoreReport, restore
from aurora_es.care.settings import SettingsReport, change_settings
from aurora_es.care.verify import verify
from aurora_es.care.verify_report import VerifiedSegment, VerifyReport

__all__ = [
    "Advice",
    "BackedUpJournal",
    "BackupReport",
    "BenchReport",
    "BenchRow",
    "DoctorReport",
    "Finding",
    "ForkReport",
    "ForkedJournal",
    "InitReport",
    "RebuildReport",
    "Repair",
    "RepairReport",
    "RestoreReport",
    "RestoredJournal",
    "SettingsReport",
    "VerifiedSegment",
    "VerifyReport",
    "backup",
    "bench",
    "change_settings",
    "doctor",
    "fork",
    "init",
    "rebuild",
    "repair",
    "restore",
    "verify",
]
