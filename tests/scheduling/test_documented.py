"""docs/decisions.md says what the code says: every reason, every gate, every policy of catch-up, and no other."""

import re

import pytest

from packages.scheduling.decide import GATES
from packages.scheduling.decision import Reason
from packages.scheduling.gates import backlog, failing_target, overlap, pause, pin, slo, trading_hours, windows
from packages.scheduling.policies import CatchUpMode
from packages.shared_settings.layers import ROOT

PAGE = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
NAMES = tuple(gate.NAME for gate in (pause, pin, trading_hours, windows, overlap, failing_target, backlog, slo))


def first_column(header: str) -> list[str]:
    """The words in the first column of the table whose header begins so."""
    _, _, table = PAGE.partition(f"| {header} |")
    rows = table.partition("\n\n")[0].splitlines()[2:]
    return re.findall(r"^\| `([^`]+)`", "\n".join(rows), flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("header", "words"),
    [("reason", [reason.value for reason in Reason]), ("`catch_up`", [mode.value for mode in CatchUpMode])],
)
def test_each_word_has_its_line_and_each_line_its_word(header: str, words: list[str]) -> None:
    assert sorted(first_column(header)) == sorted(words)


def test_the_gates_stand_in_the_order_in_which_they_are_asked() -> None:
    assert first_column("gate") == list(NAMES)
    assert [gate.NAME for gate in GATES] == list(NAMES)
