"""What the adaptive control holds back, and what it knows of what goes badly, as the table of `minsy status`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import typer

from apps.cli.control_state import ControlState, Kind
from apps.cli.output import is_wide, print_table
from apps.cli.rates import rate_in_words
from packages.scheduling.control.controllers import QueueControl, WaitBasis
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Reason
from packages.scheduling.gates import slo
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.policies import GateMode
from packages.scheduling.throttles import Throttle

COLUMNS = ("queue", "criticality", "rate", "reason", "since", "wait", "waiting", "jobs owing", "coalesced")
_BASIS_IN_WORDS: Mapping[WaitBasis, str] = {
    WaitBasis.EMPTY: "empty",
    WaitBasis.OLDEST: "oldest message",
    WaitBasis.ESTIMATE: "by length and pace",
    WaitBasis.STUCK: "without end: nothing is completed",
    WaitBasis.LENGTH: "not known, judged by length",
}
_NOBODY: Final = "no consumer"


def print_control_state(state: ControlState, *, since: Callable[[int], str]) -> None:
    """What is throttled or pinned, one line where nothing is; the objectives that burn, queues that nobody serves.

    Where there is room, also all other queues.

    `since` puts an instant in words.
    """
    typer.echo()
    if state.controllers is None:
        typer.echo("adaptive control: its stored state cannot be read here")
    rows = list(_rows(state, since))
    if not rows and state.is_on:
        typer.echo("adaptive control: nothing is throttled")
    elif not rows and not state.is_kept:
        typer.echo(
            "adaptive control: it cannot be seen here, for beat keeps what it knows in its own process; "
            "with BEAT_STATE_URL it tells"
        )
    elif not rows:
        typer.echo("adaptive control: off" if state.leads else "adaptive control: no beat leads")
    by_length = sorted(name for name, each in state.known.queues.items() if each.basis is WaitBasis.LENGTH)
    if state.is_on and by_length:
        queues = ", ".join(by_length)
        typer.echo(f"adaptive control: nobody tells how long messages wait in {queues}: judged by their length")
    if state.is_on:
        rows += [*_rows_unserved(state, since, shown={str(row[0]) for row in rows}), *_rows_burning(state, since)]
    if state.is_on and is_wide():
        rows += list(_rows_at_ease(state, shown={str(row[0]) for row in rows}))
    if rows:
        print_table(COLUMNS, rows)


def _rows(state: ControlState, since: Callable[[int], str]) -> Iterator[list[object]]:
    known = state.known
    counted: set[Kind] = set()
    for kind, rate, reason, at in _held(state):
        told = rate_in_words(rate), reason, None if at is None else since(at)
        if kind is None:
            yield [None, None, *told, *[None] * 4]
            continue
        queue, criticality = kind
        # They are of the kind, which may be held for several reasons.
        counts = (None, None) if kind in counted else (state.owed.get(kind), known.coalesced.get(kind))
        counted.add(kind)
        yield [queue, criticality.value, *told, *_wait_cells(known.queues.get(queue)), *counts]


def _held(state: ControlState) -> Iterator[tuple[Kind | None, int, str | None, int | None]]:
    """What is held back: the kind, where it is known, the rate, why, and since when."""
    told: set[Kind | None] = set()
    for each in state.throttles():
        kind = each.queue, each.criticality
        told.add(kind)
        yield kind, each.rate, reason_in_words(each), each.since
    for task in state.failing_tasks():
        words = _as_observed(f"target failing: task {task.task}", observed=task.observed)
        for of_task in task.kinds or (None,):
            told.add(of_task)
            yield of_task, task.rate, words, task.since
    # What is no longer throttled may still owe a fire for a moment.
    for kind in sorted(state.owed.keys() - told):
        yield kind, ONE, None, None


def _rows_unserved(state: ControlState, since: Callable[[int], str], *, shown: set[str]) -> Iterator[list[object]]:
    """The queues that nobody serves, and of which no throttle says so: of critical_plus work alone, say."""
    said = {each.queue for each in state.throttles() if each.reason is Reason.NO_CONSUMER}
    for queue, control in sorted(state.known.queues.items()):
        if control.unserved_since is not None and queue not in said:
            whole = (None, None) if queue in shown else ("all", rate_in_words(ONE))
            yield [queue, *whole, _NOBODY, since(control.unserved_since), *_wait_cells(control), None, None]


def _rows_burning(state: ControlState, since: Callable[[int], str]) -> Iterator[list[object]]:
    for name, level in state.burning():
        words = f"objective {name} burns at L{level.level}: "
        if level.sheds is not None and not level.sheds:
            words += "only watched"
        else:
            queues = "every queue" if level.sheds is None else ", ".join(sorted(level.sheds))
            words = _as_observed(f"{words}sheds {queues}", observed=state.modes.get(slo.NAME) is GateMode.OBSERVE)
        yield [None, None, None, words, since(level.since), *[None] * 4]


def _rows_at_ease(state: ControlState, *, shown: set[str]) -> Iterator[list[object]]:
    for queue, control in sorted(state.known.queues.items()):
        if queue not in shown:
            yield [queue, "all", rate_in_words(ONE), None, None, *_wait_cells(control), None, None]


def reason_in_words(throttle: Throttle) -> str:
    """Why so much is let through and no more."""
    match throttle.reason:
        case Reason.THROTTLED:
            words = "backlog"
        case Reason.NO_CONSUMER:
            words = _NOBODY
        case Reason.OBJECTIVE_BURNING:
            words = f"objective {throttle.objective} at L{throttle.level}"
        case Reason.PINNED:
            words = f"pinned: {throttle.note}" if throttle.note else "pinned"
        case other:
            words = other.value
    return _as_observed(words, observed=throttle.observed)


def _as_observed(words: str, *, observed: bool) -> str:
    return f"{words} (only observed)" if observed else words


def _wait_cells(control: QueueControl | None) -> tuple[str | None, int | None]:
    """How long a message waits, and how many do."""
    if control is None or control.basis is None:
        return None, None if control is None else control.messages
    words = _BASIS_IN_WORDS[control.basis]
    return words if control.wait_ms is None else f"{control.wait_ms / SECOND_MS:.1f} s, {words}", control.messages
