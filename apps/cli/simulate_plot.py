"""A comparison of strategies as a picture: a column for each, and in it backlog, rates and decisions over time."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from apps.cli.moments import duration_in_words
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.instants import MINUTE_MS, ONE_MS
from packages.scheduling.model import Criticality
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.series import Series, series_of
from packages.scheduling.simulation.strategies import Strategy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_INCHES: Final = 5.5
_HEIGHT_INCHES: Final = 9.0
_DPI: Final = 120
# Text stays text, and the same run makes the same file.
_STYLE: Final[Any] = {"svg.fonttype": "none", "svg.hashsalt": "minsy", "font.size": 8}
# How much white there is in the colour of a reason, by what was decided for it.
_WHITE: Final = {Verdict.FIRE: 0.0, Verdict.DEFER: 0.35, Verdict.SKIP: 0.6}
# Hues that follow each other so are far apart, however many there are.
_GOLDEN: Final = 0.618
# The first one, which is that of most fires.
_GREEN: Final = 0.35
_LINES: Final = ("-", "--", ":", "-.")


def draw(outcomes: Mapping[Strategy, Outcome], path: Path) -> None:
    """Draw them into `path`, whose suffix says what it becomes. Backlogs are sampled: a dotted line is at their peak.

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
        for column, (strategy, series) in enumerate(by_strategy.items()):
            outcome = outcomes[strategy]
            minutes = [position * series.bin_ms / MINUTE_MS for position in range(series.bins)]
            backlog, rates, decisions = axes[:, column]
            backlog.set_title(f"{strategy.value}, peak backlog {outcome.peak:,}")
            backlog.axhline(outcome.peak, color="0.3", linewidth=0.8, linestyle=":")
            _draw_backlog(backlog, series, minutes)
            _draw_rates(rates, series, minutes, outcome.scenario.queues)
            _draw_decisions(decisions, series, minutes)
            for each in axes[:, column]:
                _shade(each, outcome)
            decisions.set_xlabel("minutes")
        bin_length = duration_in_words(next(iter(by_strategy.values())).bin_ms * ONE_MS)
        labels = ("messages that wait", "rate", f"decisions in {bin_length}")
        for row, label in zip(axes, labels, strict=True):
            row[0].set_ylabel(label)
            _add_legend(row)
        figure.savefig(path, dpi=_DPI, metadata={"Date": None} if path.suffix == ".svg" else None)


def _add_legend(row: "Iterable[Axes]") -> None:
    """One for all of a row, at its right: nothing is hidden under it."""
    shown: dict[str, Any] = {}
    last = None
    for last in row:
        handles, labels = last.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    if last is not None and shown:
        names = sorted(shown)
        last.legend([shown[name] for name in names], names, loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _draw_backlog(axes: "Axes", series: Series, minutes: list[float]) -> None:
    colours = [f"C{position}" for position in range(len(series.together))]
    axes.stackplot(minutes, *series.together.values(), labels=list(series.together), colors=colours, step="post")


def _draw_rates(axes: "Axes", series: Series, minutes: list[float], queues: tuple[str, ...]) -> None:
    criticalities = list(Criticality)
    for (queue, criticality), values in series.rates.items():
        line = _LINES[criticalities.index(criticality)]
        colour = f"C{queues.index(queue)}"
        axes.step(minutes, values, where="post", linestyle=line, color=colour, label=f"{queue}, {criticality}")
    axes.set_ylim(-0.03, 1.05)
    if not series.rates:
        axes.text(0.5, 0.5, "nothing is throttled", transform=axes.transAxes, ha="center")


def _draw_decisions(axes: "Axes", series: Series, minutes: list[float]) -> None:
    kinds = list(series.decisions)
    if kinds:
        axes.stackplot(
            minutes,
            *series.decisions.values(),
            labels=[f"{verdict} {reason}" for verdict, reason in kinds],
            colors=[_colour(verdict, reason) for verdict, reason in kinds],
            step="post",
        )


def _colour(verdict: Verdict, reason: Reason) -> tuple[float, float, float]:
    """The same in every picture, whatever else is in it."""
    from matplotlib.colors import hsv_to_rgb

    hue = (_GREEN + list(Reason).index(reason) * _GOLDEN) % 1
    red, green, blue = (float(part + (1 - part) * _WHITE[verdict]) for part in hsv_to_rgb((hue, 0.65, 0.75)))
    return red, green, blue


def _shade(axes: "Axes", outcome: Outcome) -> None:
    for event in outcome.scenario.events:
        begins = event.at / MINUTE_MS
        if event.lasts_ms is None:
            axes.axvline(begins, color="0.5", linewidth=0.8)
        else:
            axes.axvspan(begins, begins + event.lasts_ms / MINUTE_MS, color="0.9", zorder=0)
