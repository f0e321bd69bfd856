"""Care for stores: is a journal whole, what exactly is wrong, what is lost."""

from aurora_es.care.advice import Advice
from aurora_es.care.doctor import DoctorReport, doctor
from aurora_es.care.settings import SettingsReport, change_settings

__all__ = ["Advice", "DoctorReport", "SettingsReport", "change_settings", "doctor"]
