"""The strategies there are, and how a stored one becomes an object. Adding one is one line in `STRATEGIES`."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from packages.domain.paper_trading.errors import BadParameterError, UnknownStrategyError
from packages.domain.paper_trading.strategies.base import TradingStrategy
from packages.domain.paper_trading.strategies.mean_reversion import MeanReversion
from packages.domain.paper_trading.strategies.moving_average_cross import MovingAverageCross

STRATEGIES: tuple[type[TradingStrategy], ...] = (MovingAverageCross, MeanReversion)
_LONGEST_VALUE_SHOWN = 60


def make_strategy(kind: str, parameters: Mapping[str, Any]) -> TradingStrategy:
    """The strategy stored as `kind` with its JSON `parameters`. Fractions may be numbers or decimal texts.

    Raises:
        UnknownStrategyError: no strategy has this kind.
        BadParameterError: the first wrong, missing or unknown parameter, and what is allowed.
    """
    chosen = next((strategy for strategy in STRATEGIES if strategy.kind == kind), None)
    if chosen is None:
        raise UnknownStrategyError(kind=kind, known=[strategy.kind for strategy in STRATEGIES])
    if not isinstance(parameters, Mapping):
        raise BadParameterError(kind=kind, parameter="(all)", problem="is not an object", allowed=_names(chosen))
    # JSON's true is a number to Python; no parameter of ours is a flag.
    for name, value in parameters.items():
        if isinstance(value, bool) and name in chosen.model_fields:
            raise BadParameterError(kind=kind, parameter=name, problem=f"is {value}", allowed=_allowed(chosen, name))
    try:
        return chosen.model_validate(dict(parameters))
    except ValidationError as error:
        raise _bad_parameter(chosen, error) from None


def _bad_parameter(chosen: type[TradingStrategy], error: ValidationError) -> BadParameterError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "(all)"
    match first["type"]:
        case "extra_forbidden":
            return BadParameterError(kind=chosen.kind, parameter=name, problem="is not known", allowed=_names(chosen))
        case "missing":
            problem = "is missing"
        case "value_error":
            problem = f"is {_shown(first['input'])}, {first['ctx']['error']}"
        case _:
            problem = f"is {_shown(first['input'])}"
    return BadParameterError(kind=chosen.kind, parameter=name, problem=problem, allowed=_allowed(chosen, name))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE_SHOWN else f"{text[:_LONGEST_VALUE_SHOWN]}..."


def _allowed(chosen: type[TradingStrategy], name: str) -> str:
    field = chosen.model_fields.get(name)
    return field.description if field is not None and field.description else _names(chosen)


def _names(chosen: type[TradingStrategy]) -> str:
    return ", ".join(chosen.model_fields)
