"""The texts that are written by hand are those of kombu, Celery and the standard library, whatever they are of."""

import hashlib
import uuid
from datetime import timedelta
from typing import Any

import pytest
from celery.utils.saferepr import saferepr
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.utils.json import dumps

from packages.infra.beat.messages.argument_texts import Limits, argument_texts, is_plain
from packages.infra.beat.messages.fire_ids import claim_of, task_id_and_claim_of, task_id_of
from packages.infra.beat.messages.instant_texts import InstantTexts
from packages.infra.beat.messages.recent import Recent
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, to_datetime

ORIGINS = ("schedule", "clock:1", "trigger:a", "backfill:a")
ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
NESTED = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
ARGS = st.lists(ATOMS, max_size=4) | st.tuples(ATOMS, NESTED) | st.lists(NESTED, max_size=4)
KWARGS = st.dictionaries(st.text(max_size=8), ATOMS, max_size=4) | st.dictionaries(st.text(max_size=8), NESTED)
LIMITS = st.builds(Limits, st.integers(1, 60) | st.just(1024), st.integers(1, 60) | st.just(1024), st.integers(1, 4))


class Word(str):
    __slots__ = ()


@given(ARGS, KWARGS, LIMITS)
@settings(max_examples=200)
def test_arguments_are_what_celery_makes_of_them(args: list[Any], kwargs: dict[str, Any], limits: Limits) -> None:
    texts = argument_texts(args, kwargs, limits)
    assert texts is not None
    # As Celery's scheduler and its protocol hand them on.
    its_args: Any = list(args) or ()
    assert texts == (
        (dumps(its_args), saferepr(its_args, limits.args_chars, maxlevels=limits.levels)),
        (dumps(kwargs), saferepr(kwargs, limits.kwargs_chars, maxlevels=limits.levels)),
    )


@pytest.mark.parametrize(
    "args",
    [
        ({1, 2},),
        (timedelta(seconds=1),),
        (b"bytes",),
        (Word("word"),),
        ([Word("word")],),
        ({1: 2},),
        {"a": 1},
        "text",
        iter(()),
        object(),
    ],
)
def test_arguments_that_are_not_plain(args: object) -> None:
    limits = Limits(1024, 1024, 3)
    assert argument_texts(args, None, limits) is None
    assert argument_texts((), {"n": args}, limits) is None or isinstance(args, dict | str)


@pytest.mark.parametrize("kwargs", [{1: 2}, {Word("word"): 1}, {"n": object()}, [("n", 1)]])
def test_named_arguments_that_are_not_plain(kwargs: object) -> None:
    assert argument_texts((), kwargs, Limits(1024, 1024, 3)) is None


def test_something_endless_is_not_plain() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert not is_plain(endless)


@given(st.lists(st.integers(FIRST_INSTANT, LAST_INSTANT), min_size=1, max_size=20))
def test_an_instant_is_written_as_everywhere(instants: list[int]) -> None:
    texts = InstantTexts()
    for instant in (*instants, *(instant + 1 for instant in instants)):
        assert texts(instant) == rfc3339(to_datetime(instant))


def test_very_many_instants() -> None:
    texts = InstantTexts()
    for second in range(10_000):
        assert texts(second * 1_000) == rfc3339(to_datetime(second * 1_000))
    assert len(texts._seconds) <= 4_096


@given(st.text(), st.integers(FIRST_INSTANT, LAST_INSTANT), st.text())
def test_the_id_of_a_fire_is_made_from_its_name(job: str, nominal: int, origin: str) -> None:
    task_id = uuid.UUID(task_id_of(job, nominal, origin))
    assert (task_id.version, task_id.variant) == (8, uuid.RFC_4122)
    assert (str(task_id), task_id.bytes) == task_id_and_claim_of(job, nominal, origin)
    assert claim_of(job, nominal, origin) == task_id.bytes
    of_instant = hashlib.sha1(f"{nominal}\n{origin}".encode(), usedforsecurity=False).digest()
    of_job = hashlib.sha1(job.encode(), usedforsecurity=False).digest()
    # All bits of both digests but for those of version and variant.
    assert (task_id.int >> 80, task_id.int >> 64 & 0xFFF) == (
        int.from_bytes(of_job[:6], "big"),
        int.from_bytes(of_job[:8], "big") >> 4 & 0xFFF,
    )
    assert task_id.int & (1 << 62) - 1 == int.from_bytes(of_instant[:8], "big") & (1 << 62) - 1


def test_no_two_fires_have_one_id() -> None:
    fires = [(f"job-{job}", 60_000 * minute, origin) for job in range(50) for minute in range(50) for origin in ORIGINS]
    assert len({task_id_of(*fire) for fire in fires}) == len({claim_of(*fire) for fire in fires}) == len(fires)


def test_the_id_is_the_same_in_every_version() -> None:
    assert task_id_of("area.job", 1_767_614_400_000, "schedule") == "e38ae60a-9bdd-8f82-9bbf-6ef6e696635d"


def test_what_was_used_last_is_remembered() -> None:
    recent: Recent[int, str] = Recent(10)
    for number in range(100):
        recent.put(number, str(number))
        assert recent.get(0) == "0"
    assert len(recent) <= 20
    assert [recent.get(number) for number in range(90, 100)] == [str(number) for number in range(90, 100)]
    assert recent.get(50) is None
    recent.drop(99)
    assert (recent.get(99), recent.get(98)) == (None, "98")
    recent.clear()
    assert (recent.get(98), len(recent)) == (None, 0)
