"""Whose settings a command looks at: those of this process, or of another environment, with what-if changes."""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final

import typer

from apps.cli.beat_settings import refuse_contradictions
from packages.shared_settings import SettingsError
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.errors import SettingProblem
from packages.shared_settings.layers import DEFAULT_ENVIRONMENT, PROCESS_ENVIRONMENT
from packages.shared_settings.loading import load

FROM_COMMAND_LINE = "the command line"
SETTINGS_PANEL: Final = "Settings"

OtherEnvironment = Annotated[
    str | None,
    typer.Option(help="Another environment: its name, or a directory of env files.", rich_help_panel=SETTINGS_PANEL),
]
OneMoreFile = Annotated[
    Path | None,
    typer.Option(help="What if: one more env file.", exists=True, dir_okay=False, rich_help_panel=SETTINGS_PANEL),
]
OtherVariables = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="What if: a variable.", rich_help_panel=SETTINGS_PANEL),
]


@dataclass(frozen=True)
class WhatIf:
    """What differs from the settings of this process: another environment, one more env file, variables."""

    environment: str | None = None
    env_file: Path | None = None
    variables: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Known:
    """The settings of an environment, called `environment`; `given` are the variables that the command line gave."""

    environment: str
    settings: BeatSettings
    given: Collection[str]


def variables_of(assignments: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping; the last one of a name counts.

    Raises:
        typer.BadParameter: one has another form, or names a variable that beat does not read.
    """
    variables: dict[str, str] = {}
    known = BeatSettings.variables()
    for assignment in assignments:
        name, sign, value = assignment.partition("=")
        name = name.strip().upper()
        if not sign:
            raise typer.BadParameter(f"--set {name}: write it like NAME=VALUE")
        if not value:
            # It would count as not set, and let a lower layer through.
            raise typer.BadParameter(f"--set {name}: there is no value")
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "`minsy config` lists the variables"
            raise typer.BadParameter(f"--set {name}: unknown variable; {hint}")
        variables[name] = value
    return variables


def settings_of(what_if: WhatIf) -> Known:
    """The settings of an environment, with what differs from them.

    Raises:
        SettingsError: they cannot be used, or contradict each other.
        typer.BadParameter: the directory of the environment is not there.
    """
    given = dict(what_if.variables or {})
    label = what_if.environment
    if label is not None and os.sep in label:
        if not Path(label).is_dir():
            raise typer.BadParameter(f"there is no directory {label}; an environment is a name, or a path with a /")
        given["MINSY_ENV_DIR"] = label
    elif label is not None:
        given["MINSY_ENV"] = label
    if what_if.env_file is not None:
        given["MINSY_ENV_FILE"] = str(what_if.env_file)
    environ = {**os.environ, **given}
    try:
        settings = load(BeatSettings, environ)
        refuse_contradictions(settings, with_objectives=label is None)
    except SettingsError as error:
        raise told(error, given) from None
    return Known(label or environ.get("MINSY_ENV") or DEFAULT_ENVIRONMENT, settings, given)


def _told(problem: SettingProblem, given: Collection[str]) -> SettingProblem:
    """The command line's variables are those of the process environment for who reads them; a person knows better."""
    is_ours = problem.variable in given and problem.source == PROCESS_ENVIRONMENT
    return problem._replace(source=FROM_COMMAND_LINE) if is_ours else problem


def told(error: SettingsError, given: Collection[str]) -> SettingsError:
    """An error of settings in which the variables that the command line gave are said to be from there."""
    return SettingsError(*(_told(problem, given) for problem in error.problems))
