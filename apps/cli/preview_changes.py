"""In what the previews of two environments differ, for a person and as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

import typer

from apps.cli.decision_words import decision_text, instant_text
from apps.cli.moments import instant_in_words
from apps.cli.output import print_table
from apps.cli.preview_export import tally_as_json
from packages.scheduling.decision import Decision
from packages.scheduling.preview_columns import Preview
from packages.scheduling.preview_diff import Change, FireChange, JobChange, fire_changes, job_changes
from packages.scheduling.preview_summary import Tally

_OF_FIRES = (Change.ADDED, Change.REMOVED, Change.MOVED)


def print_changes(names: tuple[str, str], before: Preview, after: Preview, *, rows: bool, limit: int) -> None:
    """Print a line for each job, what changed in it, and with `rows` each fire that differs."""
    changes = job_changes(before, after)
    typer.echo(f"{names[0]} -> {names[1]}, {instant_in_words(before.start)} to {instant_in_words(before.end)}")
    counted = Counter(change.change for change in changes)
    said = [f"{counted[kind]} {kind.value}" for kind in Change if counted[kind]]
    typer.echo(f"jobs: {', '.join(said) or 'none in either'}\n")
    columns = ["job", "change", *(f"{what} {name}" for what in ("fires", "skipped") for name in names)]
    print_table(columns, (_counts(change) for change in changes))
    if facts := [[change.job, *asdict(fact).values()] for change in changes for fact in change.facts]:
        typer.echo("")
        print_table(["job", "what", *names], facts)
    _print_failures(names, before, after)
    if rows:
        typer.echo("")
        _print_fires(names, list(fire_changes(before, after)), limit)


def write_changes_json(names: tuple[str, str], before: Preview, after: Preview, out: TextIO, *, rows: bool) -> None:
    """One object: environments, period, jobs, and with `rows` each fire that differs."""
    document: dict[str, Any] = {
        "before": names[0],
        "after": names[1],
        "period": {"from": instant_text(before.start), "to": instant_text(before.end)},
        "jobs": [_change_as_json(change) for change in job_changes(before, after)],
    }
    if rows:
        document["fires"] = [_fire_as_json(change) for change in fire_changes(before, after)]
    out.write(json.dumps(document, indent=2) + "\n")


def _counts(change: JobChange) -> Sequence[object]:
    tallies = (change.before, change.after)
    fires = ["-" if tally is None else f"{tally.fires:,}" for tally in tallies]
    skipped = ["-" if tally is None else f"{tally.skipped:,}" for tally in tallies]
    return [change.job, change.change.value, *fires, *skipped]


def _print_failures(names: tuple[str, str], before: Preview, after: Preview) -> None:
    for name, side in zip(names, (before, after), strict=True):
        for job, error in side.failures.items():
            typer.echo(f"{name}: {job} cannot be previewed: {type(error).__name__}: {error}", err=True)


def _print_fires(names: tuple[str, str], changes: Sequence[FireChange], limit: int) -> None:
    shown = changes[:limit] if limit else changes
    print_table(
        ["job", "nominal", "change", *names],
        (
            [change.job, instant_text(change.nominal), change.change.value, _side(change.before), _side(change.after)]
            for change in shown
        ),
    )
    counted = Counter(change.change for change in changes)
    typer.echo(", ".join(f"{counted[kind]:,} {kind.value}" for kind in _OF_FIRES))
    if len(shown) < len(changes):
        typer.echo(f"... and {len(changes) - len(shown):,} more. All of them: --limit 0, or --json")


def _side(decision: Decision | None) -> str:
    if decision is None:
        return "-"
    return f"{instant_text(decision.at)} {decision.verdict.value} {decision_text(decision)}"


def _change_as_json(change: JobChange) -> dict[str, Any]:
    return {
        "job": change.job,
        "change": change.change.value,
        "facts": [asdict(fact) for fact in change.facts],
        "before": _tally(change.before),
        "after": _tally(change.after),
    }


def _tally(tally: Tally | None) -> dict[str, Any] | None:
    return None if tally is None else tally_as_json(tally)


def _fire_as_json(change: FireChange) -> dict[str, Any]:
    return {
        "change": change.change.value,
        "job": change.job,
        "nominal": instant_text(change.nominal),
        "before": _decision(change.before),
        "after": _decision(change.after),
    }


def _decision(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    return {
        "at": instant_text(decision.at),
        "planned": instant_text(decision.planned),
        "decision": decision.verdict.value,
        "detail": decision_text(decision),
    }
