"""The operator's hand above the gates and the control: the commands, what they print, and what beat then reads."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from apps.cli.gate_words import HOLDS_BACK
from apps.cli.main import main
from packages.scheduling.candidate import Candidate
from packages.scheduling.decide import GATES, decide
from packages.scheduling.decision import SCHEDULE, Reason, Verdict
from packages.scheduling.instants import HOUR_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import ResetRequest
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin, Reading, Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.cli.command_line import Minsy, minsy_in, said

EXPORT = "maintenance.export_user_emails_csv"
SWEEP = "maintenance.fail_stale_backtest_jobs"
MUST_BE_NAMED = ", which has to be named: --criticality critical_plus"


@pytest.fixture
def minsy(tmp_path: Path) -> Minsy:
    return minsy_in(tmp_path)


def test_every_gate_has_words() -> None:
    assert list(HOLDS_BACK) == [gate.NAME for gate in GATES]


def test_at_first_no_word_is_on_anything(minsy: Minsy, redis_url: str) -> None:
    done = minsy("control", "list", REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1 : len(GATES) + 1]] == [[gate.NAME, "auto"] for gate in GATES]
    assert "No rate is pinned." in lines
    assert "No job is exempt." in lines
    shown = json.loads(minsy("control", "list", "--json", REDIS_URL=redis_url).stdout)
    assert shown == {
        "gates": {gate.NAME: None for gate in GATES},
        "pins": [],
        "exemptions": [],
        "resets_waiting": [],
    }


def test_a_word_on_a_gate_is_said_shown_and_taken_back(minsy: Minsy, redis_url: str) -> None:
    done = minsy("control", "gate", "backlog", "observe", REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the gate backlog observes for every job")
    assert said(redis_url).gate_modes == {"backlog": GateMode.OBSERVE}
    assert "backlog         observe  " in minsy("control", "list", REDIS_URL=redis_url).stdout
    off = json.loads(minsy("control", "gate", "backlog", "off", "--json", REDIS_URL=redis_url).stdout)
    assert off == {"gate": "backlog", "word": "off"}
    assert said(redis_url).gate_modes == {"backlog": GateMode.OFF}
    auto = json.loads(minsy("control", "gate", "backlog", "auto", "--json", REDIS_URL=redis_url).stdout)
    assert auto == {"gate": "backlog", "word": None}
    assert said(redis_url).gate_modes == {}


def test_a_rate_is_pinned_shown_and_unpinned(minsy: Minsy, redis_url: str) -> None:
    pin = ["control", "pin", "--queue", "maintenance"]
    done = minsy(*pin, "12.5%", "--criticality", "sheddable", "--for", "2h", "--note", "[disk]", REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pinned at 12.5% until 2")
    assert done.stdout.endswith(": queue maintenance, sheddable\n")
    assert minsy(*pin, "0", REDIS_URL=redis_url).stdout == "pinned at 0% until unpinned: queue maintenance\n"
    whole, of_sheddable = said(redis_url).pins
    assert (whole.queue, whole.criticality, whole.rate, whole.until, whole.note) == ("maintenance", None, 0, None, "")
    assert (of_sheddable.criticality, of_sheddable.rate, of_sheddable.note) == (
        Criticality.SHEDDABLE,
        125_000,
        "[disk]",
    )
    assert of_sheddable.until == of_sheddable.since + 2 * HOUR_MS
    shown = minsy("control", "list", REDIS_URL=redis_url).stdout
    assert "queue maintenance, sheddable  12.5%" in shown
    assert "[disk]" in shown
    as_json = json.loads(minsy("control", "list", "--json", REDIS_URL=redis_url).stdout)["pins"]
    assert [(row["criticality"], row["rate"]) for row in as_json] == [(None, 0.0), ("sheddable", 0.125)]
    unpinned = minsy("control", "unpin", "--queue", "maintenance", REDIS_URL=redis_url).stdout
    assert unpinned.startswith("unpinned: queue maintenance\nstill pinned:\n")
    again = json.loads(minsy("control", "unpin", "--queue", "maintenance", "--json", REDIS_URL=redis_url).stdout)
    assert (again["unpinned"], [row["rate"] for row in again["still_pinned"]]) == (False, [0.125])


@pytest.mark.parametrize(
    ("of", "holds", "words"),
    [
        (
            ["notifications"],
            [],
            f"It holds no job: those of this queue are critical_plus{MUST_BE_NAMED}.",
        ),
        (["notifications", "--criticality", "critical_plus"], ["notifications.dispatch_pending"], ""),
        (
            ["maintenance", "--criticality", "critical_plus"],
            [],
            "It holds no job: those of this queue are critical, sheddable.",
        ),
        (["backtest"], [], "It holds no job: the catalogue has none for this queue."),
    ],
)
def test_a_pin_that_holds_no_job_says_so(
    minsy: Minsy, redis_url: str, of: list[str], holds: list[str], words: str
) -> None:
    pin = ["control", "pin", "0%", "--queue", *of]
    first, *others = minsy(*pin, REDIS_URL=redis_url).stdout.splitlines()
    assert first.startswith("pinned at 0% until unpinned: queue ")
    assert "\n".join(others) == words
    assert json.loads(minsy(*pin, "--json", REDIS_URL=redis_url).stdout)["holds"] == holds


def test_a_job_is_exempt_and_is_so_no_more(minsy: Minsy, redis_url: str) -> None:
    done = minsy("control", "exempt", "export_user_emails_csv", "--note", "the audit", REDIS_URL=redis_url)
    assert (done.stdout, done.stderr) == (f"exempt until taken back: job {EXPORT}\n", "")
    assert minsy("control", "exempt", SWEEP, "--for", "30m", REDIS_URL=redis_url).returncode == 0
    export, sweep = said(redis_url).exemptions
    assert (export.job, export.until, export.note) == (EXPORT, None, "the audit")
    assert sweep.until == sweep.since + HOUR_MS // 2
    shown = minsy("control", "list", REDIS_URL=redis_url).stdout
    assert f"job {EXPORT}" in shown
    assert "the audit" in shown
    taken_back = minsy("control", "unexempt", EXPORT, REDIS_URL=redis_url).stdout
    assert taken_back.startswith(f"no more exempt: job {EXPORT}\nstill exempt:\n")
    again = json.loads(minsy("control", "unexempt", EXPORT, "--json", REDIS_URL=redis_url).stdout)
    assert (again["taken_back"], [row["job"] for row in again["still_exempt"]]) == (False, [SWEEP])


def test_a_reset_is_asked_for_and_shown_until_a_beat_hears_of_it(minsy: Minsy, redis_url: str) -> None:
    done = json.loads(minsy("control", "reset", "--queue", "market_data", "--json", REDIS_URL=redis_url).stdout)
    assert minsy("control", "reset", REDIS_URL=redis_url).stdout.startswith("asked for the control of everything")
    one, other = said(redis_url).requests
    assert isinstance(one, ResetRequest)
    assert isinstance(other, ResetRequest)
    assert (one.id, one.queue, other.queue) == (done["request"], "market_data", None)
    shown = minsy("control", "list", REDIS_URL=redis_url).stdout
    assert f"A reset of queue market_data waits for beat (request {one.id})." in shown
    assert f"A reset of everything waits for beat (request {other.id})." in shown


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["gate", "backlogs", "off"], "The gates are: pause, pin, trading_hours"),
        (["gate", "backlog", "on"], "'off', 'observe', 'enforce', 'auto'"),
        (["pin", "50%"], "Missing option '--queue'"),
        (["pin", "half", "--queue", "maintenance"], "write it like 0.25 or 25%"),
        (["pin", "25", "--queue", "maintenance"], "write 25%"),
        (["pin", "101%", "--queue", "maintenance"], "not from 0 to 1"),
        (["pin", "0.00000001", "--queue", "maintenance"], "finer than a millionth"),
        (["pin", "1", "--queue", "no_such_queue"], "paper_trading"),
        (["pin", "1", "--queue", "maintenance", "--until", "2020-01-01"], "a pin cannot end at 2020-01-01"),
        (["unpin", "--queue", "no_such_queue"], "paper_trading"),
        (["exempt", "no.such_job"], SWEEP),
        (["exempt", SWEEP, "--for", "1h", "--until", "2100-01-01"], "not both"),
        (["unexempt", "no.such_job"], SWEEP),
        (["reset", "--queue", "no_such_queue"], "paper_trading"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["control", *arguments])
    assert ended.value.code == 2
    assert text in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_broker_that_is_away_is_one_line(minsy: Minsy) -> None:
    away = minsy("control", "reset", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert (away.returncode, away.stderr.count("\n")) == (1, 1)
    assert away.stderr.startswith("Error: the broker at redis://:***@127.0.0.1:1/0 cannot be used")


@pytest.mark.parametrize("command", ["list", "gate", "pin", "unpin", "exempt", "unexempt", "reset"])
def test_help_reads(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["control", command, "--help"])
    assert ended.value.code == 0
    assert f"Usage: minsy control {command} [OPTIONS]" in capsys.readouterr().out


def helped(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the help of a command says, whatever the width it is broken to."""
    with pytest.raises(SystemExit) as ended:
        main(["control", command, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def pinned(criticality: Criticality, pin: Pin, *, exempt: bool = False, modes: Mapping[str, GateMode] = {}) -> bool:
    """Whether a fire of this criticality is held back by a pin."""
    job = Job("j", "t", IntervalTrigger(1_000), pin.queue, criticality)
    exemptions = {"j": Exemption("j", since=0, until=None, note="")} if exempt else {}
    snapshot = Snapshot(taken_at=0, pins={(pin.queue, pin.criticality): pin}, exempt=exemptions, gate_modes=modes)
    return decide(Candidate(job, 0, 0, SCHEDULE, 0), snapshot).verdict is Verdict.DEFER


def test_the_help_on_pins_says_what_pins_do(capsys: pytest.CaptureFixture[str]) -> None:
    whole = Pin("q", None, 0, since=0, until=None, note="")
    text = helped("pin", capsys)
    assert "Without --criticality it holds all work but critical_plus, which must be named." in text
    assert [pinned(each, whole) for each in Criticality] == [False, True, True, True]
    assert pinned(Criticality.CRITICAL_PLUS, whole._replace(criticality=Criticality.CRITICAL_PLUS))
    assert "no pin holds an exempt job" in text
    assert not pinned(Criticality.SHEDDABLE, whole, exempt=True)
    assert "Pins have a gate of their own, pin, which no setting turns off;" in text.replace("`", "")
    assert pinned(Criticality.SHEDDABLE, whole, modes={"backlog": GateMode.OFF})
    assert not pinned(Criticality.SHEDDABLE, whole, modes={"pin": GateMode.OBSERVE})


def test_the_help_on_exemptions_says_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    text = helped("exempt", capsys)
    assert "neither a pin nor the adaptive control holds a fire of it back" in text
    assert "Pauses, trading hours, windows and runs that are not over hold it as before." in text
    job = Job("j", "t", IntervalTrigger(1_000), "q", Criticality.SHEDDABLE)
    pause = Pause(PauseScope.ALL, "", since=0, until=None, note="")
    snapshot = Snapshot(0, pauses=Reading((pause,), 0), exempt={"j": Exemption("j", since=0, until=None, note="")})
    assert decide(Candidate(job, 0, 0, SCHEDULE, 0), snapshot).reason is Reason.PAUSED
