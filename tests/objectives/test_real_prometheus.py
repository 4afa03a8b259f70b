"""What is asked of Prometheus, asked of the real server: what it answers, and how it refuses."""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest
from pydantic import SecretStr

from packages.infra.probes.external_objectives import ExternalObjectives
from packages.infra.probes.prometheus import NoNumberError, PrometheusAwayError, PrometheusClient, PrometheusError
from packages.scheduling.control.burn import WINDOWS_MS
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.readings import WindowCount
from packages.scheduling.snapshot import Reading
from tests.objectives.real_prometheus import PASSWORD, PREFIX, QUOTED, Real, real_prometheus, why_no_prometheus

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(why_no_prometheus() is not None, reason=str(why_no_prometheus())),
]

PATIENCE_S: Final = 60.0
NOW: Final = 1_800_000_000_000
# Whatever is counted while the server looks does not change.
BAD: Final = 'sum(max_over_time(requests_total{code=~"5.."}[$window])) or vector(0)'
TOTAL: Final = "sum(max_over_time(requests_total[$window]))"


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    """A server that has looked at the program."""
    with real_prometheus() as real:
        client = PrometheusClient(SecretStr(real.url))
        deadline = time.monotonic() + PATIENCE_S
        looks = 0.0
        # Of two looks something can have increased.
        while looks < 2:  # just said
            assert time.monotonic() < deadline, "it never looked"
            time.sleep(0.05)
            with suppress(PrometheusError):
                looks = client.value('sum(count_over_time(requests_total{code="200"}[5m]))')
        yield real
        client.close()


@pytest.fixture
def client(real: Real) -> Iterator[PrometheusClient]:
    client = PrometheusClient(SecretStr(real.url))
    yield client
    client.close()


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("1", 1),
        ("vector(3)", 3),
        ('requests_total{code="503"}', 3),
        ("sum(requests_total)", 120),
        ('sum(increase(requests_total{code=~"5.."}[5m])) or vector(0)', 0),
        ("sum(nobody_counts_it) or vector(0)", 0),
        ("1 + # ü\n 1", 2),
    ],
)
def test_a_number(client: PrometheusClient, query: str, value: float) -> None:
    assert client.value(query) == value


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("nobody_counts_it", "nothing matches the query"),
        ("scalar(nobody_counts_it)", "nan is no number of events"),
        ("broken", "nan is no number of events"),
        ("1 / 0", "inf is no number of events"),
        ("0 / 0", "nan is no number of events"),
        ("-1", r"-1\.0 is no number of events"),
    ],
)
def test_no_number(client: PrometheusClient, query: str, problem: str) -> None:
    with pytest.raises(NoNumberError, match=f"^{problem}$"):
        client.value(query)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("requests_total", "the query gives 2 numbers, not one: does it sum up"),
        ("requests_total[5m]", "the query gives neither a scalar nor a vector"),
        ('"text"', "the query gives neither a scalar nor a vector"),
        ("sum(", "status 400: .*parse error"),
        ("rate(requests_total)", "status 400: .*expected type range vector"),
        ("requests_total * on(job) requests_total", "status 422: .*duplicate series"),
    ],
)
def test_a_query_that_is_none(client: PrometheusClient, query: str, problem: str) -> None:
    with pytest.raises(PrometheusError, match=f"^{problem}") as refused:
        client.value(query)
    assert not isinstance(refused.value, NoNumberError | PrometheusAwayError)


def test_a_query_that_takes_too_long(real: Real) -> None:
    client = PrometheusClient(SecretStr(real.url), timeout_s=0.1)
    with pytest.raises(PrometheusError, match=r"^(no answer in time|status 503: .*timed out)"):
        client.value("sum(count_over_time(vector(1)[3d:100ms]))")
    client.close()


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://minsy:wrong@{host}{prefix}", "status 401, and no JSON"),
        ("http://{host}{prefix}", "status 401, and no JSON"),
        ("http://minsy:{password}@{host}", "status 404, and no JSON"),
        ("http://minsy:{password}@{host}/{prefix}", "status 301: a redirect is not followed"),
        ("https://minsy:{password}@{host}{prefix}", r"no connection \(SSLError\)"),
    ],
)
def test_an_address_that_is_not_its_own(
    real: Real, caplog: pytest.LogCaptureFixture, address: str, problem: str
) -> None:
    caplog.set_level(logging.DEBUG)
    client = PrometheusClient(SecretStr(address.format(host=real.host, prefix=PREFIX, password=QUOTED)))
    with pytest.raises(PrometheusError, match=f"^{problem}$") as refused:
        client.value("1")
    client.close()
    for secret in (PASSWORD, QUOTED):
        assert secret not in caplog.text + str(refused.value)


def test_an_objective(real: Real) -> None:
    objective = Objective("api", Measure.EXTERNAL, 990_000, bad_query=BAD, total_query=TOTAL)
    asking = ExternalObjectives(PrometheusClient(SecretStr(real.url)), interval_ms=50, now_ms=lambda: NOW)
    deadline = time.monotonic() + PATIENCE_S
    while not (readings := asking.read([objective])):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    asking.stop()
    asking.wait_for_end(PATIENCE_S)
    assert asking.has_ended
    # The server takes every length of a window as we write it.
    assert readings == {"api": Reading(tuple(WindowCount(window_ms, 3, 120) for window_ms in WINDOWS_MS), NOW)}
