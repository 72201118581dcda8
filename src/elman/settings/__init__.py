"""Settings, each with its type, limits, default and description in one field. No torch here."""

from elman.settings.base import (
    Conflict,
    ConflictsError,
    Settings,
    check_settings,
    describe_settings,
    fields_of,
    summary_of,
)

__all__ = ["Conflict", "ConflictsError", "Settings", "check_settings", "describe_settings", "fields_of", "summary_of"]
