"""The adaptive control goes by what the env files and the file of objectives say; what is refused changes nothing."""

import logging
from pathlib import Path

import pytest

from packages.catalogue.jobs import enabled_jobs
from packages.infra.queue.beat_control import BeatControl, policy_in_use
from packages.infra.queue.reload import LOOK_EVERY_S, EnvFilesSource
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.policies import GateMode
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.errors import SettingsError
from packages.shared_settings.layers import ROOT
from packages.shared_settings.loading import load

NOTIFY = "notifications.dispatch_pending"
OBJECTIVE = '[objectives.{name}]\nqueue = "notifications"\nmeasure = "success"\ngoal = 0.99\n'
EXTERNAL = (
    '[objectives.api]\nmeasure = "external"\ngoal = 0.999\nbad_query = "b[$window]"\ntotal_query = "t[$window]"\n'
)
ALL_OFF = "BACKLOG_GATE=off\nSLO_GATE=off\nFAILING_TARGET_GATE=off\n"


class World:
    """A directory of env files and one of objectives, and a source that has begun, on a clock that moves by hand."""

    def __init__(self, directory: Path, text: str = "") -> None:
        self.directory = directory
        self.objectives = directory / "objectives.toml"
        self.now = 0.0
        self.write(text)
        environ = {"MINSY_ENV_DIR": str(directory)}
        self.source = EnvFilesSource(environ, monotonic=lambda: self.now)
        settings = load(BeatSettings, environ)
        self.source.begin(settings, enabled_jobs(settings))

    @property
    def control(self) -> BeatControl:
        return self.source.control

    @property
    def names(self) -> list[str]:
        """The objectives that are to be measured."""
        return [objective.name for objective in self.control.objectives]

    def mode(self) -> GateMode | None:
        """Of the backlog's gate; None without any policy."""
        return None if self.control.policy is None else self.control.policy.backlog.mode

    def write(self, text: str) -> None:
        (self.directory / ".env.dev.beat").write_text(text)

    def declare(self, *names: str, more: str = "") -> None:
        self.objectives.write_text("\n".join(OBJECTIVE.format(name=name) for name in names) + more)

    def looks(self, n: int) -> list[bool]:
        answers = []
        for _ in range(n):
            self.now += LOOK_EVERY_S
            answers.append(self.source.changed())
        return answers

    def reread(self) -> None:
        """What beat does after a change."""
        assert self.looks(2) == [False, True]
        self.source.read()


@pytest.fixture
def declared(tmp_path: Path) -> World:
    (tmp_path / "objectives.toml").write_text(OBJECTIVE.format(name="first"))
    return World(tmp_path, f"SLO_OBJECTIVES_FILE={tmp_path / 'objectives.toml'}\n")


