from collections.abc import Iterator

import pytest

from tests.objectives.prometheus_server import PrometheusServer


@pytest.fixture
def server() -> Iterator[PrometheusServer]:
    with PrometheusServer().serving() as serving:
        yield serving
