"""Care for stores: is a journal whole, what exactly is wrong, what is lost."""

from aurora_es.care.advice import Advice
from aurora_es.care.doctor import DoctorReport, doctor
from aurora_es.care.findings import Finding
from aurora_es.care.settings import SettingsReport, change_settings
from aurora_es.care.verify import VerifiedSegment, VerifyReport, verify

__all__ = [
    "Advice",
    "DoctorReport",
    "Finding",
    "SettingsReport",
    "VerifiedSegment",
    "VerifyReport",
    "change_settings",
    "doctor",
    "verify",
]
