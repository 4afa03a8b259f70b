"""What ends a backtest from outside.

BacktestError(job_id)
├── BacktestNotQueuedError(status)
└── BacktestLostError
"""


class BacktestError(Exception):
    """The root of the tree above."""

    def __init__(self, message: str, *, job_id: int) -> None:
        super().__init__(message)
        self.job_id = job_id


class BacktestNotQueuedError(BacktestError):
    """The job cannot be started: it is not there (`status` is None), or another run has started it."""

    def __init__(self, *, job_id: int, status: str | None) -> None:
        found = "is not there" if status is None else f"is {status}"
        super().__init__(f"backtest job {job_id} {found}; only a queued one can be started", job_id=job_id)
        self.status = status


class BacktestLostError(BacktestError):
    """The job is no longer this run's: it was failed as stale, and perhaps started anew, while this run went on."""

    def __init__(self, *, job_id: int) -> None:
        super().__init__(f"backtest job {job_id} is no longer this run's; its work is dropped", job_id=job_id)
