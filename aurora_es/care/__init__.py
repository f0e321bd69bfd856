"""Care for stores: is a journal whole, what exactly is wrong, what is lost."""

from aurora_es.care.settings import SettingsReport, change_settings

__all__ = ["SettingsReport", "change_settings"]
