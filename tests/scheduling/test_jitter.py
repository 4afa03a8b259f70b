"""The offset of a fire: a hash, the same everywhere, spread evenly."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.instants import LAST_INSTANT
from packages.scheduling.jitter import hash64, offset_ms, offsets_ms
from packages.scheduling.planned import planned_of, planned_of_many
from packages.scheduling.policies import LONGEST_JITTER_MS, Policies
from packages.shared_settings.layers import ROOT
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job


def test_known_values_never_change() -> None:
    # A change here would move the fires of every running system once.
    assert [offset_ms("area.job", MIDNIGHT + n * MINUTE, 60_000) for n in range(4)] == [23_879, 32_037, 7_605, 10_860]


@pytest.mark.parametrize("seed", ["0", "1", "12345"])
def test_every_process_agrees(seed: str) -> None:
    code = "from packages.scheduling.jitter import hash64; print(hash64('area.job', 7))"
    environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert int(done.stdout) == hash64("area.job", 7)


@given(
    name=st.text(max_size=20),
    nominals=st.lists(st.integers(0, LAST_INSTANT), min_size=1, max_size=20),
    width=st.integers(0, LONGEST_JITTER_MS),
)
@settings(max_examples=200, deadline=None)
def test_many_at_once_are_the_same_as_one_by_one(name: str, nominals: list[int], width: int) -> None:
    at_once = offsets_ms(name, np.array(nominals), np.full(len(nominals), width))
    assert at_once.tolist() == [offset_ms(name, nominal, width) for nominal in nominals]
    assert all(0 <= offset < max(width, 1) for offset in at_once.tolist())


def test_offsets_are_spread_evenly() -> None:
    tenths = [0] * 10
    for n in range(10_000):
        tenths[offset_ms("area.job", MIDNIGHT + n * MINUTE, 10)] += 1
    # Each tenth is a binomial of mean 1000 and deviation 30.
    assert all(850 < tenth < 1_150 for tenth in tenths)


@pytest.mark.parametrize("width", [-1, 0])
def test_no_width_is_no_offset(width: int) -> None:
    assert offset_ms("area.job", MIDNIGHT, width) == 0


@given(every=st.integers(1, 100_000), jitter=st.integers(0, 300_000), start=st.integers(0, 10**9))
@settings(max_examples=200, deadline=None)
def test_a_fire_is_planned_after_its_nominal_and_before_the_following_one(every: int, jitter: int, start: int) -> None:
    job = a_job(every=every, policies=Policies(jitter_ms=jitter))
    nominals = [start // every * every + n * every for n in range(10)]
    planned = [planned_of(job, nominal, nominal + every, {}) for nominal in nominals]
    for nominal, at in zip(nominals, planned, strict=True):
        assert nominal <= at < nominal + every
    assert planned_of_many(job, np.array(nominals), nominals[-1] + every, {}).tolist() == planned
