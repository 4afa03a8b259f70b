"""A mail server for development: takes every mail, delivers none, keeps each as a file that a mail program opens.

It listens on loopback only and asks for no password, so it refuses any other address. One mail is one `.eml` file,
shown whole or not at all, readable by its owner only. A mail that cannot be written is refused for now, so that
its sender tries again.
"""

import asyncio
import datetime as dt
import email.parser
import email.policy
import ipaddress
import itertools
import logging
import os
import signal
import threading
from concurrent.futures import Future
from pathlib import Path
from types import FrameType

from aiosmtpd.smtp import SMTP, Envelope, Session

from packages.infra.embedded.ports import LOOPBACK

log = logging.getLogger(__name__)

_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0


class SmtpSink:
    """A sink in a thread of its own. `port` 0 takes a free one; `port` tells which after `start()`.

    Raises:
        ValueError: a host that is not a loopback address.
    """

    def __init__(self, directory: Path, host: str = LOOPBACK, port: int = 0) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"SMTP sink: it has no password, so it listens on a loopback address only, not on {host}")
        self._directory = directory
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def port(self) -> int:
        """The port it listens on; before `start()` the one that was asked for."""
        return self._port

    def start(self) -> None:
        """Listen. Returns when connections are taken.

        Raises:
            OSError: the port is taken, or the directory cannot be made.
            RuntimeError: it runs already.
        """
        if self._thread is not None:
            raise RuntimeError("SMTP sink: it runs already")
        # The library logs each command of each session; one line of ours for each mail is enough.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        listening: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="smtp-sink", daemon=True)
        self._thread.start()
        try:
            self._port = listening.result(timeout=_START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop listening and wait for the thread. Harmless when it does not run."""
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join(timeout=_STOP_TIMEOUT_S)
            self._thread = None

    def _run(self, listening: "Future[int]") -> None:
        try:
            asyncio.run(self._serve(listening))
        except BaseException as error:
            # Before the port is known the starter waits for it and raises this there; afterwards it is ours to end.
            if listening.done():
                raise
            listening.set_exception(error)

    async def _serve(self, listening: "Future[int]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        keeper = _Keeper(self._directory)
        server = await self._loop.create_server(
            # A host name of its own: the library's default asks the DNS for one.
            lambda: SMTP(keeper, hostname="smtp-sink.localhost", enable_SMTPUTF8=True, loop=self._loop),
            host=self._host,
            port=self._port,
        )
        async with server:
            listening.set_result(server.sockets[0].getsockname()[1])
            await self._stopping.wait()


class _Keeper:
    """aiosmtpd's handler: writes each mail into the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count(1)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - the library looks for this name
        content = envelope.original_content or b""
        recipients = [_one_line(recipient) for recipient in envelope.rcpt_tos]
        # The envelope goes on top: it alone tells of blind copies.
        top = f"X-Envelope-From: {_one_line(envelope.mail_from or '')}\r\nX-Envelope-To: {', '.join(recipients)}\r\n"
        try:
            path = self._write(top.encode("utf-8") + content)
        except OSError as error:
            log.exception("mail_not_kept", extra={"directory": str(self._directory)})
            return f"452 4.3.1 the mail cannot be kept: {error.strerror}"
        log.info("mail_kept", extra={"to": recipients, "subject": _subject(content), "file": path.name})
        return "250 2.0.0 kept"

    def _write(self, content: bytes) -> Path:
        stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path = self._directory / f"{stamp}-{next(self._numbers):06d}.eml"
        unfinished = path.with_name(f".{path.name}.part")
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            unfinished.rename(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return path


def serve(directory: Path, port: int) -> None:
    """Run a sink on loopback until SIGTERM or SIGINT; for a process of its own, in its main thread.

    Raises:
        OSError: the port is taken, or the directory cannot be made.
    """
    asked_to_stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        asked_to_stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    sink = SmtpSink(directory, port=port)
    sink.start()
    log.info("smtp_sink_listening", extra={"host": LOOPBACK, "port": sink.port, "directory": str(directory)})
    asked_to_stop.wait()
    sink.stop()
    log.info("smtp_sink_stopped", extra={"port": sink.port})


def _subject(content: bytes) -> str:
    # The default policy decodes encoded words; reading the headers alone is enough.
    message = email.parser.BytesParser(policy=email.policy.default).parsebytes(content, headersonly=True)
    return _one_line(str(message.get("Subject", "")))


def _one_line(text: str) -> str:
    return " ".join(text.split())
