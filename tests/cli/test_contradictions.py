"""Settings that beat would refuse at its start: the commands that read them refuse them as well, in the same words."""

import json
from pathlib import Path

import pytest

from tests.cli.command_line import Minsy, minsy_in

JOB = "notifications.dispatch_pending"
GIVEN = " in the process environment"
SHORT = {"BACKLOG_TARGET_SECONDS": "60"}
REFUSED = (
    "BACKLOG_TARGET_SECONDS in the process environment: 60 is not below BACKLOG_STANDING_SECONDS (60), so a burst that "
    "drains could not be told from a queue that stands.\n"
)


@pytest.fixture
def minsy(tmp_path: Path) -> Minsy:
    (tmp_path / ".env.dev").write_text("")
    (tmp_path / ".env.dev.beat").write_text("NOTIFICATIONS_ENABLED=true\n")
    return minsy_in(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["up"],
        ["status"],
        ["preview"],
        ["preview", "--diff", "dev", "dev"],
        ["plan"],
        ["explain", JOB],
        ["trigger", JOB],
        ["backfill", JOB, "--from", "2026-11-20", "--to", "2026-11-21", "--yes"],
    ],
    ids=" ".join,
)
def test_a_contradiction_ends_a_command_before_it_does_anything(minsy: Minsy, arguments: list[str]) -> None:
    done = minsy(*arguments, **SHORT)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", REFUSED)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"CONTROL_INTERVAL_SECONDS": "90"},
            ["CONTROL_INTERVAL_SECONDS", "CONTROL_READINGS_STALE_SECONDS in the defaults"],
        ),
        ({"CONTROL_READINGS_STALE_SECONDS": "5"}, ["CONTROL_READINGS_STALE_SECONDS"]),
        ({"BACKLOG_TARGET_SECONDS_BY_QUEUE": '{"mail": 5}'}, ["BACKLOG_TARGET_SECONDS_BY_QUEUE"]),
        ({"BACKLOG_LEAST_RATES": '{"sheddable": 0.5, "sheddable_plus": 0.1}'}, ["BACKLOG_LEAST_RATES"]),
        ({"SLO_OBJECTIVES_FILE": "README.md"}, ["SLO_OBJECTIVES_FILE"]),
        (
            {"MAINTENANCE_EXPORT_USER_EMAILS_CSV_POLICY": '{"spread": true, "phase_seconds": 1}', **SHORT},
            ["MAINTENANCE_EXPORT_USER_EMAILS_CSV_POLICY", "BACKLOG_TARGET_SECONDS"],
        ),
    ],
    ids=",".join,
)
def test_every_contradiction_has_its_line(minsy: Minsy, variables: dict[str, str], said: list[str]) -> None:
    done = minsy("preview", **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.partition(": ")[0].removesuffix(GIVEN) for line in done.stderr.splitlines()] == said


def test_a_contradiction_of_what_if_is_said_to_be_from_there(minsy: Minsy) -> None:
    for command in (["preview"], ["plan"], ["explain", JOB]):
        done = minsy(*command, "--set", "BACKLOG_TARGET_SECONDS=60")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == REFUSED.replace("the process environment", "the command line")


def test_config_shows_the_values_that_contradict_each_other_and_says_so(minsy: Minsy) -> None:
    shown = minsy("config", **SHORT)
    assert (shown.returncode, shown.stderr) == (2, REFUSED)
    [line] = [line.split() for line in shown.stdout.splitlines() if line.startswith("BACKLOG_TARGET_SECONDS ")]
    assert line == ["BACKLOG_TARGET_SECONDS", "60.0", "the", "process", "environment"]
    as_json = minsy("config", "--json", **SHORT)
    assert (as_json.returncode, as_json.stderr) == (2, REFUSED)
    assert any(row["variable"] == "BACKLOG_TARGET_SECONDS" for row in json.loads(as_json.stdout))
    # What is beat's alone concerns no worker.
    assert minsy("config", "--service", "worker_io", **SHORT).returncode == 0


def test_health_asks_the_beat_that_runs_all_the_same(minsy: Minsy) -> None:
    done = minsy("health", "--port", "1", **SHORT)
    assert (done.returncode, done.stdout) == (1, "")
    told, answer = done.stderr.splitlines(keepends=True)
    assert told == REFUSED
    assert answer.startswith("Error: beat does not answer at 127.0.0.1:1")


def test_another_environment_need_not_say_here_where_it_measures(minsy: Minsy, tmp_path: Path) -> None:
    (tmp_path / ".env.other").write_text("")
    file = tmp_path / "objectives.toml"
    file.write_text(
        '[objectives.api]\nmeasure = "external"\ngoal = 0.999\nbad_query = "b[$window]"\ntotal_query = "t[$window]"\n'
    )
    (tmp_path / ".env.other.beat").write_text(f"SLO_OBJECTIVES_FILE={file}\n")
    assert minsy("preview", "--env", "other").returncode == 0
    assert "SLO_PROMETHEUS_URL in the defaults: it is not set" in minsy("preview", MINSY_ENV="other").stderr
    (tmp_path / ".env.other.beat").write_text("BACKLOG_TARGET_SECONDS=60\n")
    done = minsy("preview", "--env", "other")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == REFUSED.replace("the process environment", str(tmp_path / ".env.other.beat"))
