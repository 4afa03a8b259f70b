"""Typed settings per service, layered from env files; read once, passed down as values."""

from packages.shared_settings.errors import SettingsError
from packages.shared_settings.loading import (
    get_beat_settings,
    get_worker_cpu_settings,
    get_worker_io_settings,
)

__all__ = ["SettingsError", "get_beat_settings", "get_worker_cpu_settings", "get_worker_io_settings"]
