"""Beat's settings as the commands read them: what beat would refuse at its start is refused here, in the same words.

Two commands go on with settings that contradict each other, and tell it: `minsy config` shows them, and `minsy health`
asks a beat that goes on with those that it had.
"""

from typing import TYPE_CHECKING

import typer

from packages.catalogue.control import control_policy
from packages.catalogue.jobs import enabled_jobs
from packages.infra.queue.beat_control import policy_in_use
from packages.shared_settings import SettingsError, get_beat_settings
from packages.shared_settings.beat import BeatSettings

if TYPE_CHECKING:
    from packages.shared_settings.errors import SettingProblem


def beat_settings() -> BeatSettings:
    """The settings of this process's beat.

    Raises:
        SettingsError: they cannot be used, or contradict each other.
    """
    settings = get_beat_settings()
    refuse_contradictions(settings)
    return settings


def refuse_contradictions(settings: BeatSettings, *, with_objectives: bool = True) -> None:
    """Check what no single value shows: the policies of all jobs, and the thresholds of the adaptive control.

    Without `with_objectives` their file is not looked at: where another environment measures them, its secrets say.

    Raises:
        SettingsError: something contradicts something else; it has all of it.
    """
    problems: list[SettingProblem] = []
    for check in (enabled_jobs, policy_in_use if with_objectives else control_policy):
        try:
            check(settings)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(*problems)


def tell_contradictions(settings: BeatSettings) -> None:
    """Say them on standard error, and go on."""
    try:
        refuse_contradictions(settings)
    except SettingsError as error:
        typer.echo(str(error), err=True)
