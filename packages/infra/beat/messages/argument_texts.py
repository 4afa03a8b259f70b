"""A task's arguments as the texts that its message has: the JSON of the body, and what people read in logs.

Plain values only, of which JSON and Celery make the same whatever is configured. Says of others that they are not
plain. The texts equal those of kombu's JSON and Celery's `saferepr`; flat arguments are written by hand, since both
are slow on what most periodic tasks have.
"""

from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring_ascii as quoted
from math import isfinite
from typing import Any, Final, NamedTuple

from celery.utils.saferepr import saferepr
from kombu.utils.json import dumps

_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_WORDS: Final = {True: "true", False: "false", None: "null"}
# Deeper ones are left to Celery.
_DEEPEST: Final = 20

# The JSON of arguments, and their text for people, not yet quoted.
Texts = tuple[str, str]
# Of the positional ones, and of the named ones.
ArgumentTexts = tuple[Texts, Texts]
_NO_ARGS: Final[Texts] = ("[]", "()")
_NO_KWARGS: Final[Texts] = ("{}", "{}")


class Limits(NamedTuple):
    """How long and how deep the texts for people become: Celery's settings."""

    args_chars: int
    kwargs_chars: int
    levels: int


def is_plain(value: object, deepest: int = _DEEPEST) -> bool:
    """Whether a value is made of nothing but what JSON knows, with text as keys, and no subclasses."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if not deepest:
        return False
    if kind is list or kind is tuple:
        return all(is_plain(item, deepest - 1) for item in value)  # type: ignore[attr-defined]  # it is one of these
    if kind is dict:
        items = value.items()  # type: ignore[attr-defined]  # as above
        return all(type(key) is str and is_plain(item, deepest - 1) for key, item in items)
    return False


def argument_texts(args: Any, kwargs: Any, limits: Limits) -> ArgumentTexts | None:  # noqa: ANN401  # whatever an entry has
    """The texts of an entry's arguments, as Celery makes them of a list and a dict; None if they are not plain."""
    of_args: Texts | None = _NO_ARGS
    if args:
        if type(args) is not tuple and type(args) is not list:
            return None
        of_args = _of_sequence(args, limits)
    of_kwargs: Texts | None = _NO_KWARGS
    if kwargs:
        if type(kwargs) is not dict:
            return None
        of_kwargs = _of_mapping(kwargs, limits)
    if of_args is None or of_kwargs is None:
        return None
    return of_args, of_kwargs


def _of_sequence(args: Sequence[Any], limits: Limits) -> Texts | None:
    in_json: list[str] = []
    for_people: list[str] = []
    if _are_written(args, in_json, for_people):
        text = f"[{', '.join(for_people)}]"
        if len(text) < limits.args_chars:
            return f"[{', '.join(in_json)}]", text
    if not is_plain(args):
        return None
    # Celery makes a list of them before it does anything else.
    given = list(args)
    return dumps(given), saferepr(given, limits.args_chars, maxlevels=limits.levels)


def _of_mapping(kwargs: dict[str, Any], limits: Limits) -> Texts | None:
    in_json: list[str] = []
    for_people: list[str] = []
    if all(type(key) is str for key in kwargs) and _are_written(kwargs.values(), in_json, for_people):
        texts = [f"{_in_quotes(key)}: {text}" for key, text in zip(kwargs, for_people, strict=True)]
        text = f"{{{', '.join(texts)}}}"
        if len(text) < limits.kwargs_chars:
            texts = [f"{quoted(key)}: {text}" for key, text in zip(kwargs, in_json, strict=True)]
            return f"{{{', '.join(texts)}}}", text
    if not is_plain(kwargs):
        return None
    return dumps(kwargs), saferepr(kwargs, limits.kwargs_chars, maxlevels=limits.levels)


def _are_written(values: Iterable[Any], in_json: list[str], for_people: list[str]) -> bool:
    """Whether the JSON and the text for people of each value could be added; not if one is more than an atom."""
    for value in values:
        kind = type(value)
        if kind is int:
            text = str(value)
            in_json.append(text)
            for_people.append(text)
        elif kind is str:
            in_json.append(quoted(value))
            for_people.append(_in_quotes(value))
        elif kind is bool or value is None:
            in_json.append(_WORDS[value])
            for_people.append(str(value))
        elif kind is float and isfinite(value):
            text = repr(value)
            in_json.append(text)
            for_people.append(text)
        else:
            return False
    return True


def _in_quotes(text: str) -> str:
    """As `saferepr` does: nothing but the quotes themselves is marked."""
    return "'" + text.replace("'", "\\'") + "'"
