"""A scheduler on the server of the tests, and what makes its messages."""

from collections.abc import Iterator

import pytest

from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.scheduler import AdaptiveScheduler
from tests.beat.messages.building import app_on


@pytest.fixture
def scheduler(redis_url: str) -> Iterator[AdaptiveScheduler]:
    scheduler = AdaptiveScheduler(app_on(redis_url))
    yield scheduler
    scheduler.close()


@pytest.fixture
def messages(scheduler: AdaptiveScheduler) -> Messages:
    return Messages(scheduler)
