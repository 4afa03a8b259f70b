"""Typed reading of TOML tables: each value is what its key allows, or an error that names file, key and what is.

Nothing is coerced: a whole number is no text, true is no number. Durations are texts such as `90s`, `1h30m`, `250ms`.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, TypeVar

from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_instant
from packages.scheduling.simulation.scenario import LONGEST_MS, ScenarioError

Word = TypeVar("Word", bound=StrEnum)
_UNITS: Final = {"d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS, "s": SECOND_MS, "ms": 1}
_DURATION: Final = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in _UNITS))
_REQUIRED: Final = object()
# So alike are a key and one that was misspelt, and no two keys of one table.
_CLOSE: Final = 0.75


class Table:
    """One table of a file. A key without a default is required; what nobody asked for is refused by `end`."""

    def __init__(self, source: str, place: str, content: object) -> None:
        self.source = source
        self.place = place
        if not isinstance(content, dict):
            raise ScenarioError(source, place, f"must be a table, not {content!r}")
        self._content: Mapping[str, Any] = content
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Whether it has a key, which is thereby one that it may have."""
        self._asked.add(key)
        return key in self._content

    @property
    def keys(self) -> Collection[str]:
        """All keys that it has."""
        return self._content.keys()

    def refusal(self, key: str, problem: str) -> ScenarioError:
        """The error that `key` is not as it must be."""
        return ScenarioError(self.source, f"{self.place}.{key}" if self.place else key, problem)

    def end(self) -> None:
        """Nothing else may be in it.

        Raises:
            ScenarioError: something else is.
        """
        if unknown := sorted(self._content.keys() - self._asked):
            raise self.refusal(unknown[0], f"is not known here; allowed: {', '.join(sorted(self._asked))}")

    def table(self, key: str, *, default: Mapping[str, object] | None = None) -> "Table":
        """A table in it."""
        value = self._value(key, _REQUIRED if default is None else default)
        return Table(self.source, f"{self.place}.{key}" if self.place else key, value)

    def tables(self, key: str) -> list["Table"]:
        """An array of tables in it; none without the key."""
        value = self._value(key, [])
        if not isinstance(value, list):
            raise self.refusal(key, f"must be an array of tables, [[{key}]], not {value!r}")
        return [Table(self.source, f"{key}[{index}]", entry) for index, entry in enumerate(value)]

    def text(self, key: str, default: Any = _REQUIRED) -> Any:  # noqa: ANN401  # a text, or the default as it is
        """A text that is not empty."""
        value = self._value(key, default)
        if key in self and not (isinstance(value, str) and value.strip()):
            raise self.refusal(key, f"must be a text, not {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, at least one, each once."""
        value = self._value(key, _REQUIRED)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
            raise self.refusal(key, f"must be a list of texts, at least one, not {value!r}")
        if len(set(value)) < len(value):
            raise self.refusal(key, f"has the same text twice: {value!r}")
        return tuple(value)

    def one_of(self, key: str, words: type[Word], default: Word | None = None) -> Word:
        """One of the words of an enumeration."""
        value = self._value(key, _REQUIRED if default is None else default)
        try:
            return words(value)
        except ValueError:
            raise self.refusal(key, f"must be one of {', '.join(words)}, not {value!r}") from None

    def known(self, key: str, names: Collection[str], what: str) -> str:
        """The name of something that the file has elsewhere."""
        value = self.text(key)
        if value not in names:
            raise self.refusal(key, f"there is no {what} {value!r}; there is {', '.join(sorted(names)) or 'none'}")
        return str(value)

    def truth(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.refusal(key, f"must be true or false, not {value!r}")
        return value

    def whole(self, key: str, default: Any = _REQUIRED, *, least: int = 0, most: int) -> int:  # noqa: ANN401  # as above
        """A whole number from `least` to `most`."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.refusal(key, f"must be a whole number from {least} to {most:,}, not {value!r}")
        return value

    def number(self, key: str, default: Any = _REQUIRED, *, least: float = 0.0, most: float) -> float:  # noqa: ANN401  # as above
        """A number from `least` to `most`."""
        value = self._value(key, default)
        # What is no number at all, NaN, is not between any two.
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.refusal(key, f"must be a number from {least:g} to {most:g}, not {value!r}")
        return float(value)

    def duration_ms(self, key: str, default: Any = _REQUIRED, *, least_ms: int = 1) -> Any:  # noqa: ANN401  # as above
        """A duration in whole milliseconds, `LONGEST_MS` at most; the default is as it is."""
        value = self._value(key, default)
        if key not in self:
            return value
        found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
        if found is None:
            raise self.refusal(key, f"must be a duration such as 250ms, 90s or 1h30m, not {value!r}")
        length_ms = sum(
            int(number or 0) * unit_ms for number, unit_ms in zip(found.groups(), _UNITS.values(), strict=True)
        )
        if not least_ms <= length_ms <= LONGEST_MS:
            raise self.refusal(key, f"must be from {_words(least_ms)} to {_words(LONGEST_MS)}, not {value!r}")
        return length_ms

    def instant(self, key: str, default: int) -> int:
        """A date-time with an offset."""
        value = self._value(key, default)
        if key not in self:
            return default
        if not isinstance(value, datetime) or value.utcoffset() is None:
            raise self.refusal(key, f"must be a date-time with an offset such as 2026-03-02T08:00:00Z, not {value!r}")
        return to_instant(value)

    def _value(self, key: str, default: object) -> Any:  # noqa: ANN401  # whatever TOML holds
        self._asked.add(key)
        if key in self._content:
            return self._content[key]
        if default is _REQUIRED:
            close = get_close_matches(key, self._content.keys() - self._asked, n=1, cutoff=_CLOSE)
            raise self.refusal(
                key, f"is missing; {close[0]!r} is not known here, is it meant?" if close else "is missing"
            )
        return default


def _words(length_ms: int) -> str:
    """A duration as it may be typed, in the largest unit that it is whole in."""
    unit = next((name for name, unit_ms in _UNITS.items() if length_ms and length_ms % unit_ms == 0), "ms")
    return f"{length_ms // _UNITS[unit]}{unit}"
