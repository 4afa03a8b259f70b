"""Overrides of policies as a person writes them into an env file, and what a wrong one says."""

import json
from pathlib import Path

import pytest

from packages.shared_settings.base import _in_words
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.effective import effective_values
from packages.shared_settings.errors import SettingsError
from packages.shared_settings.loading import load
from packages.shared_settings.policies import PolicyOverrides

VARIABLE = "PAPER_TRADING_SCHEDULER_TICK_POLICY"
EVERYTHING = {
    "jitter_seconds": 2.5,
    "spread": True,
    "phase_seconds": 12.5,
    "catch_up": "all",
    "catch_up_window_minutes": 60,
    "catch_up_limit": 10,
    "max_staleness_minutes": 30,
    "overlap": "buffer_one",
    "trading_hours": "observe",
    "trading_hours_markets": ["XTKS", "24/7"],
    "trading_hours_margin_before_minutes": 0,
    "trading_hours_margin_after_minutes": 20,
    "windows": "22:00-06:00 America/New_York",
    "windows_gate": "enforce",
    "unknown_dates": "fail_closed",
}


def written(directory: Path, text: str, variable: str = VARIABLE) -> dict[str, str]:
    (directory / ".env.dev.beat").write_text(f"{variable}={text}\n")
    return {"MINSY_ENV_DIR": str(directory)}


def test_every_key_can_be_set(tmp_path: Path) -> None:
    given = load(BeatSettings, written(tmp_path, json.dumps(EVERYTHING))).paper_trading_scheduler_tick_policy
    assert given == PolicyOverrides.model_validate({**EVERYTHING, "trading_hours_markets": ("XTKS", "24/7")})
    assert given.given == set(PolicyOverrides.model_fields) == set(EVERYTHING)


def test_without_it_nothing_is_overridden(tmp_path: Path) -> None:
    settings = load(BeatSettings, {"MINSY_ENV_DIR": str(tmp_path)})
    assert settings.paper_trading_scheduler_tick_policy.given == frozenset()


