import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.catalogue.jobs import JOBS
from packages.catalogue.queues import QUEUES
from packages.infra.objectives import Known, ObjectivesError, read_objectives
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import SloPolicy
from packages.scheduling.control.shares import ONE
from packages.shared_settings.layers import ROOT

EXAMPLE = ROOT / "env" / "objectives.example.toml"
KNOWN = Known([job.name for job in JOBS], [queue.name for queue in QUEUES])
EXTERNAL = """
    [objectives.api]
    measure = "external"
    goal = 0.999
    bad_query = 'sum(increase(bad[$window]))'
    total_query = 'sum(increase(all[$window]))'
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "ours.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusals(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(ObjectivesError) as refused:
        read_objectives(written(tmp_path, text), KNOWN)
    assert str(refused.value).splitlines() == [f"ours.toml: {place}: {text}" for place, text in refused.value.problems]
    return [*refused.value.problems]


def test_every_key_is_read(tmp_path: Path) -> None:
    text = """
    [objectives."orders.begin"]
    queue = "notifications"
    measure = "start_delay"
    within_seconds = 0.25
    goal = 0.999_9
    sheds = ["maintenance", "market_data"]

    [objectives.ticks]
    task = "paper_trading.scheduler_tick"
    measure = "success"
    goal = 0.123456
    """
    assert read_objectives(written(tmp_path, text + EXTERNAL), KNOWN) == (
        Objective(
            "orders.begin",
            Measure.START_DELAY,
            999_900,
            queue="notifications",
            within_ms=250,
            sheds=frozenset({"maintenance", "market_data"}),
        ),
        Objective("ticks", Measure.SUCCESS, 123_456, task="paper_trading.scheduler_tick"),
        Objective(
            "api",
            Measure.EXTERNAL,
            999_000,
            bad_query="sum(increase(bad[$window]))",
            total_query="sum(increase(all[$window]))",
        ),
    )


def test_no_objective_is_fine(tmp_path: Path) -> None:
    assert read_objectives(written(tmp_path, "# none yet\n"), KNOWN) == ()


def test_the_example_suits_the_jobs() -> None:
    objectives = read_objectives(EXAMPLE, KNOWN)
    assert SloPolicy(objectives=objectives).objectives == objectives
    assert {objective.measure for objective in objectives} == {*Measure} - {Measure.EXTERNAL}
    assert {objective.queue for objective in objectives} >= {"notifications", "trade_approval"}


def test_what_the_example_has_in_comments_is_valid_too(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=\[|\w+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    objectives = read_objectives(written(tmp_path, text), KNOWN)
    assert [objective.name for objective in objectives if objective.measure is Measure.EXTERNAL] == ["api"]


TICKS = '[objectives.ticks]\nmeasure = "success"\ngoal = 0.99\ntask = "paper_trading.scheduler_tick"\n'
DELAY = '[objectives.ticks]\nmeasure = "start_delay"\ngoal = 0.99\nqueue = "notifications"\n'
BOUNDS = "0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600"
GOAL = "must be a share above 0 and below 1, such as 0.99, with at most six decimals"
QUERY = "must be a query with $window in it that counts events, of at most 4000 characters"


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("[targets]\n", "targets", "is not known here; allowed: [objectives.NAME]"),
        ("objectives = 3\n", "objectives", "must be tables, [objectives.NAME]"),
        ("[objectives]\nticks = 3\n", "[objectives.ticks]", "must be a table with measure, goal, sheds, task, queue, "),
        ('[objectives."a b"]\n' + TICKS.partition("\n")[2], "[objectives.a b]", "the name must be 1 to 64 letters"),
        (
            TICKS + "aim = 1\n",
            "[objectives.ticks] aim",
            "is not known here; allowed: measure, goal, sheds, task, queue",
        ),
        (TICKS + 'shed = ["x"]\n', "[objectives.ticks] shed", "is not known here (did you mean sheds?); allowed: "),
        (TICKS + "within_seconds = 1\n", "[objectives.ticks] within_seconds", "is not known here for the measure succ"),
        (
            EXTERNAL + 'task = "notifications.dispatch_pending"\n',
            "[objectives.api] task",
            "is not known here for the measure external; allowed: ",
        ),
        (TICKS.replace("success", "speed"), "[objectives.ticks] measure", "must be one of success, start_delay, run_"),
        (TICKS.replace('"success"', "[]"), "[objectives.ticks] measure", "must be one of success, start_delay, run_t"),
        (TICKS + 'queue = "notifications"\n', "[objectives.ticks] task", "must be there, or queue, and not both"),
        (TICKS.replace('tick"', 'tok"'), "[objectives.ticks] task", "there is no task 'paper_trading.scheduler_tok' ("),
        (
            DELAY.replace("notif", "Notif") + "within_seconds = 1\n",
            "[objectives.ticks] queue",
            "there is no queue 'Notifications' (did you mean ",
        ),
        (DELAY, "[objectives.ticks] within_seconds", f"must be what workers count by, one of {BOUNDS}; it is missing"),
        (DELAY + "within_seconds = 15\n", "[objectives.ticks] within_seconds", "must be what workers count by, one of"),
        (
            DELAY + "within_seconds = nan\n",
            "[objectives.ticks] within_seconds",
            f"must be what workers count by, one of {BOUNDS}, not NaN",
        ),
        (DELAY + "within_seconds = true\n", "[objectives.ticks] within_seconds", "must be what workers count by, one "),
        (TICKS + 'sheds = "maintenance"\n', "[objectives.ticks] sheds", "must be a list of queues, such as"),
        (
            TICKS + 'sheds = ["maintenence"]\n',
            "[objectives.ticks] sheds",
            "there is no queue 'maintenence' (did you mean",
        ),
        (TICKS + "sheds = [[]]\n", "[objectives.ticks] sheds", "there is no queue []; allowed: backtest, maintenance,"),
        (
            EXTERNAL.replace("all[$window]", "all[5m]"),
            "[objectives.api] total_query",
            f"{QUERY}, not 'sum(increase(all",
        ),
        (EXTERNAL.replace("bad_query", "#"), "[objectives.api] bad_query", f"{QUERY}; it is missing"),
        ("[objectives.x\n", "the file", "is no TOML: "),
    ],
)
def test_what_is_not_allowed_is_told(tmp_path: Path, text: str, place: str, problem: str) -> None:
    ((told_place, told),) = refusals(tmp_path, text)
    assert told_place == place
    assert told.startswith(problem)


@pytest.mark.parametrize(
    "goal", ["0", "1", "99", "1.0", "-0.5", "0.9999999", "nan", "inf", "true", '"0.9"', "2024-01-01", f"0.{'9' * 40}"]
)
def test_a_goal_is_a_share(tmp_path: Path, goal: str) -> None:
    ((place, problem),) = refusals(tmp_path, TICKS.replace("0.99", goal))
    assert (place, problem.startswith(f"{GOAL}, not ")) == ("[objectives.ticks] goal", True)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = """
    surprise = 1
    [objectives.one]
    measure = "start_delay"
    goal = 2
    queue = "nowhere"
    [objectives.two]
    sheds = ["nowhere", "neverwhere"]
    """
    assert [place for place, _ in refusals(tmp_path, text)] == [
        "surprise",
        "[objectives.one] goal",
        "[objectives.one] queue",
        "[objectives.one] within_seconds",
        "[objectives.two] measure",
        "[objectives.two] goal",
        "[objectives.two] sheds",
        "[objectives.two] sheds",
    ]


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    ((_, problem),) = refusals(tmp_path, TICKS.replace("paper", "x" * 5000))
    assert len(problem) < 1000


@pytest.mark.parametrize("content", [b"\xff\xfe", b"goal = "])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ours.toml"
    file.write_bytes(content)
    with pytest.raises(ObjectivesError, match=r"^ours\.toml: the file: is no TOML: "):
        read_objectives(file, KNOWN)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ObjectivesError, match=r"^none\.toml: the file: cannot be read: No such file or directory$"):
        read_objectives(tmp_path / "none.toml", KNOWN)


@given(st.integers(min_value=1, max_value=ONE - 1))
def test_a_goal_is_read_to_the_last_digit(tmp_path_factory: pytest.TempPathFactory, goal: int) -> None:
    file = written(tmp_path_factory.mktemp("goals"), TICKS.replace("0.99", f"0.{goal:06}"))
    assert read_objectives(file, KNOWN)[0].goal == goal
