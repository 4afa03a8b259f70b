"""An explanation for a person, and as JSON."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import typer

from apps.cli.decision_words import (
    decision_as_json,
    decision_text,
    ends_at,
    facts_as_json,
    facts_text,
    instant_text,
    local_text,
)
from apps.cli.explain_live import Live
from apps.cli.explain_remedies import flag_line, remedies_of
from apps.cli.output import print_table
from apps.cli.throttle_words import is_of_unserved, is_throttle, left_alone_in_words, throttle_in_words
from packages.catalogue.jobs import JobDefinition
from packages.scheduling.decision import Opinion, Verdict
from packages.scheduling.explain import Explanation
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.job_facts import facts_of
from packages.scheduling.policies import GateMode
from packages.shared_settings.beat import BeatSettings

RECENT_SHOWN = 5
# What an operator has said is always known where the broker answers.
_SAID = ("pauses", "pins", "exempt jobs", "words on gates")
_CONTROL = "the state of the adaptive control"


@dataclass(frozen=True)
class Case:
    """What is explained, and out of which settings. `is_up`: a `minsy up` runs here."""

    definition: JobDefinition
    settings: BeatSettings
    environment: str
    zone: ZoneInfo | None
    live: Live
    explanation: Explanation
    is_up: bool = False

    @property
    def is_on(self) -> bool:
        """Whether its flag turns the job on."""
        return self.definition.enabled(self.settings)


def print_explanation(case: Case) -> None:
    """Print what the job is, what is decided on it then and why, what would change that, and what comes next."""
    explanation = case.explanation
    decision = explanation.decision
    state = "on" if case.is_on else f"off: {case.definition.flag.upper()} is false. To turn it on: "
    typer.echo(
        f"{case.definition.name} in {case.environment}: {state}{'' if case.is_on else flag_line(case.definition)}"
    )
    for fact, text in facts_of(explanation.job).items():
        typer.echo(f"  {fact:14} {text}")
    word = "would be" if case.is_on else "would, if it were on, be"
    typer.echo(
        f"\nA fire at {_moment(case, explanation.at)} {word}: {decision.verdict.value}, {decision_text(decision)}"
    )
    if decision.opinions:
        print_table(["gate", "mode", "says", "why", "until at least"], (_opinion(case, o) for o in decision.opinions))
    else:
        typer.echo("No gate has anything to say of it.")
    if (left_alone := _left_alone(case)) is not None:
        typer.echo(left_alone)
    _print_remedies(case)
    _print_next(case)
    _print_live(case)


def explanation_as_json(case: Case) -> dict[str, Any]:
    """The same as one object."""
    explanation, live = case.explanation, case.live
    return {
        "job": {"name": case.definition.name, **facts_of(explanation.job)},
        "environment": case.environment,
        "flag": {"variable": case.definition.flag.upper(), "is_on": case.is_on},
        "at": instant_text(explanation.at),
        "decision": decision_as_json(explanation.decision),
        "opinions": [
            {
                "gate": opinion.gate,
                "mode": opinion.mode.value,
                "verdict": opinion.verdict.value,
                "reason": opinion.reason.value,
                "facts": facts_as_json(opinion),
                "until": _instant_or_none(ends_at(opinion)),
                "to_change_it": list(_remedies(case, opinion)),
            }
            for opinion in explanation.decision.opinions
        ],
        "left_alone": _left_alone(case),
        "next_fire": None if explanation.next_fire is None else decision_as_json(explanation.next_fire),
        "searched_until": instant_text(explanation.searched_until),
        "upcoming": [decision_as_json(decision) for decision in explanation.upcoming],
        "live": {
            "absent": live.absent,
            "pauses": live.snapshot.pauses is not None,
            "running": live.snapshot.running is not None,
            "active_markets": None
            if live.snapshot.active_markets is None
            else sorted(live.snapshot.active_markets.value),
            "control": live.uncontrolled is None,
            "settled_until": None if live.state is None else instant_text(live.state.watermark),
            "open": []
            if live.state is None
            else [
                {
                    "nominal": instant_text(fire.nominal),
                    "origin": fire.origin,
                    "reason": fire.reason.value,
                    "asked_again": instant_text(fire.retry_at),
                }
                for fire in live.state.open
            ],
            "requests_waiting": live.requests,
            "recent": [decision_as_json(decision) for decision in live.recent],
        },
    }


def _print_remedies(case: Case) -> None:
    for opinion in case.explanation.decision.opinions:
        if is_throttle(opinion):
            _print_throttle(case, opinion)
            continue
        if opinion.verdict is Verdict.FIRE:
            continue
        ends = ends_at(opinion)
        itself = "does not end by itself" if ends is None else f"ends by itself at {_moment(case, ends)}"
        if opinion.mode is GateMode.OBSERVE:
            typer.echo(f"\nThe gate {opinion.gate} only observes. What it has against the fire {itself}.")
            continue
        typer.echo(f"\nIt is held back by {opinion.gate}. That {itself}. To change it, any of:")
        for remedy in _remedies(case, opinion):
            typer.echo(f"    {remedy}")


def _print_throttle(case: Case, opinion: Opinion) -> None:
    words = throttle_in_words(opinion, case.live.snapshot, until=case.explanation.decision.until)
    if opinion.mode is GateMode.OBSERVE:
        typer.echo(
            f"\nThe gate {opinion.gate} only observes: what follows is recorded, and holds nothing back. {words}"
        )
        return
    typer.echo(f"\n{words} To change it, any of:")
    for remedy in _remedies(case, opinion):
        typer.echo(f"    {remedy}")


def _print_next(case: Case) -> None:
    explanation = case.explanation
    typer.echo("")
    if explanation.next_fire is None:
        ends = _moment(case, explanation.searched_until)
        typer.echo(f"As things stand no fire is foreseen. Looked ahead until {ends}.")
    else:
        typer.echo(f"Next fire, as things stand: {_moment(case, explanation.next_fire.at)}")
    if explanation.upcoming:
        typer.echo("Next decisions:")
        rows = [
            [
                _moment(case, decision.at),
                instant_text(decision.nominal),
                f"{(decision.planned - decision.nominal) / SECOND_MS:g} s",
                decision.verdict.value,
                decision_text(decision),
            ]
            for decision in explanation.upcoming
        ]
        print_table(["at", "nominal", "jitter", "decision", "reason"], rows)


def _print_live(case: Case) -> None:
    live = case.live
    if live.absent is not None:
        typer.echo(
            f"\nLive readings are absent: {live.absent}. Nothing that an operator has said is in this, "
            "no run that is not over, and nothing of the adaptive control."
        )
        return
    readings = {
        "runs that are not over": live.snapshot.running,
        "markets in use": live.snapshot.active_markets,
    }
    missing = [name for name, reading in readings.items() if reading is None]
    known = [*_SAID, *(name for name in readings if name not in missing)]
    if live.uncontrolled is None:
        known.append(_CONTROL)
    typer.echo(f"\nLive readings: {', '.join(known)}.")
    if missing:
        typer.echo(f"Absent: {', '.join(missing)} (no worker reports them).")
    if live.uncontrolled is not None:
        typer.echo(f"Absent: {_CONTROL} ({live.uncontrolled}).")
    if live.state is not None:
        typer.echo(f"Settled up to the nominal {instant_text(live.state.watermark)}.")
        for fire in live.state.open:
            typer.echo(
                f"Open: nominal {instant_text(fire.nominal)} ({fire.reason.value}), "
                f"asked again at {instant_text(fire.retry_at)}"
            )
    if live.requests:
        typer.echo(f"{live.requests} request(s) of an operator wait for beat.")
    if live.recent:
        typer.echo("Last decisions:")
        rows = [
            [instant_text(decision.at), instant_text(decision.nominal), decision.verdict.value, decision_text(decision)]
            for decision in live.recent[:RECENT_SHOWN]
        ]
        print_table(["at", "nominal", "decision", "reason"], rows)


def _remedies(case: Case, opinion: Opinion) -> tuple[str, ...]:
    holds_back = opinion.verdict is not Verdict.FIRE or is_throttle(opinion)
    if not holds_back or opinion.mode is not GateMode.ENFORCE:
        return ()
    is_unserved = is_of_unserved(opinion, case.live.snapshot)
    return remedies_of(opinion, case.definition, case.settings, is_unserved=is_unserved, is_up=case.is_up)


def _left_alone(case: Case) -> str | None:
    return left_alone_in_words(case.explanation.job, case.live.snapshot, case.explanation.at)


def _opinion(case: Case, opinion: Opinion) -> list[str]:
    # A throttle says something of one fire, and something else of the next one.
    ends = None if is_throttle(opinion) and opinion.verdict is Verdict.FIRE else ends_at(opinion)
    why = " ".join(part for part in (opinion.reason.value, facts_text(opinion)) if part)
    return [opinion.gate, opinion.mode.value, opinion.verdict.value, why, "" if ends is None else _moment(case, ends)]


def _moment(case: Case, instant: int) -> str:
    local = "" if case.zone is None else f" ({local_text(instant, case.zone)})"
    return instant_text(instant) + local


def _instant_or_none(instant: int | None) -> str | None:
    return None if instant is None else instant_text(instant)
