"""A plan for a person, and as JSON: what the load was made of, the peaks, the moves, and the lines that make them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from apps.cli.decision_words import instant_text
from apps.cli.moments import duration_in_words, instant_in_words
from apps.cli.output import print_json, print_table
from apps.cli.plan_live import DAYS, Readings
from apps.cli.plan_work import Work
from packages.scheduling.flatten.extremes import Meeting, QueueLoad, load_of_all, meetings, queue_loads
from packages.scheduling.flatten.flatten import Flattened
from packages.scheduling.flatten.load import Load, Slots
from packages.scheduling.flatten.placing import Peak
from packages.scheduling.flatten.variants import OffPeak
from packages.scheduling.instants import ONE_MS, SECOND_MS
from packages.scheduling.job_facts import facts_of
from packages.scheduling.preview_columns import Preview
from packages.scheduling.preview_summary import summary_of
from packages.scheduling.windows import windows_text

_MOST_MEETINGS = 8
_TOGETHER = "all together"
_PER_MILLE = 1000


@dataclass(frozen=True)
class Side:
    """A preview and the load of each of its jobs."""

    preview: Preview
    loads: Mapping[str, Load]

    def queues(self, slots: Slots) -> list[QueueLoad]:
        """Each queue, and then all of them together."""
        together = load_of_all(_TOGETHER, list(self.loads.values()), slots)
        return [*queue_loads(self.preview.jobs, self.loads, slots), together]

    def meetings(self, slots: Slots) -> list[Meeting]:
        """The heaviest slots with the jobs in them."""
        return meetings(self.preview.jobs, self.loads, slots, most=_MOST_MEETINGS)

    def runs(self) -> dict[str, int]:
        """The fires of each job."""
        return {job.job: job.tally.fires for job in summary_of(self.preview).jobs}


@dataclass(frozen=True)
class Planned:
    """All that a plan says. `lines`: variables with their values. `after` is previewed with these in force."""

    environment: str
    slots: Slots
    work: Mapping[str, Work]
    before: Side
    after: Side
    flattened: Flattened
    lines: Mapping[str, str]
    readings: Readings
    off_peak: OffPeak
    gain_percent: float

    def changed(self) -> list[tuple[str, str, str, str]]:
        """The moved jobs: job, what is changed, as it is, as it would be."""
        before = {job.name: facts_of(job) for job in self.before.preview.jobs}
        after = {job.name: facts_of(job) for job in self.after.preview.jobs}
        return [
            (name, fact, was, after[name][fact])
            for name, facts in before.items()
            for fact, was in facts.items()
            if was != after[name][fact]
        ]

    def notes(self) -> list[str]:
        """What a person should know before making use of it."""
        notes = []
        if self.readings.absent is not None:
            notes.append(f"Nothing measured is known: {self.readings.absent}.")
        elif self.readings.decisions:
            notes.append(
                f"Held against the {self.readings.decisions:,} decisions of the last {DAYS} days in the ledger: "
                + (
                    f"{len(self.readings.published)} of the jobs weighed by it."
                    if self.readings.published
                    else "as previewed."
                )
            )
        moved = {job.name for job in self.flattened.moved}
        if self.off_peak.windows is not None:
            where = f"{windows_text(self.off_peak.windows)}, {duration_in_words(self.off_peak.away_ms * ONE_MS)} away"
            notes += [
                f"{name} {'runs' if name in moved else 'runs, and stays,'} at a time that daily jobs are kept from: "
                f"they belong {where}."
                for name in self.flattened.misplaced
            ]
        notes += [
            f"{job} cannot be previewed from some instant on: {type(error).__name__}: {error}"
            for job, error in self.before.preview.failures.items()
        ]
        return notes


def print_plan(planned: Planned) -> None:
    """Print the work, the heaviest slots, the peaks before and after, and the lines for the env file."""
    slots = planned.slots
    length = duration_in_words((slots.end - slots.start) * ONE_MS)
    typer.echo(
        f"{planned.environment}: {instant_in_words(slots.start)} to {instant_in_words(slots.end)} ({length}), "
        f"work in slots of {_slot_words(slots)}\n"
    )
    _print_work(planned)
    _print_meetings(planned.before.meetings(slots), slots)
    _print_peaks(planned)
    for note in planned.notes():
        typer.echo(note)
    if not planned.lines:
        typer.echo(f"\nNothing to move: no queue's peak would fall by {planned.gain_percent:g} % of it.")
        return
    typer.echo("")
    print_table(["moved job", "what", "as it is", "proposed"], planned.changed())
    typer.echo(f"\nFor env/.env.{planned.environment}.beat, or the layer that has these variables now:\n")
    for variable, value in planned.lines.items():
        typer.echo(f"{variable}={value}")


def plan_as_json(planned: Planned) -> None:
    """Print all of it as one object; works in seconds, instants as RFC 3339."""
    slots = planned.slots
    runs = planned.before.runs(), planned.after.runs()
    pairs = zip(planned.before.queues(slots), planned.after.queues(slots), strict=True)
    *queues, together = [_queue_as_json(before, after, slots) for before, after in pairs]
    print_json(
        {
            "environment": planned.environment,
            "period": {"from": instant_text(slots.start), "to": instant_text(slots.end)},
            "slot_seconds": slots.length_ms / SECOND_MS,
            "jobs": [
                {
                    "job": job.name,
                    "queue": job.queue,
                    "runs_before": runs[0][job.name],
                    "runs_after": runs[1][job.name],
                    "seconds": planned.work[job.name].run_ms / SECOND_MS,
                    "known_from": planned.work[job.name].known_from,
                    "published_share": _share(planned.work[job.name]),
                }
                for job in planned.before.preview.jobs
            ],
            "heaviest": {
                "before": [_meeting_as_json(each, slots) for each in planned.before.meetings(slots)],
                "after": [_meeting_as_json(each, slots) for each in planned.after.meetings(slots)],
            },
            "queues": queues,
            "together": together,
            "moves": [dict(zip(("job", "what", "before", "after"), each, strict=True)) for each in planned.changed()],
            "settings": dict(planned.lines),
            "notes": planned.notes(),
        }
    )


def _print_work(planned: Planned) -> None:
    rows: list[Sequence[object]] = []
    runs = planned.before.runs(), planned.after.runs()
    for job in planned.before.preview.jobs:
        work, before, after = planned.work[job.name], runs[0][job.name], runs[1][job.name]
        share = _share(work)
        known = work.known_from if share is None else f"{work.known_from}, {share:.0%} published"
        counts = f"{before:,}" if abs(before - after) <= 1 else f"{before:,} -> {after:,}"
        rows.append([job.name, job.queue, counts, f"{work.run_ms / SECOND_MS:g} s", known])
    print_table(["job", "queue", "runs", "a run takes", "known from"], rows)
    typer.echo("")


def _print_meetings(found: Sequence[Meeting], slots: Slots) -> None:
    print_table(
        ["heaviest at", "queue", "work", f"such slots of {slots.count:,}", "jobs in it"],
        (
            [
                instant_in_words(slots.start_of(each.heaviest.slot)),
                each.queue,
                _work(each.heaviest.work_ms),
                f"{each.slots:,}",
                ", ".join(f"{job} {_work(work_ms)}" for job, work_ms in each.work),
            ]
            for each in found
        ),
    )
    typer.echo("")


def _print_peaks(planned: Planned) -> None:
    rows = []
    slots = planned.slots
    for before, after in zip(planned.before.queues(slots), planned.after.queues(slots), strict=True):
        quiet = f"{before.quietest_hour:02d}:00Z, {_work(before.quietest_ms)} an hour"
        rows.append([before.queue, *(_peak(each.peak, slots) for each in (before, after)), _fall(before, after), quiet])
    print_table(["queue", "peak before", "peak after", "falls by", "quietest hour before"], rows)
    typer.echo("")


def _peak(peak: Peak, slots: Slots) -> str:
    """`45 s, 0.75 busy, 2026-11-22 01:00:00Z`: the work, how many processes it keeps busy, and where first."""
    if not peak.work_ms:
        return "-"
    busy = f"{peak.work_ms / slots.length_ms:.2g} busy"
    return f"{_work(peak.work_ms)}, {busy}, {instant_in_words(slots.start_of(peak.slot))}"


def _fall(before: QueueLoad, after: QueueLoad) -> str:
    fall = before.peak.work_ms - after.peak.work_ms
    return f"{fall / before.peak.work_ms:.0%}" if fall else ""


def _work(work_ms: int) -> str:
    return f"{work_ms / SECOND_MS:,.4g} s"


def _slot_words(slots: Slots) -> str:
    return duration_in_words(slots.length_ms * ONE_MS)


def _share(work: Work) -> float | None:
    return None if work.published is None else work.published / _PER_MILLE


def _queue_as_json(before: QueueLoad, after: QueueLoad, slots: Slots) -> dict[str, Any]:
    return {
        "queue": before.queue,
        "peak_before": _peak_as_json(before.peak, slots),
        "peak_after": _peak_as_json(after.peak, slots),
        "quietest_hour_utc": before.quietest_hour,
        "quietest_hour_seconds": before.quietest_ms / SECOND_MS,
    }


def _peak_as_json(peak: Peak, slots: Slots) -> dict[str, Any]:
    return {"seconds": peak.work_ms / SECOND_MS, "at": instant_text(slots.start_of(peak.slot))}


def _meeting_as_json(meeting: Meeting, slots: Slots) -> dict[str, Any]:
    return {
        "queue": meeting.queue,
        **_peak_as_json(meeting.heaviest, slots),
        "slots": meeting.slots,
        "jobs": {job: work_ms / SECOND_MS for job, work_ms in meeting.work},
    }
