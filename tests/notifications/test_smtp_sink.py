import email
import email.policy
import os
import signal
import smtplib
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path

import pytest

from packages.infra.channels.smtp_sink import SmtpSink


@pytest.fixture
def mailbox(tmp_path: Path) -> Path:
    return tmp_path / "var" / "mail"


@pytest.fixture
def sink(mailbox: Path) -> Iterator[SmtpSink]:
    sink = SmtpSink(mailbox)
    sink.start()
    yield sink
    sink.stop()


def send(port: int, subject: str = "Grüße") -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "desk@example.com", "ann@example.com", subject
    message.set_content("first line\n.a line with a dot\n")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.send_message(message, to_addrs=["ann@example.com", "blind@example.com"])


def test_a_mail_becomes_one_file_of_its_owner(sink: SmtpSink, mailbox: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="packages.infra.channels.smtp_sink"):
        send(sink.port)
    (path,) = mailbox.iterdir()
    assert path.suffix == ".eml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(mailbox.stat().st_mode) == 0o700
    kept = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert (kept["Subject"], kept["X-Envelope-From"]) == ("Grüße", "desk@example.com")
    assert kept["X-Envelope-To"] == "ann@example.com, blind@example.com"
    assert kept.get_content().splitlines() == ["first line", ".a line with a dot"]
    (record,) = [record for record in caplog.records if record.message == "mail_kept"]
    assert record.__dict__["to"] == ["ann@example.com", "blind@example.com"]
    assert record.__dict__["subject"] == "Grüße"


def test_mails_at_once_are_all_kept(sink: SmtpSink, mailbox: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: send(sink.port, f"mail {number}"), range(20)))
    subjects = {
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)["Subject"]
        for path in mailbox.iterdir()
    }
    assert subjects == {f"mail {number}" for number in range(20)}


def test_a_mail_that_cannot_be_kept_is_refused_for_now(sink: SmtpSink, mailbox: Path) -> None:
    mailbox.rmdir()
    with pytest.raises(smtplib.SMTPDataError) as caught:
        send(sink.port)
    assert caught.value.smtp_code == 452
    mailbox.mkdir()
    send(sink.port)
    assert len(list(mailbox.iterdir())) == 1


def test_a_stopped_sink_gives_its_port_back(sink: SmtpSink, mailbox: Path) -> None:
    port = sink.port
    with pytest.raises(RuntimeError, match="runs already"):
        sink.start()
    sink.stop()
    sink.stop()
    with pytest.raises(ConnectionRefusedError):
        send(port)
    again = SmtpSink(mailbox, port=port)
    again.start()
    send(port)
    again.stop()


def test_a_taken_port_is_an_error(mailbox: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="address already in use"):
        SmtpSink(mailbox, port=taken.getsockname()[1]).start()


def test_only_loopback_is_listened_on(mailbox: Path) -> None:
    with pytest.raises(ValueError, match=r"on a loopback address only, not on 0\.0\.0\.0"):
        SmtpSink(mailbox, host="0.0.0.0")  # noqa: S104 - the refusal is the point


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_of_its_own_stops_on_a_signal(mailbox: Path, number: signal.Signals) -> None:
    script = (
        "import logging, sys\n"
        "from pathlib import Path\n"
        "from packages.infra.channels.smtp_sink import serve\n"
        "class Say(logging.Handler):\n"
        "    def emit(self, record):\n"
        "        print(record.getMessage(), record.__dict__.get('port'), flush=True)\n"
        "logging.basicConfig(level=logging.INFO, handlers=[Say()])\n"
        "serve(Path(sys.argv[1]), 0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(mailbox)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        try:
            said, port = process.stdout.readline().split()
            assert said == "smtp_sink_listening"
            send(int(port))
            process.send_signal(number)
            rest = process.stdout.read().splitlines()
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
    assert rest == ["mail_kept None", f"smtp_sink_stopped {port}"]
    assert len(list(mailbox.iterdir())) == 1
