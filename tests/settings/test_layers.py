"""The layers of the settings: who wins, and what a wrong one says."""

from pathlib import Path

import pytest

from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.effective import effective_values
from packages.shared_settings.errors import SettingsError
from packages.shared_settings.layers import ROOT
from packages.shared_settings.loading import KNOWN_VARIABLES, SERVICES, load
from packages.shared_settings.workers import WorkerIoSettings

INTERVAL = "PAPER_TRADING_LOOP_INTERVAL_SECONDS"


@pytest.fixture
def env_dir(tmp_path: Path) -> Path:
    for name in (".env.common", ".env.dev", ".env.dev.beat", ".env.prod"):
        (tmp_path / name).write_text("")
    return tmp_path


def environ(env_dir: Path, **variables: str) -> dict[str, str]:
    return {"MINSY_ENV_DIR": str(env_dir), **variables}


def test_without_files_the_defaults_apply(tmp_path: Path) -> None:
    settings = load(BeatSettings, environ(tmp_path))
    assert settings.paper_trading_loop_interval_seconds == 60
    assert not settings.paper_trading_enabled


def test_each_layer_wins_over_the_ones_below(env_dir: Path) -> None:
    explicit = env_dir / "explicit"
    layers = [".env.common", ".env.dev", ".env.dev.beat", ".env.secrets", "explicit"]
    for value, name in enumerate(layers, start=101):
        (env_dir / name).write_text(f"{INTERVAL}={value}\n")
        # The explicit file exists only in its own turn.
        given = environ(env_dir, MINSY_ENV_FILE=str(explicit)) if explicit.exists() else environ(env_dir)
        assert load(BeatSettings, given).paper_trading_loop_interval_seconds == value
    given = environ(env_dir, MINSY_ENV_FILE=str(explicit), **{INTERVAL: "7"})
    assert load(BeatSettings, given).paper_trading_loop_interval_seconds == 7


def test_an_environment_reads_its_own_files_only(env_dir: Path) -> None:
    (env_dir / ".env.dev").write_text(f"{INTERVAL}=5\n")
    (env_dir / ".env.prod").write_text(f"{INTERVAL}=9\n")
    assert load(BeatSettings, environ(env_dir, MINSY_ENV="prod")).paper_trading_loop_interval_seconds == 9


def test_a_service_does_not_read_the_file_of_another(env_dir: Path) -> None:
    (env_dir / ".env.dev.beat").write_text("LOG_FORMAT=json\n")
    assert load(BeatSettings, environ(env_dir)).log_format == "json"
    assert load(WorkerIoSettings, environ(env_dir)).log_format == "text"


def test_an_empty_value_counts_as_not_set(env_dir: Path) -> None:
    (env_dir / ".env.common").write_text(f"{INTERVAL}=5\n")
    (env_dir / ".env.dev").write_text(f"{INTERVAL}=\n")
    assert load(BeatSettings, environ(env_dir, **{INTERVAL: ""})).paper_trading_loop_interval_seconds == 5


def test_a_dollar_in_a_password_stays(env_dir: Path) -> None:
    (env_dir / ".env.secrets").write_text("REDIS_URL=redis://:pa$HOME@127.0.0.1:1/0\n")
    url = load(BeatSettings, environ(env_dir)).redis_url
    assert url is not None
    assert url.get_secret_value() == "redis://:pa$HOME@127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("POSTGRES_BACKUP_HOUR_UTC", "24", "an hour from 0 to 23"),
        ("POSTGRES_BACKUP_HOUR_UTC", "-1", "an hour from 0 to 23"),
        ("POSTGRES_BACKUP_MINUTE_UTC", "60", "a minute from 0 to 59"),
        (INTERVAL, "0", "seconds from 1 to 86400"),
        (INTERVAL, "-5", "seconds from 1 to 86400"),
        (INTERVAL, "1.5", "seconds from 1 to 86400"),
        (INTERVAL, "soon", "seconds from 1 to 86400"),
        ("USER_EMAIL_CSV_EXPORT_INTERVAL_MINUTES", "0", "minutes from 1 to 10080"),
        ("PAPER_TRADING_ENABLED", "maybe", "true or false"),
        ("LOG_FORMAT", "xml", "text or json"),
        ("DATABASE_URL", "mysql://db/x", "postgresql://"),
        ("MINSY_VAR_DIR", "../elsewhere", "a directory"),
    ],
)
def test_a_wrong_value_names_variable_file_and_what_is_allowed(
    env_dir: Path, variable: str, value: str, allowed: str
) -> None:
    (env_dir / ".env.dev.beat").write_text(f"{variable}={value}\n")
    with pytest.raises(SettingsError) as caught:
        load(BeatSettings, environ(env_dir))
    line = str(caught.value)
    assert "\n" not in line
    assert variable in line
    assert str(env_dir / ".env.dev.beat") in line
    assert allowed in line


