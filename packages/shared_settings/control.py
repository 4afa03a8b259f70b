"""What the thresholds of the adaptive control may be. What each one means is said by the engine.

Nothing is decided here about how they agree with each other, nor whether there is such a queue: the catalogue knows.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

# Below it a rate is as good as none; shares are counted in millionths.
_LEAST_SHARE: Final = 0.001

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="a share from 0 to 1")]
ShareAboveZero = Annotated[
    float, Field(ge=_LEAST_SHARE, le=1, allow_inf_nan=False, description="a share from 0.001 to 1")
]
ShareBelowOne = Annotated[
    float, Field(ge=_LEAST_SHARE, le=0.999, allow_inf_nan=False, description="a share from 0.001 to 0.999")
]
BurnRate = Annotated[
    float, Field(ge=0.1, le=1_000, allow_inf_nan=False, description="a number from 0.1 to 1000, such as 14.4")
]
WaitSeconds = Annotated[
    float, Field(ge=0.1, le=86_400, allow_inf_nan=False, description="seconds from 0.1 to 86400, such as 2.5")
]
Doublings = Annotated[int, Field(ge=0, le=10, description="a whole number from 0 to 10")]
ShortSeconds = Annotated[int, Field(ge=1, le=3600, description="a whole number of seconds from 1 to 3600")]
WaitSecondsByQueue = Annotated[
    dict[str, Annotated[WaitSeconds, Field(strict=True)]],
    Field(description='a JSON object of queues and seconds from 0.1 to 86400, such as {"maintenance": 15}'),
]


class LeastRates(BaseModel):
    """How far the fires of each criticality may be throttled; `critical_plus` is not in it, for it never is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    sheddable: Share = 0
    sheddable_plus: Share = 0.05
    critical: ShareAboveZero = 1


LeastRatesByCriticality = Annotated[
    LeastRates, Field(description=f"a JSON object with any of {', '.join(LeastRates.model_fields)}, each a share")
]
LEAST_RATES: Final = LeastRates()
