"""`minsy run JOB`: one job, now, in this process."""

import logging
import sys
from typing import Any

import typer

from apps.cli.environment import load_celery_app, ready_database, use_servers
from apps.cli.errors import CommandError
from apps.cli.job_names import JobArgument, find_job
from apps.cli.output import AsJson, print_json
from packages.infra.telemetry.logs import configure_logging
from packages.shared_settings import get_worker_io_settings


def run(
    job: JobArgument,
    *,
    as_json: AsJson = False,
) -> None:
    """Run one job of the catalogue now, in this process, and print its result; exit code 1 when it fails.

    The job's flag does not matter. Without a database of your own the embedded one is started, and stopped after.
    """
    name = find_job(job).name
    settings = get_worker_io_settings()
    # Standard output is the result's alone.
    configure_logging(log_format=settings.log_format, level=logging.WARNING, stream=sys.stderr)
    if settings.log_level != "DEBUG":
        _leave_out_tracebacks()
    with use_servers(settings):
        ready_database(settings)
        celery_app = load_celery_app()
        celery_app.loader.import_default_modules()
        # As a worker would: with the task's signals, so that `minsy status` shows this run, too.
        result = celery_app.tasks[name].apply()
        outcome: Any = result.result
        if result.failed():
            raise CommandError(f"{name} failed: {type(outcome).__name__}: {outcome}")
    if as_json:
        print_json({"job": name, "result": outcome})
    else:
        typer.echo(f"{name} succeeded")
        for key, value in outcome.items():
            typer.echo(f"  {key}: {value}")


def _leave_out_tracebacks() -> None:
    """Each log line names its error; where it was raised is told with LOG_LEVEL=DEBUG."""

    def name_the_error(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            record.error = f"{type(error).__name__}: {error}"
            record.exc_info = None
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(name_the_error)
    # Celery's report of a failed task: the command says it itself.
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)
