"""The shared Celery app, looked at from outside: each test imports it in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from packages.infra.queue.process_signals import typed_log_level
from packages.shared_settings.layers import ROOT
from tests.queue.own_process import FLAGS, printed, python, without_settings


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return without_settings(tmp_path)


def schedule(environ: dict[str, str], argument: str = "True") -> set[str]:
    code = f"""
from packages.infra.queue.celery_app import _build_beat_schedule
print(json.dumps(list(_build_beat_schedule(enabled={argument}))))"""
    return set(printed(code, environ))


def test_with_every_flag_off_the_schedule_is_empty(environ: dict[str, str]) -> None:
    assert schedule(environ) == set()


@pytest.mark.parametrize(("flag", "jobs"), FLAGS.items())
def test_each_flag_alone_gives_exactly_its_jobs(environ: dict[str, str], flag: str, jobs: set[str]) -> None:
    assert schedule({**environ, flag: "true"}) == jobs


def test_disabled_means_empty_whatever_the_flags(environ: dict[str, str]) -> None:
    flags = dict.fromkeys(FLAGS, "true")
    assert schedule({**environ, **flags}, "False") == set()
    assert len(schedule({**environ, **flags})) == 7


def test_an_entry_has_schedule_queue_and_expiry(environ: dict[str, str]) -> None:
    code = """
from packages.infra.queue.celery_app import _build_beat_schedule
entries = _build_beat_schedule()
shown = {name: [e["task"], repr(e["schedule"]), e["options"]] for name, e in entries.items()}
print(json.dumps(shown))"""
    given = {
        **environ,
        "POSTGRES_BACKUP_ENABLED": "1",
        "POSTGRES_BACKUP_HOUR_UTC": "3",
        "POSTGRES_BACKUP_MINUTE_UTC": "7",
        "NOTIFICATIONS_ENABLED": "1",
        "NOTIFICATIONS_LOOP_INTERVAL_SECONDS": "20",
    }
    assert printed(code, given) == {
        "maintenance.backup_postgres_full": [
            "maintenance.backup_postgres_full",
            "cron 7 3 * * * in UTC",
            {"queue": "maintenance", "expires": 43200.0},
        ],
        "notifications.dispatch_pending": [
            "notifications.dispatch_pending",
            "every 0:00:20",
            {"queue": "notifications", "expires": 40.0},
        ],
    }


@pytest.mark.parametrize(
    ("entry_point", "consumed", "tasks"),
    [
        ("beat", None, set()),
        ("worker_cpu", {"backtest", "stress"}, {"backtest.run"}),
        (
            "worker_io",
            {"maintenance", "market_data", "paper_trading", "notifications", "trade_approval"},
            {job for jobs in FLAGS.values() for job in jobs} | {"paper_trading.run_deployment"},
        ),
    ],
)
def test_a_profile_has_its_queues_and_tasks_only(
    environ: dict[str, str], entry_point: str, consumed: set[str] | None, tasks: set[str]
) -> None:
    code = f"""
from apps.{entry_point}.celery_app import celery_app
celery_app.loader.import_default_modules()
queues = celery_app.amqp.queues
own = [name for name in celery_app.tasks if not name.startswith("celery.")]
print(json.dumps([sorted(queues.consume_from), own, sorted(queues)]))"""
    consume_from, own, known = printed(code, {**environ, "REDIS_URL": "redis://127.0.0.1:1/0"})
    assert set(own) == tasks
    assert set(consume_from) == (consumed or set(known))
    assert len(known) == 7


@pytest.mark.parametrize(
    ("entry_point", "flag", "expected"),
    [
        ("beat", "true", [1, True]),
        ("beat", "false", [0, True]),
        ("worker_io", "true", [0, None]),
    ],
)
def test_only_beat_has_entries_and_a_source_to_read_them_again(
    environ: dict[str, str], entry_point: str, flag: str, expected: list[Any]
) -> None:
    code = f"""
from apps.{entry_point}.celery_app import celery_app
conf = celery_app.conf
source = conf.get("beat_schedule_source")
print(json.dumps([len(conf.beat_schedule), source and dict(source.read()) == conf.beat_schedule]))"""
    given = {**environ, "REDIS_URL": "redis://127.0.0.1:1/0", "NOTIFICATIONS_ENABLED": flag}
    assert printed(code, given) == expected


@pytest.mark.parametrize(("profile", "has_one"), [("beat", [True]), ("all", [True]), ("io", []), ("cpu", [])])
def test_who_publishes_has_a_control(environ: dict[str, str], profile: str, has_one: list[bool]) -> None:
    code = """
from packages.infra.queue.celery_app import celery_app
control = celery_app.conf.get("beat_control")
print(json.dumps([control.policy is not None] if control else []))"""
    assert printed(code, {**environ, "MINSY_CELERY_PROFILE": profile}) == has_one


def test_objectives_may_be_about_every_task_there_is(environ: dict[str, str]) -> None:
    code = """