def test_a_default_made_from_a_wrong_value_is_not_blamed(env_dir: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(WorkerIoSettings, environ(env_dir, LOG_FORMAT="xml"))
    assert [problem.variable for problem in caught.value.problems] == ["LOG_FORMAT"]


def test_every_wrong_variable_has_its_line(env_dir: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(BeatSettings, environ(env_dir, POSTGRES_BACKUP_HOUR_UTC="24", LOG_FORMAT="xml"))
    assert [problem.variable for problem in caught.value.problems] == ["LOG_FORMAT", "POSTGRES_BACKUP_HOUR_UTC"]


def test_a_typo_in_a_file_is_said_with_the_likely_name(env_dir: Path) -> None:
    (env_dir / ".env.dev").write_text("PAPER_TRADNG_ENABLED=true\n")
    with pytest.raises(SettingsError, match=r"PAPER_TRADNG_ENABLED in .*did you mean PAPER_TRADING_ENABLED"):
        load(BeatSettings, environ(env_dir))


def test_a_file_may_name_the_variable_of_another_service(env_dir: Path) -> None:
    (env_dir / ".env.common").write_text("WORKER_IO_CONCURRENCY=3\n")
    load(BeatSettings, environ(env_dir))
    assert load(WorkerIoSettings, environ(env_dir)).worker_io_concurrency == 3


def test_a_variable_without_a_value_is_refused(env_dir: Path) -> None:
    (env_dir / ".env.dev").write_text("LOG_FORMAT\n")
    with pytest.raises(SettingsError, match="LOG_FORMAT=value"):
        load(BeatSettings, environ(env_dir))


@pytest.mark.parametrize(
    "line", ['DATABASE_URL="postgresql://u:hunter2@db/x', "REDIS_URL='redis://:hunter2@h' junk", "=hunter2", "'hunter2"]
)
def test_a_malformed_line_is_refused_and_not_quoted(env_dir: Path, line: str) -> None:
    (env_dir / ".env.dev").write_text(f"LOG_FORMAT=json\n{line}\n")
    with pytest.raises(SettingsError, match=r"line 2 in .*\.env\.dev: it cannot be read") as caught:
        load(BeatSettings, environ(env_dir))
    assert "hunter2" not in str(caught.value)


def test_a_file_named_explicitly_must_be_there(env_dir: Path) -> None:
    with pytest.raises(SettingsError, match=r"MINSY_ENV_FILE .*no file /nowhere/env"):
        load(BeatSettings, environ(env_dir, MINSY_ENV_FILE="/nowhere/env"))


def test_an_environment_named_explicitly_must_have_a_file(env_dir: Path) -> None:
    with pytest.raises(SettingsError, match=r"'prd'.*\(dev, prod\)"):
        load(BeatSettings, environ(env_dir, MINSY_ENV="prd"))


@pytest.mark.parametrize("name", ["../dev", "a b", "dev/../prod"])
def test_an_environment_is_a_name_not_a_path(env_dir: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="is no name"):
        load(BeatSettings, environ(env_dir, MINSY_ENV=name))


def test_a_file_cannot_choose_the_files(env_dir: Path) -> None:
    (env_dir / ".env.common").write_text("MINSY_ENV=prod\n")
    with pytest.raises(SettingsError, match="no file can set it"):
        load(BeatSettings, environ(env_dir))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REDIS_URL", "http://user:hunter2secret@host"),
        ("DATABASE_URL", "postgresql://user:hunter2secret@host:port/db"),
        ("NOTIFICATION_CHANNELS", "{hunter2secret"),
        ("NOTIFICATION_CHANNELS", '["hunter2secret"]'),
        ("ALPACA_API_SECRET", "hunter2secret"),
    ],
)
def test_an_error_never_shows_a_secret(env_dir: Path, variable: str, value: str) -> None:
    given = environ(env_dir, **{variable: value, "MARKET_DATA_PROVIDER": "alpaca"})
    with pytest.raises(SettingsError) as caught:
        load(WorkerIoSettings, given)
    assert "hunter2secret" not in str(caught.value)
    assert "hunter2secret" not in repr(caught.value)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"CELERY_TASK_SOFT_TIME_LIMIT_SECONDS": "3600"}, "CELERY_TASK_SOFT_TIME_LIMIT_SECONDS"),
        ({"CELERY_VISIBILITY_TIMEOUT_SECONDS": "3600"}, "CELERY_VISIBILITY_TIMEOUT_SECONDS"),
        ({"MARKET_DATA_PROVIDER": "alpaca"}, "MARKET_DATA_PROVIDER"),
        ({"POSTGRES_BACKUP_TIMEOUT_SECONDS": "3300"}, "POSTGRES_BACKUP_TIMEOUT_SECONDS"),
        ({"BACKTEST_HEARTBEAT_SECONDS": "1000"}, "BACKTEST_HEARTBEAT_SECONDS"),
        ({"NOTIFICATIONS_BACKOFF_CAP_SECONDS": "1"}, "NOTIFICATIONS_BACKOFF_CAP_SECONDS"),
    ],
)
def test_a_contradiction_is_refused_by_name(env_dir: Path, variables: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(WorkerIoSettings, environ(env_dir, **variables))
    assert [problem.variable for problem in caught.value.problems] == [named]


def test_directories_follow_the_var_directory(env_dir: Path) -> None:
    settings = load(WorkerIoSettings, environ(env_dir, MINSY_VAR_DIR="/srv/minsy"))
    assert settings.postgres_backup_directory == Path("/srv/minsy/backups")
    assert settings.user_email_csv_export_directory == Path("/srv/minsy/exports")
    assert load(WorkerIoSettings, environ(env_dir, MINSY_VAR_DIR="data")).minsy_var_dir == ROOT / "data"


def test_effective_values_say_where_each_came_from_and_mask_secrets(env_dir: Path) -> None:
    (env_dir / ".env.dev").write_text(
        'REDIS_URL=redis://:hunter2@127.0.0.1:6379/0\nNOTIFICATION_CHANNELS={"ops": "slack://hunter2"}\n'
    )
    values = {
        value.variable: value
        for value in effective_values(
            "worker_io", environ(env_dir, WORKER_IO_CONCURRENCY="3", ALPACA_API_KEY="hunter2")
        )
    }
    assert values["WORKER_IO_CONCURRENCY"].source == "the process environment"
    assert values["REDIS_URL"].source == str(env_dir / ".env.dev")
    assert values["REDIS_URL"].value == "redis://:***@127.0.0.1:6379/0"
    assert values["LOG_LEVEL"].source == "default"
    assert values["DATABASE_URL"].value is None
    assert "hunter2" not in repr(values)


@pytest.mark.parametrize("service", sorted(SERVICES))
@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_files_of_the_repository_are_valid(service: str, environment: str) -> None:
    assert effective_values(service, {"MINSY_ENV": environment})
    assert (ROOT / "env" / f".env.{environment}.{service}").is_file()


def test_the_example_of_secrets_names_known_variables() -> None:
    lines = (ROOT / "env" / ".env.secrets.example").read_text().splitlines()
    named = {
        line.removeprefix("#").partition("=")[0] for line in lines if "=" in line and " " not in line.partition("=")[0]
    }
    assert {"REDIS_URL", "DATABASE_URL", "NOTIFICATION_CHANNELS"} <= named
    assert named <= KNOWN_VARIABLES


def test_every_field_says_what_is_allowed() -> None:
    silent = [
        (service, field)
        for service, settings in SERVICES.items()
        for field in settings.model_fields
        if not settings.allowed(field)
    ]
    assert silent == []
