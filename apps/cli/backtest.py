"""`minsy backtest`: asks worker_cpu for a backtest, and shows what became of those asked for.

The job is a row first and a message after it, so that a worker always finds what its message names. A row whose message
could not be sent is failed at once. A kill between the two leaves a queued row, which the list shows.
"""

import json
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from celery import Celery
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from apps.cli.environment import load_celery_app, use_database
from apps.cli.errors import EXIT_FAILED, EXIT_NOT_RUNNING, CommandError
from apps.cli.output import AsJson, coloured, is_wide, print_json, print_table
from packages.domain.accounts.active_user import NoActiveUserError, active_user_id
from packages.domain.backtest.listing import ListedBacktest, find_backtest, list_backtests
from packages.domain.backtest.request import BacktestRequestError, fail_unsent, request_backtest
from packages.domain.market_data.timeframes import BAR_LENGTHS, bar_length
from packages.domain.paper_trading.errors import StrategyError

app = typer.Typer(no_args_is_help=True, help="Ask for backtests, and see what became of them.")

TASK = "backtest.run"
QUEUE = "backtest"
MOST_LISTED = 200
POLL_S = 0.5
# How long a job may stay queued before it is asked whether any worker serves its queue, and how long they may answer.
PATIENCE = timedelta(seconds=5)
ANSWER_TIMEOUT_S = 3.0


def _known_timeframe(given: str) -> str:
    try:
        bar_length(given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return given


@app.command()
def start(  # noqa: PLR0913 - the options of one command
    *,
    strategy: Annotated[str, typer.Option(metavar="NAME", help="A stored strategy by its name.")],
    symbol: Annotated[str, typer.Option(help="A symbol that bars are stored of.")],
    by: Annotated[str, typer.Option("--by", metavar="EMAIL", help="The active user who asks for it.")],
    timeframe: Annotated[
        str, typer.Option(help=f"The length of the bars: {', '.join(BAR_LENGTHS)}.", callback=_known_timeframe)
    ] = "1d",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, and print the result.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a backtest to the worker of long computations. With --wait, exit code 1 when it fails.

    Exit code 3 when --wait finds no worker; the backtest stays in the queue.
    """
    with use_database() as sessions:
        try:
            with sessions.begin() as session:
                job_id = request_backtest(
                    session,
                    user_id=active_user_id(session, by),
                    strategy_name=strategy,
                    symbol=symbol,
                    timeframe=timeframe,
                    now=datetime.now(UTC),
                )
        except (NoActiveUserError, BacktestRequestError, StrategyError) as error:
            raise CommandError(str(error)) from None
        celery_app = _send(sessions, job_id)
        job = _wait_for_end(sessions, celery_app, job_id) if wait else _find(sessions, job_id)
    if as_json:
        print_json(asdict(job))
    else:
        _print_one(job)
    if job.status == "failed":
        raise typer.Exit(EXIT_FAILED)


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """Show the backtests, newest first."""
    with use_database() as sessions, sessions.begin() as session:
        jobs = list_backtests(session, limit=MOST_LISTED)
    if as_json:
        print_json([asdict(job) for job in jobs])
    elif jobs:
        details = is_wide()
        columns = [
            "id",
            "status",
            "asked for (UTC)",
            "strategy",
            "symbol",
            *(["bars", "by"] if details else []),
            "result",
        ]
        print_table(columns, (_row(job, details=details) for job in jobs), shortened="result")
    else:
        typer.echo("No backtest was ever asked for.")


def _send(sessions: sessionmaker[Session], job_id: int) -> Celery:
    try:
        celery_app = load_celery_app()
        celery_app.send_task(TASK, args=(job_id,), queue=QUEUE)
    except BaseException as error:
        # Also when a person interrupts it: nobody would ever look at the row again.
        reason = " ".join(str(error).split()) or type(error).__name__
        failed = False
        with suppress(SQLAlchemyError), sessions.begin() as session:
            failed = fail_unsent(session, job_id=job_id, now=datetime.now(UTC), reason=reason)
        marked = "it is marked as failed" if failed else "and it could not be marked as failed"
        if isinstance(error, Exception):
            raise CommandError(f"backtest {job_id} could not be sent, {marked}: {reason}") from None
        typer.echo(f"backtest {job_id} was not sent; {marked}", err=True)
        raise
    return celery_app


def _wait_for_end(sessions: sessionmaker[Session], celery_app: Celery, job_id: int) -> ListedBacktest:
    asked_at = time.monotonic()
    while not (job := _find(sessions, job_id)).has_ended:
        if job.status == "queued" and time.monotonic() - asked_at >= PATIENCE.total_seconds():
            if not _is_served(celery_app):
                typer.echo(
                    f"No worker serves the queue {QUEUE}. Backtest {job_id} stays in it and runs when one does: "
                    "minsy up. What becomes of it: minsy backtest list",
                    err=True,
                )
                raise typer.Exit(EXIT_NOT_RUNNING)
            asked_at = time.monotonic()
        time.sleep(POLL_S)
    return job


def _is_served(celery_app: Celery) -> bool:
    answers = celery_app.control.inspect(timeout=ANSWER_TIMEOUT_S).active_queues() or {}
    return any(queue["name"] == QUEUE for queues in answers.values() for queue in queues)


def _find(sessions: sessionmaker[Session], job_id: int) -> ListedBacktest:
    with sessions.begin() as session:
        job = find_backtest(session, job_id)
    if job is None:
        raise CommandError(f"backtest {job_id} is not there any more")
    return job


def _row(job: ListedBacktest, *, details: bool) -> list[object]:
    return [
        job.job_id,
        coloured(job.status),
        f"{job.created_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        job.strategy,
        job.symbol,
        *([job.timeframe, job.requested_by] if details else []),
        job.error if job.result is None else json.dumps(job.result),
    ]


def _print_one(job: ListedBacktest) -> None:
    typer.echo(f"backtest {job.job_id} of {job.strategy} on {job.symbol} ({job.timeframe}) is {job.status}")
    if job.error is not None:
        typer.echo(f"  error: {job.error}")
    for name, value in (job.result or {}).items():
        typer.echo(f"  {name}: {value}")
