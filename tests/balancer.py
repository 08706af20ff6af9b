"""A proxy in front of several services, as any balancer is one: round-robin, ready ones only, and the next one if a connection is refused."""

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress

LOOK_SECONDS = 0.2  # between two requests for /ready


class Balancer:
    """Passes connections on, byte by byte: it knows no requests, and repeats none.

    Args:
        ports: of the services, on the loopback interface.

    Attributes:
        port: its own; 0 before :meth:`start`.
        taken: number of connections that each service got, by its port.
        ready: whether the last answer of each service to ``/ready`` was 200, by its port.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = 0
        self.taken = dict.fromkeys(ports, 0)
        self.ready = dict.fromkeys(ports, False)
        self._turns = itertools.count()
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen, and ask whether the services are ready."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, backlog=128)
        self.port = self._server.sockets[0].getsockname()[1]
        self._watching = [asyncio.create_task(self._watch(port)) for port in self.ready]

    async def stop(self) -> None:
        """End all connections."""
        self._server.close()
        for task in self._watching:
            task.cancel()
        for writer in self._open:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
        await asyncio.sleep(0.1)  # transports close in the next rounds of the loop

    async def _watch(self, port: int) -> None:
        while True:
            self.ready[port] = await _is_ready(port)
            await asyncio.sleep(LOOK_SECONDS)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = next(self._turns)
        ports = list(self.ready)
        ports = ports[turn % len(ports) :] + ports[: turn % len(ports)]
        for port in sorted(ports, key=lambda each: not self.ready[each]):  # stable: in turn, ready ones first
            try:
                theirs = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            self.taken[port] += 1
            both = {writer, theirs[1]}
            self._open |= both
            await asyncio.gather(_copy(reader, theirs[1]), _copy(theirs[0], writer))
            self._open -= both
            return
        writer.transport.abort()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the source ends; a connection that is reset is reset on the other side, too."""
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
        target.close()
        await target.wait_closed()
    except OSError:
        target.transport.abort()


async def _is_ready(port: int) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return (await reader.readline()).startswith(b"HTTP/1.1 200")
            finally:
                writer.transport.abort()
    return False


@contextmanager
def balancer(ports: Sequence[int]) -> Iterator[Balancer]:
    """Run a balancer in a thread of its own while the block lasts."""
    running = Balancer(ports)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="balancer")
    thread.start()

    def run(work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        run(running.start())
        yield running
    finally:
        run(running.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
