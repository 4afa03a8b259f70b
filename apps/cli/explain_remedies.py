"""What would have to change for a gate to let a job pass: the command or the setting, ready to be used."""

import json
from collections.abc import Mapping

from apps.cli.preview_jobs import overrides_of
from packages.catalogue.jobs import JobDefinition
from packages.catalogue.queues import QUEUES
from packages.scheduling.decision import Opinion, Reason
from packages.scheduling.gates import backlog, failing_target, overlap, pause, pin, slo, trading_hours, windows
from packages.scheduling.policies import UnknownDates
from packages.scheduling.snapshot import PauseScope
from packages.shared_settings.beat import BeatSettings

_SELECTORS: Mapping[str, str] = {
    PauseScope.JOB: "{target}",
    PauseScope.QUEUE: "--queue {target}",
    PauseScope.CRITICALITY: "--criticality {target}",
    PauseScope.ALL: "--all",
}

# A worker by hand beside it would lose its runs each time that `up` takes back those of its own.
_UP_LINES = (
    "minsy status  # is its worker there? `minsy up` starts one that died again",
    "minsy up  # anew, after Ctrl-C where it runs now",
)


def remedies_of(
    opinion: Opinion,
    definition: JobDefinition,
    settings: BeatSettings,
    *,
    is_unserved: bool = False,
    is_up: bool = False,
) -> tuple[str, ...]:
    """Commands and settings, the gentlest first; none where nothing is held back. Each setting is a whole line.

    `is_unserved`: nobody serves the job's queue. `is_up`: a `minsy up` runs here, which has workers of its own.
    """
    match opinion.gate:
        case pause.NAME:
            facts = dict(opinion.facts)
            selector = _SELECTORS[str(facts["scope"])].format(target=facts.get("target", ""))
            return (f"minsy resume {selector}",)
        case trading_hours.NAME:
            return _of_trading_hours(opinion, definition, settings)
        case windows.NAME:
            return (
                f"minsy trigger {definition.name}",
                policy_line(definition, settings, windows_gate="observe"),
                policy_line(definition, settings, windows="..."),
            )
        case overlap.NAME:
            return (
                f"minsy trigger {definition.name} --force",
                policy_line(definition, settings, overlap="allow"),
            )
        case pin.NAME | backlog.NAME | slo.NAME | failing_target.NAME:
            instead = _UP_LINES if is_up else _worker_lines(definition.queue)
            return _of_throttle(opinion, definition, instead if is_unserved else ())
        case _:
            return ()


def policy_line(definition: JobDefinition, settings: BeatSettings, **changes: object) -> str:
    """The line of an env file that changes these keys of the job's policies and keeps the others."""
    overrides = overrides_of(definition, settings)
    given = {**overrides.model_dump(mode="json", exclude_none=True), **changes}
    return f"{definition.policy_field.upper()}='{json.dumps(given)}'"


def flag_line(definition: JobDefinition) -> str:
    """The line of an env file that turns the job on."""
    return f"{definition.flag.upper()}=true"


def _of_throttle(opinion: Opinion, definition: JobDefinition, workers: tuple[str, ...]) -> tuple[str, ...]:
    """`workers`: what brings some to a queue that nobody serves; a run now, or a rate, would not help there."""
    name, queue = definition.name, definition.queue
    if opinion.gate == pin.NAME:
        facts = dict(opinion.facts)
        of_criticality = f" --criticality {facts['criticality']}" if "criticality" in facts else ""
        return f"minsy trigger {name}", f"minsy control unpin --queue {facts['queue']}{of_criticality}"
    lines = [f"minsy control exempt {name} --for 1h", f"minsy control gate {opinion.gate} observe"]
    if workers:
        return *workers, *lines
    if opinion.gate == backlog.NAME:
        lines.insert(1, f"minsy control pin 100% --queue {queue} --criticality {definition.criticality.value} --for 1h")
    return f"minsy trigger {name}", *lines


def _worker_lines(queue: str) -> tuple[str, ...]:
    """What starts a worker that serves the queue."""
    profiles = [each.profile.value for each in QUEUES if each.name == queue]
    return tuple(f"celery -A apps.worker_{profile}.celery_app worker -l info -n {profile}@%h" for profile in profiles)


def _of_trading_hours(opinion: Opinion, definition: JobDefinition, settings: BeatSettings) -> tuple[str, ...]:
    overrides = overrides_of(definition, settings)
    lines = [f"minsy trigger {definition.name}", policy_line(definition, settings, trading_hours="observe")]
    if overrides.trading_hours is None:
        lines.append("TRADING_HOURS_GATE=observe")
    if opinion.reason is Reason.MARKET_UNKNOWN:
        lines.append(policy_line(definition, settings, unknown_dates=UnknownDates.FAIL_OPEN.value))
    if overrides.trading_hours_markets is None:
        lines.append(f"TRADING_HOURS_MARKETS={','.join((*settings.trading_hours_markets, '24/7'))}")
    return tuple(lines)
