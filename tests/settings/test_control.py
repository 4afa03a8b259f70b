"""The thresholds of the adaptive control as a person writes them into an env file, and what a wrong one says."""

from pathlib import Path

import pytest

from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.effective import effective_values
from packages.shared_settings.errors import SettingsError
from packages.shared_settings.loading import load


def written(directory: Path, text: str) -> dict[str, str]:
    (directory / ".env.dev.beat").write_text(f"{text}\n")
    return {"MINSY_ENV_DIR": str(directory)}


@pytest.mark.parametrize(
    ("text", "said", "allowed"),
    [
        ("BACKLOG_GATE=on", "'on': input should be 'off'", "off, observe or enforce"),
        ("SLO_GATE=true", "'true': input should be 'off'", "off, observe or enforce"),
        ("CONTROL_INTERVAL_SECONDS=0", "'0': input should be greater", "seconds from 1 to 3600"),
        ("CONTROL_INTERVAL_SECONDS=0.5", "'0.5': input should be a valid integer", "seconds from 1 to 3600"),
        ("BACKLOG_TARGET_SECONDS=nan", "'nan': input should be a finite number", "seconds from 0.1 to 86400"),
        ("BACKLOG_TARGET_SECONDS=5s", "'5s': input should be a valid number", "seconds from 0.1 to 86400"),
        ("BACKLOG_TARGET_MESSAGES=0", "'0': input should be greater", "a whole number from 1 to 100000"),
        ("BACKLOG_TARGET_MESSAGES=1.5", "'1.5': input should be a valid integer", "a whole number from 1 to 100000"),
        (
            'BACKLOG_TARGET_SECONDS_BY_QUEUE={"a": 0}',
            "'a' is 0: input should be greater",
            'such as {"maintenance": 15}',
        ),
        ('BACKLOG_TARGET_SECONDS_BY_QUEUE={"a": "5"}', "'a' is '5': input should be", 'such as {"maintenance": 15}'),
        ('BACKLOG_TARGET_SECONDS_BY_QUEUE={"a": true}', "'a' is True: input should be", 'such as {"maintenance": 15}'),
        ("BACKLOG_TARGET_SECONDS_BY_QUEUE=[5]", "'[5]': input should be a valid dict", 'such as {"maintenance": 15}'),
        ("BACKLOG_TARGET_SECONDS_BY_QUEUE={", "this is no JSON", 'such as {"maintenance": 15}'),
        ("BACKLOG_DECREASE=1", "'1': input should be less", "a share from 0.001 to 0.999"),
        ("BACKLOG_INCREASE=0", "'0': input should be greater", "a share from 0.001 to 1"),
        ('BACKLOG_LEAST_RATES={"critical": 0}', "'critical' is 0: input should be greater", "a share from 0.001 to 1"),
        ('BACKLOG_LEAST_RATES={"sheddable": 1.1}', "'sheddable' is 1.1: input should be less", "a share from 0 to 1"),
        ('BACKLOG_LEAST_RATES={"critical_plus": 1}', "unknown key 'critical_plus'", "sheddable_plus, critical, each"),
        ("SLO_OBJECTIVES_FILE=no/such.toml", "'no/such.toml': there is no such file", "a file, absolute or in the"),
        ("SLO_PROMETHEUS_URL=ftp://x", "the scheme 'ftp' is not known here", "http://[user:password@]host"),
        ("SLO_PROMETHEUS_URL=http://", "there is no host in it", "http://[user:password@]host"),
        (
            "SLO_PROMETHEUS_URL=http://x/?q=1",
            "what follows a ? or # has no meaning here",
            "http://[user:password@]host",
        ),
        ("SLO_DWELL_MINUTES=0", "'0': input should be greater", "minutes from 1 to 10080"),
        ("SLO_BURN_RATE_L3=0", "'0': input should be greater", "a number from 0.1 to 1000"),
        ("SLO_BURN_RATE_L1=fast", "'fast': input should be a valid number", "a number from 0.1 to 1000"),
        ("FAILING_TARGET_MOST_SHED=1", "'1': input should be less", "a share from 0.001 to 0.999"),
    ],
)
def test_a_wrong_one_is_one_line_with_what_is_allowed(tmp_path: Path, text: str, said: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(BeatSettings, written(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.variable == text.partition("=")[0]
    assert problem.problem.startswith(said)
    assert allowed in problem.allowed
    assert "\n" not in str(caught.value)


def test_the_password_of_a_prometheus_is_never_shown(tmp_path: Path) -> None:
    url = "https://reader:hunter2@metrics.example/prometheus"
    environ = written(tmp_path, f"SLO_PROMETHEUS_URL={url}")
    settings = load(BeatSettings, environ)
    assert settings.slo_prometheus_url is not None
    assert settings.slo_prometheus_url.get_secret_value() == url
    shown = {value.variable: value.value for value in effective_values("beat", environ)}
    assert shown["SLO_PROMETHEUS_URL"] == "https://reader:***@metrics.example/prometheus"
    assert "hunter2" not in repr(settings)
    with pytest.raises(SettingsError) as caught:
        load(BeatSettings, written(tmp_path, f"SLO_PROMETHEUS_URL={url}?x"))
    assert "hunter2" not in str(caught.value)


def test_what_is_given_by_queue_can_be_written_again(tmp_path: Path) -> None:
    text = '{"maintenance": 15.0, "notifications": 0.75}'
    environ = written(tmp_path, f"BACKLOG_TARGET_SECONDS_BY_QUEUE={text}")
    shown = {value.variable: value.value for value in effective_values("beat", environ)}
    assert shown["BACKLOG_TARGET_SECONDS_BY_QUEUE"] == text
