"""`minsy simulate`: a scenario in simulated time, fixed scheduling beside adaptive. Needs no server."""

import os
from pathlib import Path
from typing import Annotated

import typer

from apps.cli.output import AsJson, print_json, print_table
from packages.scheduling.simulation.strategies import Strategy

_FORMATS = (".png", ".svg")
_MOST_SEED = 2**63 - 1
_MOST_SCALE = 100.0


def simulate(  # noqa: PLR0913  # one parameter for each option
    *,
    scenario: Annotated[
        str | None, typer.Argument(metavar="SCENARIO", help="Its name, or a TOML file.", show_default=False)
    ] = None,
    strategy: Annotated[
        list[Strategy] | None, typer.Option(help="Only this one; may be given several times. Default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one draws other service times.", min=0, max=_MOST_SEED)] = 1,
    service_scale: Annotated[float, typer.Option(help="Multiply every service time.", min=0.01, max=_MOST_SCALE)] = 1.0,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw backlog, rates and decisions (.png, .svg).", dir_okay=False),
    ] = None,
    list_scenarios: Annotated[bool, typer.Option("--list", help="Show which scenarios there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Play a scenario through in simulated time, and compare fixed scheduling with adaptive.

    The same engine decides as in the live beat; queues, workers, service times and failures are simulated. Strategies
    see the same work: what chance decides is a hash of the seed, the job and the fire.
    """
    # Imported here, as below: every other command starts without it.
    from apps.cli.simulate_scenarios import found
    from packages.scheduling.simulate import compare

    if list_scenarios:
        _list(as_json=as_json)
        return
    if scenario is None:
        raise typer.BadParameter("name a scenario; --list shows which there are", param_hint="SCENARIO")
    if plot is not None and plot.suffix not in _FORMATS:
        raise typer.BadParameter(f"{plot.name} does not end in {' or '.join(_FORMATS)}", param_hint="--plot")
    if plot is not None and not os.access(plot.parent, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"no file can be written in {plot.parent}", param_hint="--plot")
    strategies = tuple(dict.fromkeys(strategy)) if strategy else tuple(Strategy)
    outcomes = compare(found(scenario), strategies, seed=seed, service_scale=service_scale)
    if as_json:
        from apps.cli.simulate_json import comparison_as_json

        print_json(comparison_as_json(outcomes))
    else:
        from apps.cli.simulate_table import print_comparison

        print_comparison(outcomes)
    if plot is not None:
        from apps.cli.simulate_plot import draw

        draw(outcomes, plot)


def _list(*, as_json: bool) -> None:
    from apps.cli.simulate_scenarios import shipped

    scenarios = shipped()
    if as_json:
        print_json([{"name": each.name, "title": each.title, "length_ms": each.length_ms} for each in scenarios])
        return
    print_table(["scenario", "what happens"], ((each.name, each.title) for each in scenarios))
