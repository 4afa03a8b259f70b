"""A comparison of strategies as a picture: a column for each, and in it backlog, rates and decisions over time."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.instants import MINUTE_MS
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.series import Series, series_of
from packages.scheduling.simulation.strategies import Strategy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = tuple[Verdict, Reason]
_WIDTH_INCHES: Final = 5.5
_HEIGHT_INCHES: Final = 9.0
_DPI: Final = 120
# Text stays text, and the same run makes the same file.
_STYLE: Final[Any] = {"svg.fonttype": "none", "svg.hashsalt": "minsy", "font.size": 8}
_VERDICT_COLOURS: Final = {Verdict.FIRE: "Greens", Verdict.DEFER: "Blues", Verdict.SKIP: "Oranges"}
_LINES: Final = ("-", "--", ":", "-.")


def draw(outcomes: Mapping[Strategy, Outcome], path: Path) -> None:
    """Draw them into `path`, whose suffix says what it becomes.

    Raises:
        OSError: the file cannot be written.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_INCHES * len(outcomes), _HEIGHT_INCHES), layout="constrained")
        axes = figure.subplots(3, len(outcomes), sharex=True, sharey="row", squeeze=False)
        first = next(iter(outcomes.values()))
        figure.suptitle(f"{first.scenario.title} (seed {first.seed}, service times x {first.service_scale:g})")
        by_strategy = {strategy: series_of(outcome) for strategy, outcome in outcomes.items()}
        colours = _colours({kind for series in by_strategy.values() for kind in series.decisions})
        for column, (strategy, series) in enumerate(by_strategy.items()):
            outcome = outcomes[strategy]
            minutes = [position * series.bin_ms / MINUTE_MS for position in range(series.bins)]
            backlog, rates, decisions = axes[:, column]
            backlog.set_title(strategy.value)
            _draw_backlog(backlog, series, minutes)
            _draw_rates(rates, series, minutes, outcome.scenario.queues)
            _draw_decisions(decisions, series, minutes, colours)
            for each in axes[:, column]:
                _shade(each, outcome)
            decisions.set_xlabel("minutes")
        for axis, label in zip(axes[:, 0], ("messages that wait", "rate", "decisions per bin"), strict=True):
            axis.set_ylabel(label)
        figure.savefig(path, dpi=_DPI, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_backlog(axes: "Axes", series: Series, minutes: list[float]) -> None:
    axes.stackplot(minutes, *series.backlog.values(), labels=list(series.backlog), step="post")
    axes.legend(loc="upper left")


def _draw_rates(axes: "Axes", series: Series, minutes: list[float], queues: tuple[str, ...]) -> None:
    criticalities = sorted({criticality for _, criticality in series.rates})
    for (queue, criticality), values in series.rates.items():
        line = _LINES[criticalities.index(criticality) % len(_LINES)]
        colour = f"C{queues.index(queue)}"
        axes.step(minutes, values, where="post", linestyle=line, color=colour, label=f"{queue}, {criticality}")
    axes.set_ylim(-0.03, 1.05)
    if series.rates:
        axes.legend(loc="lower left")
    else:
        axes.text(0.5, 0.5, "nothing is throttled", transform=axes.transAxes, ha="center")


def _draw_decisions(axes: "Axes", series: Series, minutes: list[float], colours: Mapping[Kind, Any]) -> None:
    kinds = list(series.decisions)
    if kinds:
        axes.stackplot(
            minutes,
            *series.decisions.values(),
            labels=[f"{verdict} {reason}" for verdict, reason in kinds],
            colors=[colours[kind] for kind in kinds],
            step="post",
        )
        axes.legend(loc="upper left")


def _colours(kinds: Collection[Kind]) -> dict[Kind, Any]:
    """A shade for each kind, of the colour of its verdict."""
    from matplotlib import colormaps

    colours: dict[Kind, Any] = {}
    for verdict, shades in _VERDICT_COLOURS.items():
        same = sorted(kind for kind in kinds if kind[0] is verdict)
        for position, kind in enumerate(same, 1):
            colours[kind] = colormaps[shades](0.3 + 0.6 * position / len(same))
    return colours


def _shade(axes: "Axes", outcome: Outcome) -> None:
    for event in outcome.scenario.events:
        begins = event.at / MINUTE_MS
        if event.lasts_ms is None:
            axes.axvline(begins, color="0.5", linewidth=0.8)
        else:
            axes.axvspan(begins, begins + event.lasts_ms / MINUTE_MS, color="0.9", zorder=0)
