"""What a strategy is: a frozen set of checked parameters with one pure question, how much of the equity to hold.

A strategy never sees cash, orders or the clock, and never sizes an order. Long only, no leverage: what it may want
is a fraction from 0 to 1.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from packages.domain.market_data.bars import BarValue

LARGEST_WINDOW_BARS = 5000
LARGEST_DEVIATIONS = 10

# A field's description is the `allowed` of its error message.
WindowBars = Annotated[
    int,
    Field(strict=True, ge=2, le=LARGEST_WINDOW_BARS, description=f"a whole number from 2 to {LARGEST_WINDOW_BARS}"),
]
Fraction = Annotated[Decimal, Field(gt=0, le=1, description="a number above 0 and at most 1")]
Deviations = Annotated[
    Decimal, Field(gt=0, le=LARGEST_DEVIATIONS, description=f"a number above 0 and at most {LARGEST_DEVIATIONS}")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """The position a strategy is asked about. Flat when `quantity` is 0."""

    quantity: Decimal
    average_price: Decimal

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held."""
        return self.quantity == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """What a strategy wants and why. `target_fraction` is of the equity, in [0, 1]; None keeps what is held.

    Raises:
        ValueError: a fraction out of its range.
    """

    target_fraction: Decimal | None
    reason: str

    def __post_init__(self) -> None:
        if self.target_fraction is not None and not 0 <= self.target_fraction <= 1:
            raise ValueError(f"target_fraction must lie in [0, 1] or be None: {self.target_fraction}")


class TradingStrategy(BaseModel):
    """A parameter set, checked when it is made; its fields are the parameters. `kind` is the name it is stored under.

    A subclass in a file of its own and a line in `registry.STRATEGIES` is all that a new strategy takes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]

    @property
    @abstractmethod
    def warm_up_bars(self) -> int:
        """How many bars an opinion takes; `target` looks at no more than the newest this many."""

    @abstractmethod
    def target(self, bars: Sequence[BarValue], holding: Holding) -> Signal | None:
        """The wanted position at the close of the last of `bars` (oldest first); None when there are too few.

        Pure: the same bars, of which only the newest `warm_up_bars` count, and the same holding give the same signal.
        """
