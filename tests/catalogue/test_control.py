"""The thresholds of the adaptive control by settings: defaults, units, and which contradictions are refused."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.catalogue.control import SlowTarget, control_policy, slow_targets
from packages.catalogue.jobs import JOBS, enabled_jobs
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import BacklogPolicy, ControlPolicy, SloPolicy, TargetPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode, PolicyError
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.effective import effective_values
from packages.shared_settings.errors import SettingsError
from packages.shared_settings.layers import ROOT
from packages.shared_settings.loading import load

ALL_ON = {definition.flag: True for definition in JOBS}
EXTERNAL = Objective("api", Measure.EXTERNAL, 999_000, bad_query="bad[$window]", total_query="all[$window]")
PROMETHEUS = "http://127.0.0.1:9090"
CONTROL_FIELDS = [
    name for name in BeatSettings.model_fields if name.startswith(("control_", "backlog_", "slo_", "failing_target_"))
]


def policy(**fields: Any) -> ControlPolicy:  # noqa: ANN401  # values of settings
    return control_policy(BeatSettings.model_validate(fields))


def refused(*objectives: Objective, **fields: Any) -> list[tuple[str, str]]:  # noqa: ANN401  # as above
    with pytest.raises(SettingsError) as caught:
        control_policy(BeatSettings.model_validate(fields), objectives)
    return [(problem.variable, problem.problem) for problem in caught.value.problems]


def test_the_defaults_are_those_of_the_policies() -> None:
    assert control_policy(BeatSettings()) == ControlPolicy()


def test_every_threshold_can_be_set() -> None:
    given = policy(
        control_interval_seconds=2,
        control_readings_stale_seconds=20,
        backlog_gate="observe",
        backlog_target_seconds=2.5,
        backlog_target_seconds_by_queue={"maintenance": 15, "notifications": 0.75},
        backlog_target_messages=30,
        backlog_standing_seconds=40,
        backlog_look_again_seconds=8,
        backlog_drained_seconds=50,
        backlog_calm_share=0.3,
        backlog_decrease=0.2,
        backlog_most_decrease=0.4,
        backlog_grave_targets=6,
        backlog_increase=0.05,
        backlog_most_doubled=0,
        backlog_least_rates={"sheddable": 0.01, "critical": 0.5},
        slo_gate="off",
        slo_dwell_minutes=5,
        slo_least_events=50,
        slo_burn_rate_l1=2,
        slo_burn_rate_l2=5.5,
        slo_burn_rate_l3=10,
        failing_target_gate="observe",
        failing_target_succeeding=0.9,
        failing_target_most_shed=0.7,
        failing_target_least_runs=30,
    )
    assert given == ControlPolicy(
        interval_ms=2_000,
        stale_ms=20_000,
        backlog=BacklogPolicy(
            mode=GateMode.OBSERVE,
            target_ms=2_500,
            targets_ms={"maintenance": 15_000, "notifications": 750},
            target_messages=30,
            standing_ms=40_000,
            again_ms=8_000,
            drained_ms=50_000,
            calm=300_000,
            decrease=200_000,
            most_decrease=400_000,
            grave=6,
            increase=50_000,
            most_doubled=0,
            least_rates={
                Criticality.SHEDDABLE: 10_000,
                # What is not given stays as it was.
                Criticality.SHEDDABLE_PLUS: 50_000,
                Criticality.CRITICAL: 500_000,
            },
        ),
        slo=SloPolicy(
            mode=GateMode.OFF, dwell_ms=5 * MINUTE_MS, least_events=50, burns=(2_000_000, 5_500_000, 10_000_000)
        ),
        target=TargetPolicy(mode=GateMode.OBSERVE, succeeding=900_000, most_shed=700_000, least_runs=30),
    )
    # Each of them differs from its default, or this test would not see that one is not taken.
    usual = ControlPolicy()
    for part, default in ((given, usual), (given.backlog, usual.backlog), (given.target, usual.target)):
        names = type(default).__dataclass_fields__
        assert [name for name in names if getattr(part, name) == getattr(default, name)] == []


@pytest.mark.parametrize(
    ("fields", "variable", "said"),
    [
        ({"backlog_target_seconds": 60}, "BACKLOG_TARGET_SECONDS", "60 is not below BACKLOG_STANDING_SECONDS (60)"),
        (
            {"backlog_target_seconds_by_queue": {"maintenance": 90}},
            "BACKLOG_TARGET_SECONDS_BY_QUEUE",
            "'maintenance' is 90, which is not below BACKLOG_STANDING_SECONDS (60)",
        ),
        (
            {"backlog_target_seconds_by_queue": {"maintenence": 9}},
            "BACKLOG_TARGET_SECONDS_BY_QUEUE",
            "unknown queue 'maintenence'; did you mean 'maintenance'?",
        ),
        (
            {"backlog_target_seconds_by_queue": {"zzz": 9}},
            "BACKLOG_TARGET_SECONDS_BY_QUEUE",
            "unknown queue 'zzz'; there are backtest, stress, maintenance",
        ),
        (
            {"control_interval_seconds": 61, "control_readings_stale_seconds": 61},
            "CONTROL_INTERVAL_SECONDS",
            "61 is above BACKLOG_STANDING_SECONDS (60)",
        ),
        (
            {"control_readings_stale_seconds": 4},
            "CONTROL_READINGS_STALE_SECONDS",
            "4 is below CONTROL_INTERVAL_SECONDS (10)",
        ),
        (
            {"backlog_look_again_seconds": 61},
            "BACKLOG_LOOK_AGAIN_SECONDS",
            "61 is above BACKLOG_STANDING_SECONDS (60)",
        ),
        ({"backlog_most_decrease": 0.02}, "BACKLOG_MOST_DECREASE", "0.02 is below BACKLOG_DECREASE (0.04)"),
        (
            {"backlog_least_rates": {"sheddable": 1, "sheddable_plus": 0, "critical": 1}},
            "BACKLOG_LEAST_RATES",
            "sheddable is 1, above sheddable_plus (0)",
        ),
        (
            {"backlog_least_rates": {"critical": 0.01}},
            "BACKLOG_LEAST_RATES",
            "sheddable_plus is 0.05, above critical (0.01)",
        ),
        ({"slo_burn_rate_l2": 0.5}, "SLO_BURN_RATE_L2", "0.5 is below SLO_BURN_RATE_L1 (1)"),
        ({"slo_burn_rate_l3": 5}, "SLO_BURN_RATE_L3", "5 is below SLO_BURN_RATE_L2 (6)"),
        # Of a gate that is off, too: turning it on brings no surprise.
        ({"backlog_gate": "off", "backlog_target_seconds": 61}, "BACKLOG_TARGET_SECONDS", "61 is not below"),
    ],
)
def test_a_contradiction_names_both_variables(fields: dict[str, Any], variable: str, said: str) -> None:
    ((named, problem),) = refused(**fields)
    assert named == variable
    assert problem.startswith(said)


def test_least_rates_that_do_not_rise_with_what_matters_are_told_pair_by_pair() -> None:
    told = refused(backlog_least_rates={"sheddable": 1, "sheddable_plus": 0.5, "critical": 0.01})
    assert [problem.partition(", which")[0] for _, problem in told] == [
        "sheddable is 1, above sheddable_plus (0.5)",
        "sheddable_plus is 0.5, above critical (0.01)",
    ]
    given = BeatSettings.model_validate({"backlog_least_rates": {"sheddable": 1, "sheddable_plus": 1}})
    assert set(control_policy(given).backlog.least_rates.values()) == {ONE}


def test_all_contradictions_are_told_at_once() -> None:
    told = refused(
        backlog_standing_seconds=4, backlog_target_seconds_by_queue={"nowhere": 1}, backlog_most_decrease=0.01
    )
    assert [variable for variable, _ in told] == [
        "CONTROL_INTERVAL_SECONDS",
        "BACKLOG_LOOK_AGAIN_SECONDS",
        "BACKLOG_MOST_DECREASE",
        "BACKLOG_TARGET_SECONDS",
        "BACKLOG_TARGET_SECONDS_BY_QUEUE",
    ]


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_an_external_objective_needs_a_server_to_ask(mode: str) -> None:
    ((variable, problem),) = refused(EXTERNAL, slo_gate=mode)
    assert variable == "SLO_PROMETHEUS_URL"
    assert problem == "it is not set, and objectives of SLO_OBJECTIVES_FILE are to be asked for there: api"
    asked = BeatSettings.model_validate({"slo_gate": mode, "slo_prometheus_url": PROMETHEUS})
    assert control_policy(asked, (EXTERNAL,)).slo.objectives == (EXTERNAL,)
    assert control_policy(BeatSettings(slo_gate="off"), (EXTERNAL,)).slo.mode is GateMode.OFF


SECONDS = st.integers(1, 120)
SHARES = st.floats(0.001, 0.999)


@given(
    interval=SECONDS,
    stale=SECONDS,
    target=st.floats(0.1, 120),
    standing=SECONDS,
    again=SECONDS,
    decrease=SHARES,
    most=SHARES,
)
def test_what_the_policies_refuse_is_refused_as_a_setting_and_nothing_else(
    interval: int, stale: int, target: float, standing: int, again: int, decrease: float, most: float
) -> None:
    expected: ControlPolicy | None = None
    with suppress(PolicyError):
        backlog = BacklogPolicy(
            target_ms=round(target * SECOND_MS),
            standing_ms=standing * SECOND_MS,
            again_ms=again * SECOND_MS,
            decrease=round(decrease * ONE),
            most_decrease=round(most * ONE),
        )
        expected = ControlPolicy(interval_ms=interval * SECOND_MS, stale_ms=stale * SECOND_MS, backlog=backlog)
    found: ControlPolicy | None = None
    with suppress(SettingsError):
        found = policy(
            control_interval_seconds=interval,
            control_readings_stale_seconds=stale,
            backlog_target_seconds=target,
            backlog_standing_seconds=standing,
            backlog_look_again_seconds=again,
            backlog_decrease=decrease,
            backlog_most_decrease=most,
        )
    assert found == expected


ENVIRONMENTS = [{}, {"MINSY_ENV": "dev"}, {"MINSY_ENV": "prod"}]


@pytest.mark.parametrize("environ", ENVIRONMENTS, ids=["defaults", "dev", "prod"])
def test_the_thresholds_suit_the_seven_jobs(environ: dict[str, str], tmp_path: Path) -> None:
    settings = load(BeatSettings, environ or {"MINSY_ENV_DIR": str(tmp_path)})
    jobs = enabled_jobs(settings.model_copy(update=ALL_ON))
    given = control_policy(settings)
    assert len(jobs) == 7
    for job in jobs:
        target_ms = given.backlog.target_of(job.queue)
        if isinstance(job.trigger, IntervalTrigger):
            assert target_ms < job.trigger.period_ms
        # What waits so long must not be thrown away by the worker before anybody notices.
        assert job.expires_ms is not None
        assert target_ms < job.expires_ms
    assert slow_targets(given.backlog, jobs) == ()
    # Who is throttled first owes no more than the others.
    rates = [given.backlog.least_rates[each] for each in (Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS)]
    assert [*rates, given.backlog.least_rates[Criticality.CRITICAL]] == sorted(given.backlog.least_rates.values())


def test_a_target_above_a_period_is_told_by_the_shortest_job_of_the_queue() -> None:
    settings = BeatSettings.model_validate(
        {
            **ALL_ON,
            "notifications_loop_interval_seconds": 4,
            "trading_approval_expire_scan_interval_seconds": 5,
            "backtest_stale_job_cleanup_interval_minutes": 1,
            "user_email_csv_export_interval_minutes": 2,
            "backlog_standing_seconds": 600,
            "backlog_target_seconds_by_queue": {"maintenance": 300},
        }
    )
    assert set(slow_targets(control_policy(settings).backlog, enabled_jobs(settings))) == {
        SlowTarget("notifications", 5_000, "notifications.dispatch_pending", 4_000),
        SlowTarget("maintenance", 300_000, "maintenance.fail_stale_backtest_jobs", 60_000),
    }


def test_config_shows_every_threshold_and_what_it_may_be(tmp_path: Path) -> None:
    shown = {value.variable: value for value in effective_values("beat", {"MINSY_ENV_DIR": str(tmp_path)})}
    assert len(CONTROL_FIELDS) == 28
    for field in CONTROL_FIELDS:
        assert shown[field.upper()].allowed
    assert shown["BACKLOG_LEAST_RATES"].value == '{"sheddable": 0.0, "sheddable_plus": 0.05, "critical": 1.0}'


def test_every_threshold_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "adaptive.md").read_text(encoding="utf-8")
    rows = {
        cells[1].strip(" `"): cells[2].strip(" `")
        for cells in (line.split("|") for line in text.splitlines() if line.startswith("| `"))
    }
    shown = {value.variable: value.value for value in effective_values("beat", {"MINSY_ENV_DIR": "/nowhere"})}
    for variable in (field.upper() for field in CONTROL_FIELDS):
        default = shown[variable] or "not set"
        assert rows[variable] == {"none": "{}"}.get(default, default.removesuffix(".0")), variable
