"""How shares (rates, ratios, goals) are counted: whole, so that one that was written and read again is the same."""

from typing import Final

# The whole, in millionths.
ONE: Final = 1_000_000
