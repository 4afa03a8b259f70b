import datetime as dt
import email
import email.policy
import json
import logging
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select
from sqlalchemy.orm import sessionmaker

from packages.domain.notifications.dispatch import dispatch_pending
from packages.domain.notifications.models import Notification
from packages.domain.notifications.outbox import enqueue
from packages.domain.notifications.sender import PermanentSendError, TransientSendError
from packages.infra.channels.apprise_sender import AppriseSender, _url_parts
from packages.infra.channels.smtp_sink import SmtpSink

# apprise imports this module of the standard library for one of its dependencies.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

PASSWORD, TOKEN = "pass%20w0rd", "t0ken-of-the-chat"


class Hook(ThreadingHTTPServer):
    """Keeps what is posted to it and answers with `status`; stalls while `status` is 0."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HookHandler)
        self.status = 200
        self.posted: list[tuple[dict[str, str], dict[str, object]]] = []
        self.released = threading.Event()


class _HookHandler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((dict(self.headers), json.loads(content)))
        if not self.server.status:
            self.server.released.wait(timeout=30)
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: the tests look at `posted`."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def mailbox(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
def sink(mailbox: Path) -> Iterator[SmtpSink]:
    sink = SmtpSink(mailbox)
    sink.start()
    yield sink
    sink.stop()


def sender_of(*, timeout_s: float = 10.0, **channels: str) -> AppriseSender:
    return AppriseSender({name: SecretStr(url) for name, url in channels.items()}, timeout_s=timeout_s)


def mail_url(port: int) -> str:
    return f"mailto://127.0.0.1:{port}/?from=desk@example.com&name=Desk&to={{recipient}}"


def send(
    sender: AppriseSender,
    channel: str,
    *,
    recipient: str | None = "ann@example.com",
    subject: str = "Order filled",
    body: str = "Bought 3 ACME <at> 10 & more.",
    key: str = "order-filled:7",
) -> None:
    sender.send(channel=channel, recipient=recipient, subject=subject, body=body, idempotency_key=key)


def mails(mailbox: Path) -> list[EmailMessage]:
    return [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in sorted(mailbox.iterdir())
    ]


@pytest.mark.parametrize(
    "recipient", ["ann@example.com", "ann+orders@example.com", "o'neil@mail.example.com", "a..b@example.com"]
)
def test_an_email_reaches_its_one_recipient_as_written(sink: SmtpSink, mailbox: Path, recipient: str) -> None:
    send(sender_of(email=mail_url(sink.port)), "email", recipient=recipient)
    (mail,) = mails(mailbox)
    assert (mail["X-Envelope-To"], mail["To"]) == (recipient, recipient)
    assert (mail["From"], mail["Subject"]) == ("Desk <desk@example.com>", "Order filled")
    assert mail["X-Idempotency-Key"] == "order-filled:7"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().strip() == "Bought 3 ACME <at> 10 & more."


def test_no_text_can_add_a_header_line(sink: SmtpSink, mailbox: Path) -> None:
    send(
        sender_of(email=mail_url(sink.port)),
        "email",
        subject="Filled\r\nBcc: eve@example.com",
        key="k\r\nBcc: eve@example.com",
    )
    (mail,) = mails(mailbox)
    assert mail["Bcc"] is None
    assert mail["X-Envelope-To"] == "ann@example.com"
    assert mail["Subject"] == "Filled Bcc: eve@example.com"
    assert mail["X-Idempotency-Key"] == "k%0D%0ABcc: eve@example.com"


@pytest.mark.parametrize(
    ("recipient", "said"),
    [
        (None, "must have 1 to 320 characters"),
        ("", "must have 1 to 320 characters"),
        ("a" * 321, "must have 1 to 320 characters"),
        ("ann@example.com\r\nBcc: eve@example.com", "control characters"),
        ("ann@example.com,eve@example.com", "one plain e-mail address"),
        ("Ann <ann@example.com>", "one plain e-mail address"),
        ("ann", "one plain e-mail address"),
        ("ann%2Ceve@example.com", "one plain e-mail address"),
        ("ann@-example.com", "one plain e-mail address"),
        ("ann@" + "a" * 250 + "!", "one plain e-mail address"),
    ],
)
def test_a_recipient_that_cannot_be_is_refused_for_good(recipient: str | None, said: str) -> None:
    with pytest.raises(PermanentSendError, match=said):
        send(sender_of(email=mail_url(1)), "email", recipient=recipient)


def test_a_webhook_gets_the_message_and_the_key(hook: Hook) -> None:
    send(sender_of(hook=f"json://127.0.0.1:{hook.server_port}/orders"), "hook", recipient=None)
    ((headers, payload),) = hook.posted
    assert headers["X-Idempotency-Key"] == "order-filled:7"
    assert (payload["title"], payload["message"]) == ("Order filled", "Bought 3 ACME <at> 10 & more.")


def test_a_chat_has_the_key_in_its_last_line(hook: Hook) -> None:
    send(sender_of(chat=f"mmost://127.0.0.1:{hook.server_port}/{TOKEN}"), "chat", recipient=None)
    ((_, payload),) = hook.posted
    lines = str(payload["text"]).splitlines()
    assert lines[0].strip("# ") == "Order filled"
    assert lines[-1] == "[X-Idempotency-Key: order-filled:7]"


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_a_refusal_is_transient_and_tells_no_secret(hook: Hook, status: int, caplog: pytest.LogCaptureFixture) -> None:
    hook.status = status
    sender = sender_of(
        hook=f"json://user:{PASSWORD}@127.0.0.1:{hook.server_port}/{TOKEN}",
        chat=f"mmost://127.0.0.1:{hook.server_port}/{TOKEN}",
    )
    for channel in ("hook", "chat"):
        with pytest.raises(TransientSendError, match=rf"channel '{channel}': .*error={status}") as caught:
            send(sender, channel)
        assert caught.value.channel == channel
        for secret in (PASSWORD, "pass w0rd", TOKEN):
            assert secret not in str(caught.value)
            assert secret not in caplog.text
    assert len(hook.posted) == 2


def test_the_parts_of_a_url_that_may_be_secret() -> None:
    parts = _url_parts(f"json://user:{PASSWORD}@hooks.example.com:8443/{TOKEN}/a?+X-Auth=k3y-of-hook&x=1")
    assert {PASSWORD, "pass w0rd", "user", TOKEN, "k3y-of-hook"} <= set(parts)
    assert "hooks.example.com:8443" not in parts
    assert "T1JJ3T3L2" in _url_parts("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")


def test_a_reason_is_scrubbed() -> None:
    # apprise names the mail server; here that name is a query value, so it counts as a secret.
    url = "mailto://example.com:1/?smtp=localhost&from=desk@example.com&to={recipient}"
    with pytest.raises(TransientSendError, match=r'Connection error while submitting email to "\*\*\*\*"'):
        send(sender_of(email=url), "email")


class Names(logging.Handler):
    """Keeps the logger's name of each line that reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.name)


