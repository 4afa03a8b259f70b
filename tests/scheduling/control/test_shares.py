"""Shares as people are told them."""

import pytest

from packages.scheduling.control.shares import ONE, in_three_figures


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0, 0),
        (1, 1),
        (999, 999),
        (1_234, 1_230),
        (78_461, 78_400),
        (784_616, 784_000),
        (785_000, 785_000),
        (ONE - 1, 999_000),
        (ONE, ONE),
    ],
)
def test_three_figures_are_told_and_never_more_than_there_is(share: int, told: int) -> None:
    assert in_three_figures(share) == told
