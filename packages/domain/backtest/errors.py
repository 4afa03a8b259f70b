"""What can go wrong with a backtest job itself; what its strategy or its bars raise comes as it is.

BacktestError(job_id)
├── UnknownBacktestError
└── BacktestLostError
"""


class BacktestError(Exception):
    """The root of the tree above."""

    def __init__(self, message: str, *, job_id: int) -> None:
        super().__init__(message)
        self.job_id = job_id


class UnknownBacktestError(BacktestError):
    """There is no such job."""

    def __init__(self, *, job_id: int) -> None:
        super().__init__(f"backtest job {job_id} is not there", job_id=job_id)


class BacktestLostError(BacktestError):
    """The job is no longer this run's: it was failed as stale or taken over by another run, while this one went on."""

    def __init__(self, *, job_id: int) -> None:
        super().__init__(f"backtest job {job_id} is no longer this run's; its work is dropped", job_id=job_id)