def test_lines_of_the_library_stay_out_of_the_log(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    # pytest's own handler listens to loggers that do not propagate, too; a plain one at the root is what a worker has.
    names = Names()
    logging.getLogger().addHandler(names)
    try:
        with caplog.at_level("INFO"):
            send(sender_of(hook=f"json://127.0.0.1:{hook.server_port}"), "hook")
            logging.getLogger("a.witness").info("heard")
    finally:
        logging.getLogger().removeHandler(names)
    assert "a.witness" in names.seen
    assert [name for name in names.seen if name.startswith("apprise")] == []


def test_a_server_that_does_not_answer_is_transient(hook: Hook) -> None:
    hook.status = 0
    with pytest.raises(TransientSendError, match="onnection error"):
        send(sender_of(hook=f"json://127.0.0.1:{hook.server_port}", timeout_s=0.1), "hook")


@pytest.mark.parametrize("url", [mail_url(1), "json://127.0.0.1:1"])
def test_a_server_that_is_not_there_is_transient(url: str) -> None:
    with pytest.raises(TransientSendError, match="onnection error"):
        send(sender_of(channel=url), "channel")


def test_a_mail_server_that_cannot_keep_a_mail_is_transient(sink: SmtpSink, mailbox: Path) -> None:
    mailbox.rmdir()
    with pytest.raises(TransientSendError, match="channel 'email'"):
        send(sender_of(email=mail_url(sink.port)), "email")


@pytest.mark.parametrize("url", [f"nosuch://{TOKEN}", "slack://incomplete", "json://"])
def test_a_url_that_cannot_be_used_can_still_be_mended(url: str) -> None:
    with pytest.raises(TransientSendError, match="apprise cannot use its URL") as caught:
        send(sender_of(channel=url), "channel")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(("sender", "known"), [(sender_of(email=mail_url(1)), "email"), (sender_of(), "none")])
def test_a_channel_that_is_not_there_can_still_be_added(sender: AppriseSender, known: str) -> None:
    with pytest.raises(TransientSendError, match=f"channel 'pager' is not configured; there are: {known}"):
        send(sender, "pager")


def test_an_empty_message_is_refused_for_good() -> None:
    with pytest.raises(PermanentSendError, match="neither subject nor body"):
        send(sender_of(email=mail_url(1)), "email", subject=" ", body="\n")


def test_channels_are_checked_and_keep_their_secrets() -> None:
    sender = sender_of(hook=f"json://user:{PASSWORD}@127.0.0.1/{TOKEN}")
    assert repr(sender) == "AppriseSender(channels=['hook'])"
    with pytest.raises(ValueError, match="channel 'hook': its value must be an apprise URL") as caught:
        sender_of(hook=TOKEN)
    assert TOKEN not in str(caught.value)
    with pytest.raises(ValueError, match="timeout_s must be above 0"):
        sender_of(timeout_s=0)


def test_the_outbox_reaches_the_mailbox(engine: Engine, sink: SmtpSink, mailbox: Path) -> None:
    now = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
    sessions = sessionmaker(engine)
    with sessions() as session, session.begin():
        for key, recipient in (("good", "ann@example.com"), ("bad", "not an address")):
            text = {"subject": f"The {key} one", "body": "text"}
            enqueue(session, idempotency_key=key, channel="email", recipient=recipient, now=now, **text)
    result = dispatch_pending(
        sessions,
        sender=sender_of(email=mail_url(sink.port)),
        now=lambda: now,
        batch_size=10,
        max_attempts=3,
        backoff_base=dt.timedelta(seconds=1),
        backoff_cap=dt.timedelta(seconds=9),
        claim_for=dt.timedelta(minutes=1),
    )
    assert (result.sent, result.dead) == (1, 1)
    assert [mail["X-Idempotency-Key"] for mail in mails(mailbox)] == ["good"]
    with sessions() as session:
        states = session.execute(select(Notification.idempotency_key, Notification.status))
        assert {key: status for key, status in states} == {"good": "sent", "bad": "dead"}  # noqa: C416 - a Row is no pair to dict's type
