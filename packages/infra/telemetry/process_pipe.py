"""Short records from the processes of a worker to its main process, which takes them in a thread of its own.

    any process ──(one write, never waiting)──> pipe ──(a thread, twenty times a second at most)──> main process

A record that finds the pipe full is left out: nobody waits for whoever counts. Says nothing about what a record means.
"""

import logging
import os
import selectors
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

log = logging.getLogger(__name__)

# Longer ones are not written in one piece (POSIX's least PIPE_BUF is 512).
LONGEST_RECORD: Final = 510
_LENGTH: Final = struct.Struct("!H")
_WAKE: Final = b""
_READ_BYTES: Final = 1 << 16
# Whoever wakes for each record takes the interpreter from the thread that hands out the tasks.
_GATHERED_FOR_S: Final = 0.05


class ProcessPipe:
    """Made in the main process before it forks. `take` gets each record, in one thread at a time."""

    def __init__(self, take: Callable[[bytes], object], *, name: str) -> None:
        self._take = take
        self._name = name
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._reading = threading.Lock()
        self._rest = b""

    def tell(self, record: bytes) -> None:
        """Hand a record over; from any process.

        Raises:
            ValueError: it is longer than `LONGEST_RECORD`.
        """
        if len(record) > LONGEST_RECORD:
            raise ValueError(f"a record has at most {LONGEST_RECORD} bytes, not {len(record)}")
        # The main process has ended, or does not keep up.
        with suppress(OSError):
            os.write(self._write_end, _LENGTH.pack(len(record)) + record)

    def take_in_thread(self) -> None:
        """Begin to take what the processes tell; in the main process, which does so to its end."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def take_what_is_there(self) -> bool:
        """Take every record that has been told so far; False once every process has closed its end."""
        with self._reading:
            while True:
                try:
                    data = os.read(self._read_end, _READ_BYTES)
                except BlockingIOError:
                    return True
                if not data:
                    return False
                self._rest = self._taken(self._rest + data)

    def close(self) -> None:
        """Tell nothing more, and end the taking; what another process tells after that is left out."""
        self._ended.set()
        self.tell(_WAKE)
        os.close(self._write_end)
        self._write_end = -1
        if self._thread is not None:
            self._thread.join()
        os.close(self._read_end)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._read_end, selectors.EVENT_READ)
            while not self._ended.is_set():
                selector.select()
                if not self.take_what_is_there():
                    return
                self._ended.wait(_GATHERED_FOR_S)

    def _taken(self, data: bytes) -> bytes:
        at = 0
        while at + _LENGTH.size <= len(data):
            begin = at + _LENGTH.size
            end = begin + _LENGTH.unpack_from(data, at)[0]
            if end > len(data):
                break
            if begin < end:
                self._take_one(data[begin:end])
            at = end
        return data[at:]

    def _take_one(self, record: bytes) -> None:
        try:
            self._take(record)
        except Exception:
            # The loop boundary: what is wrong with one record must not lose those behind it.
            log.exception("record_not_taken", extra={"pipe": self._name})