@pytest.mark.parametrize(
    ("text", "said", "allowed"),
    [
        ('{"jiter_seconds": 5}', "unknown key 'jiter_seconds'; did you mean 'jitter_seconds'?", "jitter_seconds, spr"),
        ('{"colour": 5}', "unknown key 'colour'", "max_staleness_minutes"),
        ('{"jitter_seconds": -1}', "'jitter_seconds' is -1:", "seconds from 0 to below 86400"),
        ('{"jitter_seconds": 86400}', "'jitter_seconds' is 86400:", "seconds from 0 to below 86400"),
        ('{"jitter_seconds": NaN}', "'jitter_seconds' is nan:", "seconds from 0 to below 86400"),
        ('{"jitter_seconds": "5"}', "'jitter_seconds' is '5':", "seconds from 0 to below 86400"),
        ('{"catch_up": "some"}', "'catch_up' is 'some':", "skip, latest or all"),
        ('{"catch_up_window_minutes": 0}', "'catch_up_window_minutes' is 0:", "minutes from 1 to 10080"),
        ('{"catch_up_limit": 10001}', "'catch_up_limit' is 10001:", "number from 1 to 10000"),
        ('{"max_staleness_minutes": 0}', "'max_staleness_minutes' is 0:", "minutes from 1 to 10080"),
        ('{"overlap": "cancel"}', "'overlap' is 'cancel':", "allow, skip, buffer_one or cancel_other"),
        ('{"trading_hours": "on"}', "'trading_hours' is 'on':", "off, observe or enforce"),
        ('{"trading_hours_markets": ["nyse"]}', "'nyse' is no code of a market", "MIC codes such as XNYS"),
        ('{"trading_hours_markets": []}', "there is no market in it", "MIC codes such as XNYS"),
        ('{"windows": 22}', "'windows' is 22:", "22:00-06:00 America/New_York"),
        ('{"phase_seconds": -1}', "'phase_seconds' is -1:", "seconds from 0 to below 604800"),
        ('{"phase_seconds": 604800}', "'phase_seconds' is 604800:", "seconds from 0 to below 604800"),
        ('{"spread": "yes"}', "'spread' is 'yes':", "true or false"),
        ('{"unknown_dates": "open"}', "'unknown_dates' is 'open':", "fail_open or fail_closed"),
        ("[]", "'[]': this is no JSON object", "a JSON object with any of jitter_seconds"),
        ("5", "'5': this is no JSON object", "a JSON object with any of jitter_seconds"),
        ("{", "this is no JSON", "a JSON object with any of jitter_seconds"),
    ],
)
def test_a_wrong_one_is_one_line_with_what_is_allowed(tmp_path: Path, text: str, said: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(BeatSettings, written(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.variable == VARIABLE
    assert problem.source == str(tmp_path / ".env.dev.beat")
    assert said in str(caught.value)
    assert allowed in problem.allowed
    assert "\n" not in str(caught.value)


def test_every_wrong_key_has_its_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(BeatSettings, written(tmp_path, '{"overlap": "no", "catch_up": "no"}'))
    assert len(caught.value.problems) == 2


def test_every_key_says_what_is_allowed() -> None:
    assert [key for key, info in PolicyOverrides.model_fields.items() if not _in_words(info)] == []


def test_config_shows_an_override_as_it_can_be_written(tmp_path: Path) -> None:
    text = '{"jitter_seconds": 5.0, "trading_hours_markets": ["XTKS", "24/7"]}'
    values = {value.variable: value for value in effective_values("beat", written(tmp_path, text))}
    assert values[VARIABLE].value == text
    assert values[VARIABLE].source == str(tmp_path / ".env.dev.beat")
    assert values["TRADE_APPROVAL_EXPIRE_PENDING_POLICY"].value is None
    assert values["TRADING_HOURS_MARKETS"].value == "XNYS"


def test_markets_are_codes_with_commas_between_them(tmp_path: Path) -> None:
    settings = load(BeatSettings, written(tmp_path, "XNYS, XLON,24/7,XNYS", "TRADING_HOURS_MARKETS"))
    assert settings.trading_hours_markets == ("XNYS", "XLON", "24/7")


@pytest.mark.parametrize(
    ("variable", "text", "said", "allowed"),
    [
        ("TRADING_HOURS_MARKETS", "New York", "'New York' is no code of a market", "MIC codes such as XNYS, or 24/7"),
        ("TRADING_HOURS_MARKETS", ",", "there is no market in it", "MIC codes such as XNYS, or 24/7"),
        ("TRADING_HOURS_GATE", "true", "input should be 'off'", "off, observe or enforce"),
        ("TRADING_HOURS_UNKNOWN_DATES", "open", "input should be 'fail_open'", "fail_open or fail_closed"),
        ("TRADING_HOURS_MARGIN_BEFORE_MINUTES", "-1", "greater than or equal to 0", "minutes from 0 to 1440"),
        ("TRADING_HOURS_MARGIN_AFTER_MINUTES", "1441", "less than or equal to 1440", "minutes from 0 to 1440"),
        ("CALENDAR_OVERRIDES_FILE", "no/such.toml", "there is no such file", "a file, absolute or in the repository"),
    ],
)
def test_wrong_trading_hours_are_refused(tmp_path: Path, variable: str, text: str, said: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(BeatSettings, written(tmp_path, text, variable))
    (problem,) = caught.value.problems
    assert problem.variable == variable
    assert said in problem.problem
    assert allowed in problem.allowed


def test_a_file_of_overrides_of_the_calendars_is_found(tmp_path: Path) -> None:
    file = tmp_path / "closures.toml"
    file.write_text("")
    assert load(BeatSettings, written(tmp_path, str(file), "CALENDAR_OVERRIDES_FILE")).calendar_overrides_file == file
    assert load(BeatSettings, written(tmp_path, "pyproject.toml", "CALENDAR_OVERRIDES_FILE")).calendar_overrides_file


@pytest.mark.parametrize(
    ("text", "port"), [("9811", 9811), ("0", 0), ("off", None), (" OFF ", None), ("", 9810), ("65535", 65_535)]
)
def test_a_port_can_be_off(tmp_path: Path, text: str, port: int | None) -> None:
    assert load(BeatSettings, written(tmp_path, text, "BEAT_HEALTH_PORT")).beat_health_port == port


@pytest.mark.parametrize("text", ["65536", "-1", "on", "9810.5"])
def test_no_port_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(BeatSettings, written(tmp_path, text, "BEAT_HEALTH_PORT"))
    (problem,) = caught.value.problems
    assert (problem.variable, problem.allowed) == (
        "BEAT_HEALTH_PORT",
        "a port from 1 to 65535, 0 for any free one, or off",
    )
