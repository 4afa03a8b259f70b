"""The variables that give a job another place: read again, the settings give exactly that job."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.catalogue.assignments import assignments_of, can_be_moved
from packages.catalogue.jobs import JOBS, JobDefinition
from packages.scheduling.model import Job
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.one_off import OneOff
from packages.scheduling.windows import parse_windows
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.layers import Layers
from packages.shared_settings.loading import load

DEFINITIONS = {definition.name: definition for definition in JOBS}
BACKUP = DEFINITIONS["maintenance.backup_postgres_full"]
EXPORT = DEFINITIONS["maintenance.export_user_emails_csv"]
VARIABLE = "MAINTENANCE_EXPORT_USER_EMAILS_CSV_POLICY"


def settings_of(variables: dict[str, str]) -> BeatSettings:
    return BeatSettings.from_layers(Layers("dev", variables, {}))


def moved(definition: JobDefinition, settings: BeatSettings, drawn: int) -> Job:
    """The job somewhere else."""
    job = definition.job(settings)
    if isinstance(job.trigger, IntervalTrigger):
        period_ms = job.trigger.period_ms
        return replace(job, trigger=IntervalTrigger(period_ms, drawn % period_ms))
    return replace(job, trigger=CronTrigger.of_sets(hours={drawn % 24}, minutes={drawn % 60}))


@given(
    st.sampled_from(JOBS), st.integers(0, 10**10), st.sampled_from(["{}", '{"spread": true}', '{"overlap": "skip"}'])
)
def test_read_again_they_give_the_job_that_was_wanted(definition: JobDefinition, drawn: int, policy: str) -> None:
    variables = {} if definition is BACKUP else {definition.policy_field.upper(): policy}
    settings = settings_of(variables)
    wanted = moved(definition, settings, drawn)
    assert can_be_moved(definition, wanted)
    lines = assignments_of(definition, settings, wanted)
    assert definition.job(settings_of({**variables, **lines})) == wanted
    assert (not lines) == (wanted == definition.job(settings))


def test_what_is_overridden_already_stays() -> None:
    settings = settings_of({VARIABLE: '{"spread": true, "jitter_seconds": 2, "overlap": "buffer_one"}'})
    wanted = replace(EXPORT.job(settings), trigger=IntervalTrigger(3_600_000, 620_000))
    [(variable, text)] = assignments_of(EXPORT, settings, wanted).items()
    assert (variable, json.loads(text)) == (
        VARIABLE,
        {"jitter_seconds": 2, "overlap": "buffer_one", "phase_seconds": 620},
    )
    assert '"phase_seconds": 620}' in text


def test_a_line_of_an_env_file_says_it_too(tmp_path: Path) -> None:
    settings = settings_of({})
    job = EXPORT.job(settings)
    windows = parse_windows("22:00-06:00; outside XNYS")
    wanted = replace(job, trigger=IntervalTrigger(3_600_000, 30_500), policies=replace(job.policies, windows=windows))
    lines = {
        **assignments_of(EXPORT, settings, wanted),
        **assignments_of(BACKUP, settings, moved(BACKUP, settings, 23)),
    }
    (tmp_path / ".env.dev.beat").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    read = load(BeatSettings, {"MINSY_ENV_DIR": str(tmp_path)})
    assert EXPORT.job(read) == wanted
    assert BACKUP.job(read) == moved(BACKUP, settings, 23)
    back = assignments_of(EXPORT, read, replace(job, trigger=wanted.trigger))
    assert json.loads(back[VARIABLE]) == {"phase_seconds": 30.5}


def test_only_what_differs_is_set() -> None:
    settings = settings_of({})
    job = BACKUP.job(settings)
    later = replace(job, trigger=CronTrigger.of_sets(hours={2}, minutes={45}))
    assert assignments_of(BACKUP, settings, later) == {"POSTGRES_BACKUP_MINUTE_UTC": "45"}
    assert assignments_of(BACKUP, settings, job) == {}


@pytest.mark.parametrize(
    ("definition", "wanted"),
    [
        (BACKUP, CronTrigger.of_sets(hours={1, 2}, minutes={0})),
        (EXPORT, CronTrigger.of_sets(hours={1}, minutes={0})),
        (EXPORT, OneOff(0)),
    ],
)
def test_what_no_setting_can_say_is_refused(definition: JobDefinition, wanted: CronTrigger | OneOff) -> None:
    job = definition.job(settings_of({}))
    with pytest.raises(ValueError, match=f"no setting gives job {definition.name} the trigger"):
        assignments_of(definition, settings_of({}), replace(job, trigger=wanted))
