"""How shares (rates, ratios, goals) are counted: whole, so that one that was written and read again is the same."""

from typing import Final

# The whole, in millionths.
ONE: Final = 1_000_000


def in_three_figures(share: int) -> int:
    """The share as people are told it, rounded down: less than all is not told as all, nor something as nothing."""
    finest: int = 10 ** max(0, len(str(share)) - 3)
    return share // finest * finest
