"""One figure as a JSON line: ours, the peers', the ratio, the aim, and whether it is met."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal


def tell(  # noqa: PLR0913  # the fields of the line
    benchmark: str,
    figure: str,
    *,
    ratio: float | None,
    aim: float,
    is_met_when: Literal["at_least", "at_most"],
    ours: Mapping[str, Any],
    peers: Mapping[str, Mapping[str, Any]] | None = None,
    **more: object,
) -> None:
    """Print it. `ratio` is what the aim is about; None when it could not be measured, and then it is not met."""
    line = {
        "benchmark": benchmark,
        "figure": figure,
        "ratio": None if ratio is None else rounded(ratio),
        "aim": f"{is_met_when.replace('_', ' ')} {aim:g}",
        "met": ratio is not None and (ratio >= aim if is_met_when == "at_least" else ratio <= aim),
        "ours": _rounded(ours),
        **({} if peers is None else {"peers": {name: _rounded(figures) for name, figures in peers.items()}}),
        **more,
    }
    print(json.dumps(line), flush=True)


def quantile(values: Sequence[float], part: float) -> float | None:
    """The value that `part` of the values are at most; None if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None


def rounded(value: float) -> float:
    """To four digits."""
    if not value or not math.isfinite(value):
        return value
    return round(value, 3 - math.floor(math.log10(abs(value))))


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: rounded(value) if isinstance(value, float) else value for name, value in figures.items()}
