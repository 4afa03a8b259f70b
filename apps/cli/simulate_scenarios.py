"""Where scenarios are found: those of the repository by name, any other by its file."""

from difflib import get_close_matches
from pathlib import Path
from typing import Final

import typer

from packages.scheduling.simulation.scenario import Scenario, ScenarioError
from packages.scheduling.simulation.scenario_text import scenario_of
from packages.shared_settings.layers import ROOT

SCENARIOS: Final = ROOT / "scenarios"
_SUFFIX: Final = ".toml"


def found(asked: str) -> Scenario:
    """The scenario of a name, or of a file.

    Raises:
        typer.BadParameter: there is none, it cannot be read, or it says something that is not allowed.
    """
    if asked.endswith(_SUFFIX) or "/" in asked:
        return _read(Path(asked))
    names = {path.stem: path for path in SCENARIOS.glob(f"*{_SUFFIX}")}
    if asked not in names:
        matches = get_close_matches(asked, names, n=1)
        meant = f"; did you mean {matches[0]}?" if matches else "."
        raise typer.BadParameter(
            f"there is no scenario {asked!r}{meant} There is {', '.join(sorted(names))}; or give a TOML file",
            param_hint="SCENARIO",
        )
    return _read(names[asked])


def shipped() -> list[Scenario]:
    """All scenarios of the repository, by name."""
    return [_read(path) for path in sorted(SCENARIOS.glob(f"*{_SUFFIX}"))]


def _read(path: Path) -> Scenario:
    try:
        return scenario_of(path.read_text(encoding="utf-8"), name=path.stem, source=path.name)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="SCENARIO") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is no UTF-8 text", param_hint="SCENARIO") from None
    except ScenarioError as error:
        raise typer.BadParameter(str(error), param_hint="SCENARIO") from None
