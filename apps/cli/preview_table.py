"""A preview for a person at a terminal: what it comes to first, then the first rows and how to see the rest."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import typer

from apps.cli.decision_words import instant_text, local_text
from apps.cli.moments import duration_in_words, instant_in_words
from apps.cli.output import is_wide, print_table
from apps.cli.preview_rows import rows_of
from packages.scheduling.decision import Reason
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, ONE_MS, SECOND_MS, to_datetime
from packages.scheduling.preview_columns import Preview
from packages.scheduling.preview_summary import Peak, Summary, Tally, summary_of

DEFAULT_ROWS = 25
_HOURS_OF_A_DAY = 24
_DAYS_SHOWN = 14
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = ".:-=+*#@"


@dataclass(frozen=True)
class Shown:
    """How a person wants to see it. `rows` 0 means all of them."""

    zone: ZoneInfo | None
    rows: int


def print_preview(preview: Preview, environment: str, shown: Shown) -> None:
    """Print the heading, the strip of density, the summary by job and queue, and the rows."""
    summary = summary_of(preview)
    _print_heading(preview, environment, summary)
    if preview.jobs:
        _print_strip(summary, preview)
        _print_jobs(summary)
        _print_queues(summary)
        _print_rows(preview, shown)
    for job, error in preview.failures.items():
        typer.echo(f"{job} cannot be previewed from some instant on: {type(error).__name__}: {error}", err=True)


def strip_of(summary: Summary, *, start: int, end: int, blocks: str) -> list[str]:
    """A line for each UTC day: its date, then a character for each hour, a dot for none, a blank outside [start, end).

    The lowest block is the least that is above zero, the highest one the most fires of any hour.
    """
    most = max(summary.fires_per_hour, default=0)
    lines: dict[str, list[str]] = {}
    for position, fires in enumerate(summary.fires_per_hour):
        hour = to_datetime(summary.first_hour + position * HOUR_MS)
        line = lines.setdefault(f"{hour:%Y-%m-%d}", [" "] * _HOURS_OF_A_DAY)
        if fires:
            line[hour.hour] = blocks[(fires * len(blocks) - 1) // most]
        elif start < summary.first_hour + (position + 1) * HOUR_MS and summary.first_hour + position * HOUR_MS < end:
            line[hour.hour] = "_" if blocks == _ASCII_BLOCKS else "·"
    return [f"{day} {''.join(line)}".rstrip() for day, line in lines.items()]


def _print_heading(preview: Preview, environment: str, summary: Summary) -> None:
    length = duration_in_words((preview.end - preview.start) * ONE_MS)
    typer.echo(
        f"{environment}: {instant_in_words(preview.start)} to {instant_in_words(preview.end)} ({length}), "
        f"{_counted(len(preview.jobs), 'job')}"
    )
    typer.echo(f"{_counted(summary.tally.fires, 'fire')}, {_skips(summary.tally)}")
    if summary.peak_second and summary.peak_minute:
        typer.echo(
            f"peak second {_peak(summary.peak_second, SECOND_MS)}, peak minute {_peak(summary.peak_minute, MINUTE_MS)}"
        )


def _print_strip(summary: Summary, preview: Preview) -> None:
    lines = strip_of(summary, start=preview.start, end=preview.end, blocks=_blocks())
    most = max(summary.fires_per_hour, default=0)
    typer.echo(f"\nFires per hour of the UTC day, at most {most:,}")
    typer.echo(f"{'':10} 0     6     12    18")
    for line in lines[:_DAYS_SHOWN]:
        typer.echo(line)
    if len(lines) > _DAYS_SHOWN:
        typer.echo(f"{_counted(len(lines) - _DAYS_SHOWN, 'more day')}: --json has all of them")


def _print_jobs(summary: Summary) -> None:
    typer.echo("")
    # On a narrow terminal the table below has the queues, and the rows the times.
    wide = is_wide()
    columns = ["job", *(["queue"] if wide else []), "fires", "skipped", "share"]
    rows: list[Sequence[object]] = []
    for job in summary.jobs:
        counts = [f"{job.tally.fires:,}", f"{job.tally.skipped:,}", f"{job.tally.share_skipped:.0%}"]
        times = ["-" if at is None else instant_in_words(at) for at in (job.first_fire, job.last_fire)]
        rows.append([job.job, *([job.queue] if wide else []), *counts, *(times if wide else []), _why(job.tally)])
    print_table([*columns, *(["first fire", "last fire"] if wide else []), "why skipped"], rows)


def _print_queues(summary: Summary) -> None:
    typer.echo("")
    print_table(
        ["queue", "jobs", "fires", "skipped", "peak minute"],
        (
            [
                queue.queue,
                queue.jobs,
                f"{queue.tally.fires:,}",
                f"{queue.tally.skipped:,}",
                "-" if queue.peak_minute is None else _peak(queue.peak_minute, MINUTE_MS),
            ]
            for queue in summary.queues
        ),
    )


def _print_rows(preview: Preview, shown: Shown) -> None:
    limit = shown.rows or len(preview)
    typer.echo("")
    local = [] if shown.zone is None else [str(shown.zone)]
    wide = is_wide()
    rows: list[Sequence[object]] = []
    for row in rows_of(preview, limit=limit):
        at = instant_text(row.at) if wide else instant_in_words(row.at)
        times = [at, *([local_text(row.at, shown.zone)] if shown.zone is not None else [])]
        jitter = f"{row.jitter_ms / SECOND_MS:g} s" if row.jitter_ms else ""
        planned = [row.job.queue, instant_text(row.nominal), jitter] if wide else []
        rows.append([*times, row.job.name, *planned, row.kind.verdict.value, row.kind.said])
    planned_columns = ["queue", "nominal", "jitter"] if wide else []
    print_table(["UTC", *local, "job", *planned_columns, "decision", "reason"], rows, shortened="reason")
    if len(preview) > limit:
        typer.echo(
            f"... and {len(preview) - limit:,} more. All of them: --limit 0, or --format csv, json or ics. "
            "Fewer: --job, --queue, --hours."
        )


def _skips(tally: Tally) -> str:
    texts = [f"{tally.skipped:,} skipped"]
    if tally.skipped:
        texts[0] += f" ({tally.share_skipped:.0%}: {_by_reason(tally.skips)})"
    if tally.would_be_held:
        texts.append(f"{tally.would_be_held:,} fires would be held back if gates did not only observe")
    if tally.waiting:
        texts.append(f"{tally.waiting:,} still waiting at the end")
    return ", ".join(texts)


def _why(tally: Tally) -> str:
    texts = [_by_reason(tally.skips)] if tally.skips else []
    if tally.would_be_held:
        texts.append(f"observe: {tally.would_be_held:,} would be held back")
    if tally.waiting:
        texts.append(f"{tally.waiting:,} waiting")
    return "; ".join(texts)


def _by_reason(skips: Mapping[Reason, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(skips.items(), key=lambda pair: -pair[1]))


def _peak(peak: Peak, length_ms: int) -> str:
    at = instant_text(peak.start) if length_ms < MINUTE_MS else f"{to_datetime(peak.start):%Y-%m-%d %H:%MZ}"
    return f"{at}: {_counted(peak.fires, 'fire')}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _blocks() -> str:
    try:
        _BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII_BLOCKS
    return _BLOCKS
