"""Leap days and changes of the clocks, against published facts: `data/cron_cases.csv` has their sources."""

import csv
from datetime import datetime
from pathlib import Path

import pytest

from packages.scheduling.instants import to_instant
from packages.scheduling.triggers.cron_clock import Fold, Gap
from packages.scheduling.triggers.cron_parse import parse_cron
from tests.scheduling.triggers.laws import named

CASES = Path(__file__).parent.parent / "data" / "cron_cases.csv"


def cases() -> list[dict[str, str]]:
    with CASES.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case['expression']} {case['zone']} {case['after']}")
def test_published_case(case: dict[str, str]) -> None:
    gap = Gap(case["gap"]) if case["gap"] else None
    fold = Fold(case["fold"]) if case["fold"] else None
    trigger = parse_cron(case["expression"], zone=case["zone"], gap=gap, fold=fold)
    after, *fires = (to_instant(datetime.fromisoformat(text)) for text in [case["after"], *case["fires"].split()])
    assert named(trigger, after, fires[-1]) == fires
    for at in fires:
        assert trigger.next_after(after) == at
        after = at
    assert case["source"]
