"""`minsy health`: asks a running beat over HTTP whether it lives, or is ready; for probes that run a command."""

import json
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from apps.cli.beat_settings import tell_contradictions
from apps.cli.errors import EXIT_FAILED, CommandError
from apps.cli.output import AsJson, print_json
from packages.shared_settings import get_beat_settings

# Bound to all addresses of the machine, it is asked at this one.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing is bound here


def health(
    *,
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether it is ready, not only whether it lives.")] = False,
    url: Annotated[str | None, typer.Option("--url", help="Where it serves its pages, as http://host:port.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65_535, help="The port, on BEAT_HEALTH_HOST.")
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for an answer.")] = 3.0,
    as_json: AsJson = False,
) -> None:
    """Ask beat how it is: one line, and exit code 0 when all is well or 1 when it is not or does not answer."""
    host, at_port = _place(url, port)
    asked = "ready" if ready else "live"
    connection = HTTPConnection(host, at_port, timeout=timeout_s)
    try:
        connection.request("GET", f"/{asked}")
        answer = connection.getresponse()
        said = answer.read(10_000)
    except (OSError, HTTPException) as error:
        raise CommandError(f"beat does not answer at {host}:{at_port}: {str(error) or type(error).__name__}") from None
    finally:
        connection.close()
    facts = _facts(said)
    if facts is None or asked not in facts:
        raise CommandError(f"what answers at {host}:{at_port} is no beat")
    if as_json:
        print_json(facts)
    else:
        typer.echo(" ".join(f"{name}={_in_words(value)}" for name, value in facts.items()))
    if answer.status != HTTPStatus.OK:
        raise typer.Exit(EXIT_FAILED)


def _place(url: str | None, port: int | None) -> tuple[str, int]:
    """Host and port of the options, else of the settings.

    Raises:
        CommandError: they name none.
    """
    if url is not None:
        try:
            parts = urlsplit(url)
            named = (parts.scheme, parts.hostname, parts.port)
        except ValueError:
            named = ("", None, None)
        if named[0] != "http" or not named[1] or not named[2]:
            raise CommandError("--url: this is not of the form http://host:port")
        return named[1], named[2]
    settings = get_beat_settings()
    tell_contradictions(settings)
    host = _LOOPBACK.get(settings.beat_health_host, settings.beat_health_host)
    if found := port or settings.beat_health_port:
        return host, found
    raise CommandError("BEAT_HEALTH_PORT names no port; name the one that beat's log tells: --port")


def _in_words(value: object) -> str:
    """As the page has it, but for the quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def _facts(said: bytes) -> dict[str, Any] | None:
    """What beat says; None if it is not of beat."""
    try:
        facts = json.loads(said)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None