from packages.infra.queue.beat_control import TASKS
from packages.infra.queue.celery_app import celery_app
celery_app.loader.import_default_modules()
tasks = [name for name in celery_app.tasks if not name.startswith("celery.")]
print(json.dumps([sorted(TASKS), sorted(tasks)]))"""
    known, there = printed(code, {**environ, "MINSY_CELERY_PROFILE": "all"})
    assert known == there


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"MINSY_CELERY_PROFILE": "gpu"},
            "MINSY_CELERY_PROFILE in the process environment: 'gpu' is no profile. Allowed: one of beat, cpu, io, all.",
        ),
        ({"POSTGRES_BACKUP_HOUR_UTC": "24"}, "POSTGRES_BACKUP_HOUR_UTC"),
        ({"MINSY_SERVICE": "web"}, "MINSY_SERVICE"),
        ({"MINSY_ENV_FILE": "/nowhere/env"}, "MINSY_ENV_FILE"),
        ({"NOTIFICATIONS_DISPATCH_PENDING_POLICY": '{"jiter_seconds": 1}'}, "did you mean 'jitter_seconds'?"),
        (
            {"MINSY_CELERY_PROFILE": "beat", "NOTIFICATIONS_DISPATCH_PENDING_POLICY": '{"jitter_seconds": 60}'},
            "NOTIFICATIONS_DISPATCH_PENDING_POLICY in the process environment: jitter_seconds 60 is not below",
        ),
        (
            {"BACKLOG_TARGET_SECONDS": "60"},
            "BACKLOG_TARGET_SECONDS in the process environment: 60 is not below BACKLOG_STANDING_SECONDS (60)",
        ),
        ({"BACKLOG_LEAST_RATES": '{"critical": 0}'}, "'critical' is 0: input should be greater than or equal to 0.001"),
        (
            {"SLO_OBJECTIVES_FILE": "README.md"},
            "SLO_OBJECTIVES_FILE in the process environment: README.md: the file: is no TOML",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    environ: dict[str, str], variables: dict[str, str], said: str
) -> None:
    done = python("import packages.infra.queue.celery_app", {**environ, "MINSY_SERVICE": "beat", **variables})
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "url"),
    [(["apps.beat.celery_app", "beat"], "REDIS_URL"), (["apps.worker_io.celery_app", "worker"], "REDIS_URL")],
)
def test_without_a_broker_the_command_refuses_in_one_line(
    environ: dict[str, str], arguments: list[str], url: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", *arguments],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"{url} is not set" in done.stderr
    assert "minsy services start" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_with_the_profile_of_beat_refuses(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "apps.beat.celery_app", "worker"],
        env={**environ, "REDIS_URL": "redis://127.0.0.1:1/0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "publishes only" in done.stderr


def test_beat_asks_no_result_backend(environ: dict[str, str]) -> None:
    code = """
from apps.beat.celery_app import celery_app
print(json.dumps(type(celery_app.backend).__name__))"""
    assert printed(code, {**environ, "REDIS_URL": "redis://127.0.0.1:1/0"}) == "DisabledBackend"


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (["celery", "beat"], False),
        (["celery", "beat", "-l", "info"], True),
        (["celery", "beat", "--loglevel=info"], True),
    ],
)
def test_a_typed_log_level_wins(arguments: list[str], *, typed: bool) -> None:
    assert typed_log_level(arguments) is typed


def test_tls_urls_check_the_certificate(environ: dict[str, str]) -> None:
    code = """
from packages.infra.queue.celery_app import celery_app
conf = celery_app.conf
print(json.dumps([str(conf.broker_use_ssl), str(conf.redis_backend_use_ssl)]))"""
    given = {**environ, "REDIS_URL": "rediss://:secret@redis.example:6379/0", "REDIS_TLS_CA_FILE": "/etc/ca.pem"}
    broker, backend = printed(code, given)
    for options in (broker, backend):
        assert "CERT_REQUIRED" in options
        assert "/etc/ca.pem" in options


def test_safety_relevant_configuration(environ: dict[str, str]) -> None:
    code = """
from apps.worker_io.celery_app import celery_app
names = ["task_acks_late", "task_reject_on_worker_lost", "task_time_limit", "task_soft_time_limit", "accept_content",
         "task_serializer", "result_serializer", "result_expires", "worker_concurrency", "broker_transport_options"]
print(json.dumps({name: celery_app.conf[name] for name in names}))"""
    conf = printed(code, {**environ, "REDIS_URL": "redis://127.0.0.1:1/0"})
    assert conf["task_acks_late"] is True
    assert conf["task_reject_on_worker_lost"] is True
    assert (conf["task_time_limit"], conf["task_soft_time_limit"]) == (3600, 3300)
    assert conf["broker_transport_options"]["visibility_timeout"] > conf["task_time_limit"]
    assert conf["accept_content"] == ["json"]
    assert (conf["task_serializer"], conf["result_serializer"]) == ("json", "json")
    assert conf["result_expires"] == 86400


def test_tasks_are_retried_at_most_three_times_with_backoff_and_jitter(environ: dict[str, str]) -> None:
    code = """
from apps.worker_io.celery_app import celery_app
celery_app.loader.import_default_modules()
tasks = [task for name, task in celery_app.tasks.items() if not name.startswith("celery.")]
print(json.dumps([[t.max_retries, t.retry_backoff, t.retry_backoff_max, t.retry_jitter] for t in tasks]))"""
    options = printed(code, {**environ, "REDIS_URL": "redis://127.0.0.1:1/0"})
    assert options == [[3, 2, 600, True]] * 8
