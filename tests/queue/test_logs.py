"""Log lines: a constant event with fields, as text and as JSON, never with a password."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from packages.infra.telemetry.logs import configure_logging, tell_fields
from packages.shared_settings.masking import masked_url


@pytest.fixture
def root_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(log_format: Literal["text", "json"]) -> str:
    stream = io.StringIO()
    configure_logging(log_format=log_format, level="INFO", stream=stream)
    log = logging.getLogger("some.logger")
    log.debug("too_small")
    log.info("published", extra={"job": "a.b", "note": "two words", "url": "redis://:hunter2@h/0"})
    return stream.getvalue()


@pytest.mark.usefixtures("root_restored")
def test_text_is_one_line_with_fields() -> None:
    line = logged("text")
    assert line.count("\n") == 1
    assert ' INFO some.logger published job=a.b note="two words" url=redis://:***@h/0' in line


@pytest.mark.usefixtures("root_restored")
def test_only_the_text_of_an_error_is_quoted_and_no_list() -> None:
    stream = io.StringIO()
    configure_logging(log_format="text", level="INFO", stream=stream)
    fields = {"error": "[Errno 98] Address in use", "ids": [1, 2], "sent": {"a": 1}}
    logging.getLogger("some.logger").info("refused", extra=fields)
    assert stream.getvalue().endswith(""" refused error="[Errno 98] Address in use" ids=[1, 2] sent={'a': 1}\n""")


@pytest.mark.usefixtures("root_restored")
def test_json_is_one_object_a_line() -> None:
    record = json.loads(logged("json"))
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "INFO",
        "logger": "some.logger",
        "event": "published",
        "job": "a.b",
        "note": "two words",
        "url": "redis://:***@h/0",
    }


@pytest.mark.usefixtures("root_restored")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_masking_ends_with_the_url(log_format: Literal["text", "json"]) -> None:
    stream = io.StringIO()
    configure_logging(log_format=log_format, level="INFO", stream=stream)
    fields = {"server": "smtp://127.0.0.1:25", "to": "ada@example.com", "note": "key=3 of 7"}
    logging.getLogger("some.logger").info("sent", extra=fields)
    line = stream.getvalue()
    if log_format == "json":
        assert json.loads(line)["to"] == "ada@example.com"
    for value in fields.values():
        assert value in line


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
        ("postgresql://minsy:hunter2@h/db?sslmode=require", "postgresql://minsy:***@h/db?sslmode=require"),
        ("rediss://h/0?password=hunter2&x=1", "rediss://h/0?password=***&x=1"),
        ("json://h/?api_key=hunter2", "json://h/?api_key=***"),
        ("redis://user@h:6379/0", "redis://user@h:6379/0"),
        ("('redis://:hunter2@h/0', 'postgresql://u:hunter2@h/db')", "('redis://:***@h/0', 'postgresql://u:***@h/db')"),
    ],
)
def test_what_is_masked(url: str, shown: str) -> None:
    assert masked_url(url) == shown


@pytest.mark.usefixtures("root_restored")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_is_kept_and_masked(log_format: Literal["text", "json"]) -> None:
    stream = io.StringIO()
    configure_logging(log_format=log_format, level="INFO", stream=stream)
    try:
        int("cannot reach postgresql://minsy:hunter2@h/db")
    except ValueError:
        logging.getLogger("some.logger").exception("it_failed")
    assert "Traceback" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_logs_that_somebody_else_set_up_tell_the_fields_of_our_events() -> None:
    theirs = logging.Logger("theirs")  # noqa: LOG001  # nobody else is to know it
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    theirs.addHandler(handler)
    for _ in range(2):
        tell_fields(theirs, of="packages.")
    ours = logging.Logger("packages.infra.beat")  # noqa: LOG001  # as above
    ours.parent = theirs
    ours.info("decision", extra={"job": "area.job", "url": "redis://:secret@host/0"})
    theirs.info("hello", extra={"job": "area.job"})
    assert out.getvalue() == "[INFO] decision job=area.job url=redis://:***@host/0\n[INFO] hello\n"
