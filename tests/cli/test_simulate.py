"""`minsy simulate`: its table, its JSON, its pictures, and what it refuses. No server runs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from packages.shared_settings.layers import ROOT
from tests.cli.command_line import printed

SMALL = """
title = "A worker that is too slow for a while"
length = "30m"
[queues]
work = { delay_objective = "1m" }
approval = { delay_objective = "10s" }
[workers.worker]
queues = ["work", "approval"]
processes = 2
[jobs.sweep]
count = 30
task = "work.sweep"
queue = "work"
criticality = "sheddable"
every = "1m"
spread = true
service = { median = "2s", sigma = 0.5 }
[jobs.approval]
task = "approval.expire"
queue = "approval"
criticality = "critical_plus"
every = "15s"
expires = "30s"
service = { constant = "100ms" }
[[events]]
at = "5m"
for = "10m"
what = "slow"
factor = 3
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return file


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}}
    return {**kept, "LANG": "C.UTF-8", "MPLCONFIGDIR": str(tmp_path / "matplotlib")}


def row(shown: str, name: str) -> list[str]:
    line = next(line for line in shown.splitlines() if line.startswith(name))
    return line.removeprefix(name).split()


def test_the_table_has_a_column_for_each_strategy(environ: dict[str, str], small: Path) -> None:
    shown = printed(environ, "simulate", small)
    assert shown.startswith("small: A worker that is too slow for a while\n30m, 31 jobs, seed 1\n")
    assert shown.splitlines()[3].split() == ["fixed", "adaptive", "threshold", "proportional"]
    fixed, adaptive, *_ = map(int, row(shown, "peak backlog"))
    assert adaptive < fixed
    assert row(shown, "fires shed")[0] == "0"
    assert int(row(shown, "decided unlike fixed")[1]) > 0
    assert "defer    throttled" in shown
    assert "slowed factor=3.0" in shown
    assert len(row(shown, "critical_plus")) == 4 * 4


def test_one_strategy_with_other_work(environ: dict[str, str], small: Path) -> None:
    arguments = (small, "--strategy", "fixed", "--seed", "7", "--service-scale", "0.5")
    shown = printed(environ, "simulate", *arguments)
    assert "30m, 31 jobs, seed 7, service times x 0.5" in shown
    assert "adaptive" not in shown
    assert "decided unlike" not in shown
    assert shown == printed(environ, "simulate", *arguments)


def test_json_has_every_number_and_the_course_of_time(environ: dict[str, str], small: Path) -> None:
    document: dict[str, Any] = json.loads(
        printed(environ, "simulate", small, "--json", "--strategy", "fixed", "--strategy", "adaptive")
    )
    assert (document["scenario"], document["seed"], document["length_ms"]) == ("small", 1, 1_800_000)
    fixed, adaptive = document["strategies"]["fixed"], document["strategies"]["adaptive"]
    assert (fixed["decided_unlike_fixed"], fixed["decisions"]["fire"]["on_time"]) == (0, fixed["published"])
    assert adaptive["shed"]["sheddable"] > 0
    assert adaptive["shed"]["critical_plus"] == 0
    # What is most critical is taken first, whatever is published beside it: it waits for a process alone.
    assert adaptive["start_delay"]["critical_plus"]["p99"] <= 10_000
    assert adaptive["start_delay"]["sheddable"]["p99"] < fixed["start_delay"]["sheddable"]["p99"] / 2
    assert adaptive["recoveries"][0]["began"] == 300_000
    over_time = adaptive["over_time"]
    assert over_time["bin_ms"] == 10_000
    assert len(over_time["backlog"]["work"]) == 180
    assert min(over_time["rates"]["work"]["sheddable"]) < 1
    assert sum(over_time["decisions"]["fire"]["on_time"]) == adaptive["decisions"]["fire"]["on_time"]


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture(environ: dict[str, str], small: Path, tmp_path: Path, suffix: str, begins: bytes) -> None:
    picture = tmp_path / f"small.{suffix}"
    printed(environ, "simulate", small, "--strategy", "adaptive", "--strategy", "fixed", "--plot", picture)
    drawn = picture.read_bytes()
    assert drawn.startswith(begins)
    if suffix == "svg":
        assert b"work, sheddable" in drawn
        printed(environ, "simulate", small, "--strategy", "adaptive", "--strategy", "fixed", "--plot", picture)
        assert picture.read_bytes() == drawn


def test_the_list_has_what_is_shipped(environ: dict[str, str]) -> None:
    names = [scenario["name"] for scenario in json.loads(printed(environ, "simulate", "--list", "--json"))]
    assert names == sorted(path.stem for path in (ROOT / "scenarios").glob("*.toml"))
    assert "workers_halved" in printed(environ, "simulate", "--list")


def test_a_shipped_scenario_by_its_name(environ: dict[str, str]) -> None:
    assert printed(environ, "simulate", "io_worker_dead", "--strategy", "fixed").startswith(
        "io_worker_dead: IO worker dead"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--list shows"),
        (("workers_halfed",), "workers_halved"),
        (("no/such/file.toml",), "cannot be read: No such file"),
        (("workers_halved", "--strategy", "best"), "'best' is not one of"),
        (("nope",), "there is no scenario 'nope'. There is "),
        (("workers_halved", "--plot", "a.gif"), ".png or .svg"),
        (("workers_halved", "--plot", "/nope/x.png"), "no file can be written in /nope"),
        (("workers_halved", "--service-scale", "0"), "0.01"),
        (("workers_halved", "--seed", "-1"), "--seed"),
    ],
)
def test_wrong_use_is_refused(environ: dict[str, str], arguments: tuple[str, ...], said: str) -> None:
    assert said in printed({**environ, "COLUMNS": "200"}, "simulate", *arguments, code=2)


def test_a_scenario_that_is_wrong_is_refused_with_file_and_key(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(SMALL.replace("processes = 2", 'processes = "two"'))
    said = printed({**environ, "COLUMNS": "200"}, "simulate", file, code=2)
    assert "wrong.toml: workers.worker.processes: must be a whole number from 1 to 10,000, not 'two'" in said
    file.write_bytes(b"\xff\xfe")
    assert "is no UTF-8 text" in printed({**environ, "COLUMNS": "200"}, "simulate", file, code=2)