def test_without_any_setting_the_defaults_hold(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.control.policy == ControlPolicy()
    assert (world.control.objectives, world.control.prometheus_url) == ((), None)


def test_with_all_gates_off_there_is_no_policy(tmp_path: Path) -> None:
    world = World(tmp_path, ALL_OFF)
    assert world.mode() is None
    assert world.control.objectives == ()
    world.write(ALL_OFF.replace("BACKLOG_GATE=off", "BACKLOG_GATE=observe"))
    world.reread()
    assert world.mode() is GateMode.OBSERVE
    world.write(ALL_OFF)
    world.reread()
    assert world.mode() is None


def test_objectives_alone_are_something_to_go_by_and_their_gate_alone_is_not(declared: World) -> None:
    others_off = "BACKLOG_GATE=off\nFAILING_TARGET_GATE=off\n"
    declared.write(others_off)
    declared.reread()
    assert declared.control.policy is None
    declared.write(f"{others_off}SLO_OBJECTIVES_FILE={declared.objectives}\n")
    declared.reread()
    assert declared.names == ["first"]


def test_a_change_of_the_env_files_is_followed_and_one_that_says_the_same_is_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write("BACKLOG_TARGET_SECONDS=2.5\nSLO_PROMETHEUS_URL=http://one:9090\n")
    world.reread()
    policy = world.control.policy
    assert policy is not None
    assert policy.backlog.target_ms == 2_500
    world.write("BACKLOG_TARGET_SECONDS=2.50\nNOTIFICATIONS_ENABLED=true\nSLO_PROMETHEUS_URL=http://two:9090\n")
    world.reread()
    # The engine hears of another object only.
    assert world.control.policy is policy
    assert world.control.prometheus_url is not None
    assert world.control.prometheus_url.get_secret_value() == "http://two:9090"


def test_a_change_of_the_file_of_objectives_is_followed(declared: World) -> None:
    assert not any(declared.looks(5))
    declared.declare("first", "second")
    declared.reread()
    assert declared.names == ["first", "second"]
    assert not any(declared.looks(5))


def test_another_file_of_objectives_is_followed_from_then_on(declared: World) -> None:
    other = declared.directory / "other.toml"
    other.write_text(OBJECTIVE.format(name="other"))
    declared.write(f"SLO_OBJECTIVES_FILE={other}\n")
    declared.reread()
    assert declared.names == ["other"]
    declared.declare("first", "second")
    assert not any(declared.looks(5))
    other.write_text(OBJECTIVE.format(name="another"))
    declared.reread()
    assert declared.names == ["another"]


def test_while_their_gate_is_off_objectives_are_not_even_read(declared: World) -> None:
    declared.write(f"SLO_GATE=off\nSLO_OBJECTIVES_FILE={declared.objectives}\n")
    declared.reread()
    assert declared.names == []
    declared.objectives.write_text("nonsense")
    assert not any(declared.looks(5))
    declared.source.ask()
    declared.source.read()
    assert declared.control.policy is not None


@pytest.mark.parametrize(
    ("content", "variable", "said"),
    [
        ("[objectives.first]\nqueue = 'mail'\n", "SLO_OBJECTIVES_FILE", r"objectives.toml: \[objectives.first\] queue"),
        ("nonsense", "SLO_OBJECTIVES_FILE", "objectives.toml: the file: is no TOML"),
        (EXTERNAL, "SLO_PROMETHEUS_URL", "it is not set, and objectives of SLO_OBJECTIVES_FILE"),
    ],
)
def test_a_bad_file_of_objectives_is_refused_and_the_old_ones_go_on(
    declared: World, content: str, variable: str, said: str
) -> None:
    policy = declared.control.policy
    declared.objectives.write_text(content)
    with pytest.raises(SettingsError, match=said) as caught:
        declared.reread()
    assert variable in {problem.variable for problem in caught.value.problems}
    assert declared.control.policy is policy
    assert not any(declared.looks(5))
    # What is mended is taken.
    declared.declare("mended")
    declared.reread()
    assert declared.names == ["mended"]


def test_a_file_of_objectives_that_vanishes_is_refused_until_it_is_back(declared: World) -> None:
    policy = declared.control.policy
    declared.objectives.unlink()
    with pytest.raises(SettingsError, match="there is no such file"):
        declared.reread()
    assert declared.control.policy is policy
    declared.declare("back")
    declared.reread()
    assert declared.names == ["back"]


@pytest.mark.parametrize(
    "line",
    [
        "BACKLOG_TARGET_SECONDS=60",
        'BACKLOG_TARGET_SECONDS_BY_QUEUE={"mail": 5}',
        "BACKLOG_GATE=on",
        # What is wrong elsewhere changes nothing here.
        'NOTIFICATIONS_DISPATCH_PENDING_POLICY={"catch_up_limit": 5}',
    ],
)
def test_what_is_refused_changes_neither_thresholds_nor_entries(tmp_path: Path, line: str) -> None:
    world = World(tmp_path, "NOTIFICATIONS_ENABLED=true\n")
    policy, before = world.control.policy, world.source.read()
    world.write(f"CONTROL_INTERVAL_SECONDS=2\n{line}\n")
    with pytest.raises(SettingsError, match=line.partition("=")[0]):
        world.reread()
    assert world.control.policy is policy
    world.write("NOTIFICATIONS_ENABLED=true\n")
    assert world.looks(2) == [False, True]
    assert world.source.read() == before


def test_all_that_is_wrong_with_objectives_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "objectives.toml"
    file.write_text("[objectives.one]\nqueue = 'mail'\n[objectives.two]\ntask = 'none.such'\n")
    with pytest.raises(SettingsError) as caught:
        policy_in_use(BeatSettings(slo_objectives_file=file))
    text = str(caught.value)
    assert {problem.variable for problem in caught.value.problems} == {"SLO_OBJECTIVES_FILE"}
    assert "[objectives.one]" in text
    assert "[objectives.two]" in text


def test_the_example_suits_the_settings() -> None:
    policy = policy_in_use(BeatSettings.model_validate({"slo_objectives_file": ROOT / "env/objectives.example.toml"}))
    assert policy is not None
    assert policy.slo.objectives


def test_a_target_above_a_period_is_told_at_the_start_and_at_each_reload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "NOTIFICATIONS_ENABLED=true\nNOTIFICATIONS_LOOP_INTERVAL_SECONDS=4\n"
    world = World(tmp_path, text)
    world.control.warn()
    world.source.ask()
    world.source.read()
    told = [record for record in caplog.records if record.getMessage() == "backlog_target_above_period"]
    said = [(each.queue, each.target_s, each.job, each.period_s) for each in map(_Extra, told)]
    assert said == [("notifications", 5, NOTIFY, 4)] * 2
    caplog.clear()
    for more in ('BACKLOG_TARGET_SECONDS_BY_QUEUE={"notifications": 1.5}\n', "BACKLOG_GATE=off\n"):
        world.write(text + more)
        world.reread()
    assert caplog.records == []


class _Extra:
    """The fields of a log record."""

    def __init__(self, record: logging.LogRecord) -> None:
        self.queue, self.target_s = vars(record)["queue"], vars(record)["target_s"]
        self.job, self.period_s = vars(record)["job"], vars(record)["period_s"]


def test_the_password_of_a_prometheus_is_not_in_what_the_app_shows(tmp_path: Path) -> None:
    world = World(tmp_path, "SLO_PROMETHEUS_URL=http://reader:hunter2@metrics.example:9090\n")
    assert "hunter2" not in f"{world.control!r} {vars(world.control)!r} {world.source!r}"
