"""What a process of each profile imports, consumes and reads its settings from."""

from collections.abc import Mapping

from packages.catalogue.queues import Profile
from packages.shared_settings import get_beat_settings, get_worker_cpu_settings, get_worker_io_settings
from packages.shared_settings.common import CommonSettings
from packages.shared_settings.errors import SettingProblem, SettingsError
from packages.shared_settings.layers import PROCESS_ENVIRONMENT
from packages.shared_settings.loading import SERVICES

VARIABLE = "MINSY_CELERY_PROFILE"

# One module of thin tasks for each area; beat imports none of them.
TASK_MODULES: Mapping[Profile, tuple[str, ...]] = {
    Profile.BEAT: (),
    Profile.CPU: ("packages.infra.queue.tasks.backtest",),
    Profile.IO: (
        "packages.infra.queue.tasks.maintenance",
        "packages.infra.queue.tasks.market_data",
        "packages.infra.queue.tasks.notifications",
        "packages.infra.queue.tasks.paper_trading",
        "packages.infra.queue.tasks.trade_approval",
    ),
}

_SERVICE_OF_PROFILE = {
    Profile.BEAT: "beat",
    Profile.CPU: "worker_cpu",
    Profile.IO: "worker_io",
    Profile.ALL: "worker_io",
}


def profile_of(environ: Mapping[str, str]) -> Profile:
    """The profile of this process; `all` unless MINSY_CELERY_PROFILE says otherwise.

    Raises:
        SettingsError: it names no profile.
    """
    given = environ.get(VARIABLE) or Profile.ALL
    try:
        return Profile(given)
    except ValueError:
        allowed = ", ".join(Profile)
        raise SettingsError(
            SettingProblem(VARIABLE, PROCESS_ENVIRONMENT, f"{given!r} is no profile", f"one of {allowed}")
        ) from None


def task_modules(profile: Profile) -> tuple[str, ...]:
    """The modules of tasks that a process of this profile imports."""
    if profile is Profile.ALL:
        return tuple(module for modules in TASK_MODULES.values() for module in modules)
    return TASK_MODULES[profile]


def settings_of(profile: Profile, environ: Mapping[str, str]) -> CommonSettings:
    """The settings of the service named by MINSY_SERVICE, else of the one that the profile stands for.

    Raises:
        SettingsError: MINSY_SERVICE names no service, or the settings cannot be used.
    """
    service = environ.get("MINSY_SERVICE") or _SERVICE_OF_PROFILE[profile]
    readers = {
        "beat": get_beat_settings,
        "worker_cpu": get_worker_cpu_settings,
        "worker_io": get_worker_io_settings,
    }
    if service not in readers:
        allowed = f"one of {', '.join(SERVICES)}"
        raise SettingsError(SettingProblem("MINSY_SERVICE", PROCESS_ENVIRONMENT, f"{service!r} is no service", allowed))
    return readers[service]()
