"""Logs on standard output, one line an event: as text for people or as JSON for machines.

An event's message is a constant name; what varies stands in fields (`extra=`). Nothing decides here what is logged.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

from packages.infra.telemetry.instants import rfc3339
from packages.shared_settings.masking import masked_url

# What every record has; the rest are the fields of the event.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# Celery puts the whole context of a task into the record's `data`; the line of the event says it already.
_LEFT_OUT = frozenset({"data"})


def configure_logging(*, log_format: Literal["text", "json"], level: int | str, stream: TextIO | None = None) -> None:
    """Send the root logger to `stream` (standard output unless given), replacing earlier handlers."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(_json_formatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Alembic and Apprise speak at INFO about every step they take.
    for chatty in ("alembic", "apprise", "mail.log"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def tell_fields(logger: logging.Logger, *, of: str) -> None:
    """Have the handlers of `logger` say the fields of events below the logger `of`, if they would leave them out.

    For a process whose logs somebody else has set up: a name of an event alone tells little.
    """
    for handler in logger.handlers:
        if not isinstance(handler.formatter, _SaysFields):
            handler.setFormatter(_FieldsBehind(handler.formatter or logging.Formatter(), of))


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The fields of an event: everything in the record that every record does not have."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in _LEFT_OUT}


class _SaysFields(logging.Formatter):
    """A formatter that tells the fields of an event."""


class TextFormatter(_SaysFields):
    """`2026-01-31T09:30:00.123Z INFO logger event field=value ...`, with URLs' passwords masked."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, or more where there is a traceback."""
        moment = rfc3339(datetime.fromtimestamp(record.created, UTC))
        line = f"{moment} {record.levelname} {record.name} {record.getMessage()}{_told(record)}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return masked_url(line)


class _FieldsBehind(_SaysFields):
    """Another formatter's text, with the fields behind its first line."""

    def __init__(self, inner: logging.Formatter, of: str) -> None:
        super().__init__()
        self._inner = inner
        self._of = of

    def format(self, record: logging.LogRecord) -> str:
        text = self._inner.format(record)
        if not record.name.startswith(self._of):
            return text
        first, newline, rest = text.partition("\n")
        return masked_url(f"{first}{_told(record)}{newline}{rest}")


def _told(record: logging.LogRecord) -> str:
    return "".join(f" {name}={_quoted(value)}" for name, value in fields_of(record).items())


def _quoted(value: object) -> str:
    text = str(value)
    # Lists and mappings have their own brackets, also those that come as JSON.
    has_brackets = text.startswith("{") or (text.startswith("[") and not isinstance(value, str))
    return f'"{text}"' if " " in text and not has_brackets else text


def _json_formatter() -> logging.Formatter:
    # Imported here, so that beat with text logs does not pay for it.
    from pythonjsonlogger.json import JsonFormatter

    class MaskingJsonFormatter(JsonFormatter, _SaysFields):
        """One JSON object a line: time, level, logger, event, and the fields."""

        def format(self, record: logging.LogRecord) -> str:
            for name in _LEFT_OUT:
                vars(record).pop(name, None)
            return masked_url(super().format(record))

        def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # logging's name
            del datefmt
            return rfc3339(datetime.fromtimestamp(record.created, UTC))

    return MaskingJsonFormatter(
        "{asctime}{levelname}{name}{message}",
        style="{",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "message": "event"},
    )
