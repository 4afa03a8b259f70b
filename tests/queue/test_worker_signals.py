"""What is shown as a task's last run: a run, and not a message that was dropped."""

import pytest
from celery import Celery, states

from packages.infra.queue.last_runs import read_last_runs
from packages.infra.queue.worker_signals import _ended


@pytest.mark.parametrize(
    ("state", "is_shown"), [(states.SUCCESS, True), (states.FAILURE, True), (states.IGNORED, False)]
)
def test_a_message_that_was_dropped_is_no_run(redis_url: str, state: str, is_shown: bool) -> None:  # noqa: FBT001  # a column
    app = Celery("shown", broker=redis_url, backend=redis_url, set_as_current=False)

    @app.task(name="area.what")
    def what() -> None:
        """Do nothing."""

    _ended("id", what, None, state)
    assert ("area.what" in read_last_runs(app)) is is_shown
    app.backend.client.close()  # type: ignore[attr-defined]  # that of Redis has one
