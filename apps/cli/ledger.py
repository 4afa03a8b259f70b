"""`minsy ledger`: the decisions that were made last, as the ledger has them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer
from kombu.exceptions import OperationalError

from apps.cli.decision_words import decision_as_json, decision_text, instant_text
from apps.cli.environment import embedded_services, load_celery_app
from apps.cli.errors import CommandError
from apps.cli.job_names import find_job
from apps.cli.moments import instant_in_words
from apps.cli.output import AsJson, is_wide, print_json, print_table
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.connections import embedded_servers_needed
from packages.infra.ledger.ledger import Ledger
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.broker_redis import open_state_redis
from packages.scheduling.decision import Decision
from packages.shared_settings import get_worker_io_settings


def ledger(
    *,
    job: Annotated[
        str | None, typer.Option("--job", metavar="NAME", help="One job, by its name or the part behind the dot.")
    ] = None,
    last: Annotated[int, typer.Option("--last", metavar="N", help="So many.", min=1, max=100_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what beat decided last, the newest first: what it published, what it skipped, what waits, and why."""
    name = None if job is None else _named(job)
    with _open_ledger() as opened:
        decisions = opened.read(name, last)
    if as_json:
        print_json([{"job": decision.job, **decision_as_json(decision)} for decision in decisions])
    elif decisions:
        _print(decisions)
    else:
        typer.echo("The ledger has no decision." if name is None else f"The ledger has no decision on {name}.")


def _named(given: str) -> str:
    """The job of the catalogue that is meant; else what was given: the ledger also has jobs that are no more."""
    try:
        return find_job(given).name
    except typer.BadParameter:
        return given


@contextmanager
def _open_ledger() -> Iterator[Ledger]:
    """The ledger of this process's settings. An embedded server that does not run is started for it."""
    settings = get_worker_io_settings()
    with ExitStack() as held:
        if "valkey" in embedded_servers_needed(settings):
            held.enter_context(embedded_services(settings).hold(want={"valkey"}))
        redis = open_state_redis(load_celery_app())
        if redis is None:
            raise CommandError(
                "the broker is not Redis and BEAT_STATE_URL is not set, so the ledger is in beat's own process alone"
            )
        held.callback(redis.close)
        try:
            yield RedisLedger(redis)
        except StoreAwayError as error:
            raise OperationalError(str(error)) from None


def _print(decisions: list[Decision]) -> None:
    wide = is_wide()
    # On a narrow terminal what happened matters more than which nominal it was.
    columns = ["at", "job", *(["nominal", "origin"] if wide else []), "decision", "reason"]
    rows = [
        [
            instant_text(decision.at) if wide else instant_in_words(decision.at),
            decision.job,
            *([instant_text(decision.nominal), decision.origin] if wide else []),
            decision.verdict.value,
            decision_text(decision),
        ]
        for decision in decisions
    ]
    print_table(columns, rows, shortened="reason")
