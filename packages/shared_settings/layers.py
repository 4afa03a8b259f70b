"""The layers a setting can come from, and which one won.

Later wins: defaults (in the models), `.env.common`, `.env.{environment}`, `.env.{environment}.{service}`,
`.env.secrets`, the file named by `MINSY_ENV_FILE`, the process environment. A layer file may be absent; one that is
named explicitly (by `MINSY_ENV_FILE`, or the environment's own file when `MINSY_ENV` is set) may not.

Nothing is checked here but the names: what a value may be is said by the models.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import parse_stream

from packages.shared_settings.errors import SettingProblem, SettingsError

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_ENVIRONMENT = "dev"
PROCESS_ENVIRONMENT = "the process environment"
_A_LINE = "NAME=value, NAME='value', a comment after #, or nothing"

# Read before any layer, so they may stand in the process environment only.
PATH_VARIABLES = ("MINSY_ENV_DIR", "MINSY_ENV_FILE")
BOOTSTRAP_VARIABLES = ("MINSY_ENV", "MINSY_SERVICE", "MINSY_CELERY_PROFILE", *PATH_VARIABLES)


class Layers(NamedTuple):
    """The merged variables, upper case, and for each the layer that gave it."""

    environment: str
    values: Mapping[str, str]
    origins: Mapping[str, str]


def read_layers(service: str, *, environ: Mapping[str, str], known: frozenset[str]) -> Layers:
    """Merge the env files and `environ` for a service.

    `known` has every variable of every service: a file may name another service's variable, but not one that no
    service knows. An empty value counts as not set.

    Raises:
        SettingsError: a file named explicitly is missing, a line is malformed, or a variable is unknown.
    """
    environment = _environment(environ)
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for path in _existing_files(service, environ):
        name = _shown(path)
        for variable, value in _read_file(path, name, known).items():
            values[variable], origins[variable] = value, name
    for variable in known:
        if environ.get(variable):
            values[variable], origins[variable] = environ[variable], PROCESS_ENVIRONMENT
    return Layers(environment, values, origins)


def layer_files(service: str, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Every file that a service reads, or would if it existed, lowest layer first.

    Raises:
        SettingsError: MINSY_ENV is no name.
    """
    directory, environment = _directory(environ), _environment(environ)
    names = (".env.common", f".env.{environment}", f".env.{environment}.{service}", ".env.secrets")
    explicit = environ.get("MINSY_ENV_FILE")
    return (*(directory / name for name in names), *([Path(explicit)] if explicit else ()))


def _environment(environ: Mapping[str, str]) -> str:
    environment = environ.get("MINSY_ENV") or DEFAULT_ENVIRONMENT
    if not re.fullmatch(r"[A-Za-z0-9_-]+", environment):
        raise SettingsError(
            SettingProblem("MINSY_ENV", PROCESS_ENVIRONMENT, f"{environment!r} is no name", "letters, digits, _ and -")
        )
    return environment


def _directory(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("MINSY_ENV_DIR") or ROOT / "env")


def _existing_files(service: str, environ: Mapping[str, str]) -> list[Path]:
    """The layer files that are there.

    Raises:
        SettingsError: one that is named explicitly is not.
    """
    directory, environment = _directory(environ), _environment(environ)
    own = directory / f".env.{environment}"
    if environ.get("MINSY_ENV") and not own.is_file():
        there = {path.name.split(".")[2] for path in directory.glob(".env.*")} - {"common", "secrets"}
        names = ", ".join(sorted(there)) or "none yet"
        raise SettingsError(
            SettingProblem(
                "MINSY_ENV",
                PROCESS_ENVIRONMENT,
                f"there is no file {_shown(own)} for the environment {environment!r}",
                f"an environment with a file of its own ({names})",
            )
        )
    explicit = environ.get("MINSY_ENV_FILE")
    if explicit and not Path(explicit).is_file():
        raise SettingsError(
            SettingProblem(
                "MINSY_ENV_FILE", PROCESS_ENVIRONMENT, f"there is no file {explicit}", "the path of a readable file"
            )
        )
    return [path for path in layer_files(service, environ) if path.is_file()]


def _read_file(path: Path, name: str, known: frozenset[str]) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({type(error).__name__})"
        raise SettingsError(SettingProblem(name, "env files", problem, "UTF-8 text")) from error
    # The library's parser alone: its reader drops a malformed line, and would expand a `$` in a password.
    bindings = list(parse_stream(StringIO(text)))
    if broken := [binding.original.line for binding in bindings if binding.error]:
        # The line is not quoted, for it may hold a password.
        raise SettingsError(*(SettingProblem(f"line {n}", name, "it cannot be read", _A_LINE) for n in broken))
    pairs = {binding.key: binding.value for binding in bindings if binding.key is not None}
    problems = [_unknown(variable, name, known) for variable in pairs if variable not in known]
    problems += [
        SettingProblem(variable, name, "there is no value", f"{variable}=value")
        for variable, value in pairs.items()
        if value is None and variable in known
    ]
    if problems:
        raise SettingsError(*problems)
    return {variable: value for variable, value in pairs.items() if value}


def _unknown(variable: str, name: str, known: frozenset[str]) -> SettingProblem:
    if variable in BOOTSTRAP_VARIABLES:
        return SettingProblem(variable, name, "it says which files to read, so no file can set it", "the environment")
    close = get_close_matches(variable.upper(), known, n=1)
    hint = f"did you mean {close[0]}?" if close else "`minsy config` lists the variables"
    return SettingProblem(variable, name, f"unknown variable; {hint}", "")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
