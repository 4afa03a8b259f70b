"""A way to a server that can be slow, cut, silent or lossy, and can hold a command just before or after its execution.

One for each replica, so that what a replica publishes is seen from outside. It runs in a thread of its own; the methods
are for the test's thread. Like a network it delivers late what was sent into a silence, even if the sender is dead.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final
from urllib.parse import urlsplit

from tests.faults.frames import Frames, carries_messages, jobs_of, term_of

_LOOPBACK: Final = "127.0.0.1"
_PATIENCE_S: Final = 30.0
_CHUNK: Final = 1 << 16


class Way(Enum):
    """`REFUSE`: connections are reset. `SILENCE`: nothing arrives until it is over."""

    PASS = auto()
    REFUSE = auto()
    SILENCE = auto()


class When(Enum):
    """Just before the server gets the command, or when it has executed it and the client does not know yet."""

    BEFORE = auto()
    AFTER = auto()


class Hold:
    """One command that is held. `drop`: on its release it is not passed on, and its connection is reset."""

    def __init__(self, proxy: "Proxy", when: When, matches: Callable[[bytes], bool]) -> None:
        self.when = when
        self.matches = matches
        self._proxy = proxy
        self._reached = threading.Event()
        self.released = asyncio.Event()
        self.drop = False

    def wait(self) -> None:
        """Until a command is held."""
        assert self._reached.wait(_PATIENCE_S), "no such command came"

    def release(self, *, drop: bool = False) -> None:
        """Pass it on, or its answer; or never."""
        self.drop = drop
        self._proxy.call(self.released.set)

    async def held(self) -> bool:
        """Wait for the release; whether to pass it on."""
        self._reached.set()
        await self.released.wait()
        return not self.drop


class Proxy:
    """A way to the server at `url`; `self.url` is that server through it. `delay_s` is added to each command."""

    def __init__(self, url: str) -> None:
        self._found = urlsplit(url)
        self.delay_s = 0.0
        # The answers to so many commands that publish are lost, and their connections with them.
        self.answers_to_lose = 0
        self.jobs: Counter[str] = Counter()
        self.commands = 0
        # Of the newest commands that publish, be they refused by the server.
        self.published_at_s = float("-inf")
        self.term = 0
        self._links: set[_Link] = set()
        self._holds: list[Hold] = []
        self._way = Way.PASS
        self._passing = asyncio.Event()
        self._passing.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener = self._run(asyncio.start_server(self._accept, _LOOPBACK, 0))
        self.port = self._listener.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return self._found._replace(netloc=f"{self._found.netloc.rpartition(':')[0]}:{self.port}").geturl()

    def be(self, way: Way) -> None:
        """Treat all connections so from now on."""
        self.call(self._be, way)

    def reset_all(self) -> None:
        """Reset every open connection."""
        self.call(self._reset_all)

    def hold(self, when: When, matches: Callable[[bytes], bool] = carries_messages) -> Hold:
        """Hold the next command that matches, on whatever connection."""
        hold = Hold(self, when, matches)
        self.call(self._holds.append, hold)
        return hold

    def close(self) -> None:
        """End it, and all connections through it."""
        self._run(self._close())
        self.call(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call in the thread of the proxy, soon."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def hold_of(self, frame: bytes, when: When) -> Hold | None:
        """The hold that waits for this command, which is then taken."""
        for hold in self._holds:
            if hold.when is when and hold.matches(frame):
                self._holds.remove(hold)
                return hold
        return None

    async def until_passing(self) -> None:
        """Wait while there is silence."""
        await self._passing.wait()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  # whatever the coroutine returns
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE_S)

    def _be(self, way: Way) -> None:
        self._way = way
        if way is Way.REFUSE:
            self._reset_all()
        if way is Way.SILENCE:
            self._passing.clear()
        else:
            self._passing.set()

    def _reset_all(self) -> None:
        for link in self._links:
            link.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._way is Way.REFUSE:
            writer.transport.abort()
            return
        await self.until_passing()
        try:
            to_server = await asyncio.open_connection(_LOOPBACK, self._found.port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), to_server)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    async def _close(self) -> None:
        self._listener.close()
        self._be(Way.REFUSE)
        for hold in self._holds:
            hold.released.set()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection of a client, and the one to the server that stands for it."""

    def __init__(self, proxy: Proxy, client: _Stream, server: _Stream) -> None:
        self._proxy = proxy
        self._client, self._to_client = client
        self._server, self._to_server = server
        self._commands: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        # What is to be done with the answer to each command that the server has not answered yet, in their order.
        self._awaited: asyncio.Queue[tuple[Hold | None, bool]] = asyncio.Queue()

    async def run(self) -> None:
        """Pass on until one side is gone. What a client sent before it went is delivered first."""
        receiving = asyncio.create_task(self._receive())
        sending, answering = asyncio.create_task(self._send()), asyncio.create_task(self._answer())
        receiving.add_done_callback(lambda _: self._commands.put_nowait((0.0, b"")))
        try:
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (receiving, sending, answering):
                task.cancel()
            await asyncio.gather(receiving, sending, answering, return_exceptions=True)
            # What was passed on still arrives.
            self._to_client.close()
            self._to_server.close()

    def reset(self) -> None:
        """Break both connections."""
        self._to_client.transport.abort()
        self._to_server.transport.abort()

    async def _receive(self) -> None:
        frames = Frames()
        with suppress(ConnectionError):
            while data := await self._client.read(_CHUNK):
                for frame in frames.feed(data):
                    self._commands.put_nowait((time.monotonic() + self._proxy.delay_s, frame))

    async def _send(self) -> None:
        with suppress(ConnectionError):
            while True:
                due_s, frame = await self._commands.get()
                if not frame:
                    return
                if (wait_s := due_s - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                before = self._proxy.hold_of(frame, When.BEFORE)
                if before is not None and not await before.held():
                    self.reset()
                    return
                await self._proxy.until_passing()
                self._note(frame)
                self._to_server.write(frame)
                await self._to_server.drain()

    def _note(self, frame: bytes) -> None:
        """Remember what is to become of the answer, and what is published."""
        jobs, is_lost = jobs_of(frame), False
        self._proxy.commands += 1
        if jobs:
            self._proxy.jobs.update(jobs)
            self._proxy.published_at_s = time.monotonic()
            self._proxy.term = max(self._proxy.term, term_of(frame))
            is_lost = self._proxy.answers_to_lose > 0
            self._proxy.answers_to_lose -= is_lost
        self._awaited.put_nowait((self._proxy.hold_of(frame, When.AFTER), is_lost))

    async def _answer(self) -> None:
        frames = Frames()
        with suppress(ConnectionError):
            while data := await self._server.read(_CHUNK):
                for frame in frames.feed(data):
                    hold, is_lost = await self._awaited.get()
                    if is_lost or (hold is not None and not await hold.held()):
                        self.reset()
                        return
                    await self._proxy.until_passing()
                    self._to_client.write(frame)
                    await self._to_client.drain()
