"""A whole preview for programs: one JSON document, or CSV as RFC 4180 has it. Written row by row."""

import csv
import json
from dataclasses import dataclass
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from apps.cli.decision_words import instant_text, local_text
from apps.cli.preview_rows import Row, rows_of
from packages.scheduling.instants import HOUR_MS, SECOND_MS
from packages.scheduling.job_facts import facts_of
from packages.scheduling.preview_columns import Preview
from packages.scheduling.preview_summary import Peak, Summary, Tally, summary_of


@dataclass(frozen=True)
class Setting:
    """What a document says of where it comes from. `calendars_until`: by market, up to when its sessions are known."""

    environment: str
    zone: ZoneInfo | None
    calendars_until: dict[str, int]


def write_json(preview: Preview, setting: Setting, out: TextIO) -> None:
    """One object: environment, period, calendars, jobs, summary, failures, rows. Each row stands on its own line."""
    head: dict[str, Any] = {
        "environment": setting.environment,
        "period": {"from": instant_text(preview.start), "to": instant_text(preview.end)},
        "zone": None if setting.zone is None else str(setting.zone),
        "calendars_until": {market: instant_text(at) for market, at in setting.calendars_until.items()},
        "jobs": [{"name": job.name, **facts_of(job)} for job in preview.jobs],
        "summary": summary_as_json(summary_of(preview)),
        "failures": {job: f"{type(error).__name__}: {error}" for job, error in preview.failures.items()},
    }
    out.write(json.dumps(head, indent=2).removesuffix("\n}"))
    out.write(',\n  "rows": [')
    mark = "\n    "
    for row in rows_of(preview):
        out.write(mark + json.dumps(_row_as_json(row, setting.zone)))
        mark = ",\n    "
    out.write("\n  ]\n}\n" if len(preview) else "]\n}\n")


def write_csv(preview: Preview, zone: ZoneInfo | None, out: TextIO) -> None:
    """A header and a line for each row. Instants in UTC as RFC 3339; with a zone also the time there."""
    writer = csv.writer(out, lineterminator="\r\n")
    columns = ["at", *(["local"] if zone is not None else []), "job", "queue", "nominal", "planned", "jitter_s"]
    writer.writerow([*columns, "decision", "reason", "detail"])
    for row in rows_of(preview):
        local = [] if zone is None else [local_text(row.at, zone)]
        times = [instant_text(row.nominal), instant_text(row.planned), f"{row.jitter_ms / SECOND_MS:g}"]
        words = [row.kind.verdict.value, row.kind.reason.value, row.kind.said]
        writer.writerow([instant_text(row.at), *local, row.job.name, row.job.queue, *times, *words])


def summary_as_json(summary: Summary) -> dict[str, Any]:
    """A summary with its instants as RFC 3339."""
    return {
        "total": tally_as_json(summary.tally),
        "jobs": [
            {
                "job": job.job,
                "queue": job.queue,
                **tally_as_json(job.tally),
                "first_fire": None if job.first_fire is None else instant_text(job.first_fire),
                "last_fire": None if job.last_fire is None else instant_text(job.last_fire),
            }
            for job in summary.jobs
        ],
        "queues": [
            {
                "queue": queue.queue,
                "jobs": queue.jobs,
                **tally_as_json(queue.tally),
                "peak_minute": _peak_as_json(queue.peak_minute),
            }
            for queue in summary.queues
        ],
        "peak_second": _peak_as_json(summary.peak_second),
        "peak_minute": _peak_as_json(summary.peak_minute),
        "fires_per_hour": [
            {"from": instant_text(summary.first_hour + position * HOUR_MS), "fires": fires}
            for position, fires in enumerate(summary.fires_per_hour)
        ],
    }


def tally_as_json(tally: Tally) -> dict[str, Any]:
    """Counts by what becomes of a fire."""
    return {
        "fires": tally.fires,
        "skipped": tally.skipped,
        "skipped_by_reason": {reason.value: count for reason, count in tally.skips.items()},
        "share_skipped": round(tally.share_skipped, 4),
        "would_be_held": tally.would_be_held,
        "waiting": tally.waiting,
    }


def _peak_as_json(peak: Peak | None) -> dict[str, Any] | None:
    return None if peak is None else {"from": instant_text(peak.start), "fires": peak.fires}


def _row_as_json(row: Row, zone: ZoneInfo | None) -> dict[str, Any]:
    return {
        "at": instant_text(row.at),
        **({} if zone is None else {"local": local_text(row.at, zone)}),
        "job": row.job.name,
        "queue": row.job.queue,
        "nominal": instant_text(row.nominal),
        "planned": instant_text(row.planned),
        "jitter_ms": row.jitter_ms,
        "decision": row.kind.verdict.value,
        "reason": row.kind.reason.value,
        "detail": row.kind.said,
    }
