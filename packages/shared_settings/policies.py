"""What a setting may change of a job's policies: the model of one JSON object, with nothing in it that must be given.

What each policy means is said by the engine. Nothing is decided here about how keys agree with each other, nor with the
job: the catalogue knows the job.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from packages.shared_settings.fields import GateMode, Margin, Markets, UnknownDates

_WEEK_MINUTES = 10_080
_WEEK_SECONDS = 604_800


def _tuple_of_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Minutes = Annotated[
    int, Field(ge=1, le=_WEEK_MINUTES, description=f"a whole number of minutes from 1 to {_WEEK_MINUTES}")
]


class PolicyOverrides(BaseModel):
    """The policies of one job as far as they differ from the catalogue's. None: as in the catalogue.

    `spread`: an interval keeps to a grid of its own instead of the full minute or second. `phase_seconds`: by how much
    its grid is shifted. `unknown_dates` counts for the trading hours and for the windows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    jitter_seconds: Annotated[
        float | None, Field(ge=0, lt=86_400, allow_inf_nan=False, description="seconds from 0 to below 86400")
    ] = None
    spread: Annotated[bool | None, Field(description="true or false")] = None
    phase_seconds: Annotated[
        float | None,
        Field(ge=0, lt=_WEEK_SECONDS, allow_inf_nan=False, description=f"seconds from 0 to below {_WEEK_SECONDS}"),
    ] = None
    catch_up: Annotated[Literal["skip", "latest", "all"] | None, Field(description="skip, latest or all")] = None
    catch_up_window_minutes: Minutes | None = None
    catch_up_limit: Annotated[int | None, Field(ge=1, le=10_000, description="a whole number from 1 to 10000")] = None
    max_staleness_minutes: Minutes | None = None
    overlap: Annotated[
        Literal["allow", "skip", "buffer_one", "cancel_other"] | None,
        Field(description="allow, skip, buffer_one or cancel_other"),
    ] = None
    trading_hours: GateMode | None = None
    trading_hours_markets: Annotated[Markets | None, BeforeValidator(_tuple_of_list)] = None
    trading_hours_margin_before_minutes: Margin | None = None
    trading_hours_margin_after_minutes: Margin | None = None
    windows: Annotated[
        str | None, Field(description='a text such as "22:00-06:00 America/New_York" or "outside XNYS"')
    ] = None
    windows_gate: GateMode | None = None
    unknown_dates: UnknownDates | None = None

    @property
    def given(self) -> frozenset[str]:
        """The keys that say something."""
        return frozenset(key for key, value in self if value is not None)


Policy = Annotated[
    PolicyOverrides,
    Field(description=f"a JSON object with any of {', '.join(PolicyOverrides.model_fields)}"),
]
AS_IN_CATALOGUE = PolicyOverrides()
