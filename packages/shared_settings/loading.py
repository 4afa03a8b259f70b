"""Reading the settings of a service, once for each process."""

import os
from collections.abc import Mapping
from functools import cache
from typing import TypeVar

from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.common import CommonSettings
from packages.shared_settings.layers import Layers, read_layers
from packages.shared_settings.workers import WorkerCpuSettings, WorkerIoSettings

SERVICES: Mapping[str, type[CommonSettings]] = {
    settings.service: settings for settings in (BeatSettings, WorkerCpuSettings, WorkerIoSettings)
}
KNOWN_VARIABLES = frozenset[str]().union(*(settings.variables() for settings in SERVICES.values()))

S = TypeVar("S", bound=CommonSettings)


def layers_of(service: str, environ: Mapping[str, str] | None = None) -> Layers:
    """The merged layers of a service, from `environ` (default: this process's environment) and the env files.

    Raises:
        SettingsError: a file is missing or malformed, or names an unknown variable.
    """
    return read_layers(service, environ=os.environ if environ is None else environ, known=KNOWN_VARIABLES)


def load(settings: type[S], environ: Mapping[str, str] | None = None) -> S:
    """The checked settings of a service, read now.

    Raises:
        SettingsError: with a line for every wrong variable.
    """
    return settings.from_layers(layers_of(settings.service, environ))


@cache
def get_beat_settings() -> BeatSettings:
    """The settings of beat, read at the first call."""
    return load(BeatSettings)


@cache
def get_worker_cpu_settings() -> WorkerCpuSettings:
    """The settings of the worker of long computations, read at the first call."""
    return load(WorkerCpuSettings)


@cache
def get_worker_io_settings() -> WorkerIoSettings:
    """The settings of the worker of the periodic jobs, read at the first call."""
    return load(WorkerIoSettings)
