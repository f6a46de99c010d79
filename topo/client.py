"""The traffic of one client host: real HTTP, as JSON lines on standard output.

Two kinds run side by side:
- requests with a connection each, at a fixed rate whatever the answers do (an open loop: a slow server does
  not slow the load down), at most `--concurrency` at a time; what would be more is counted as `held_back`;
- long-lived connections that send a request every `--pause` seconds and must be answered by the same backend
  over the same connection until we close it. One that breaks is reported and replaced by a new one.

Times are CLOCK_MONOTONIC in seconds, which all processes of a machine share.
"""

import argparse
import asyncio
import itertools
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass, field

import aiohttp

CONNECT_TIMEOUT = 4.0  # above one SYN retransmission (1 s) and a second one (2 s later)
TOTAL_TIMEOUT = 6.0
REPORT_SECONDS = 0.2
REOPEN_SECONDS = 0.5


@dataclass(frozen=True)
class Request:
    """One connection with one request. `backend` is who answered, or `error` what happened instead."""

    began: float
    ended: float
    backend: str = ""
    error: str = ""


@dataclass(frozen=True)
class StreamEvent:
    """What happened to a long-lived connection: `opened`, `failed` (to open; then `moment` is when that was
    begun), or `broken`."""

    what: str
    stream: int
    moment: float
    backend: str = ""
    error: str = ""


@dataclass
class Report:
    """What happened since the last report; `streams` are the long-lived connections alive now, by backend."""

    moment: float
    requests: list[Request] = field(default_factory=list)
    events: list[StreamEvent] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    answers_on_streams: int = 0
    held_back: int = 0


class StreamBroken(Exception):
    """A long-lived connection ended, or somebody else answered on it."""


class Client:
    """The load of one host, until `stop` is set."""

    def __init__(self, url: str, *, rate: float, concurrency: int, streams: int, pause: float) -> None:
        self.url = url
        self.rate = rate
        self.streams = streams
        self.pause = pause
        self.stop = asyncio.Event()
        self._room = asyncio.Semaphore(concurrency)
        self._report = Report(time.monotonic())
        self._alive: dict[int, str] = {}

    async def run(self) -> None:
        """Send until stopped; then let what is under way end, and report it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._requests())
            group.create_task(self._reports())
            for number in range(self.streams):
                group.create_task(self._keep_stream(number))
        self._flush()

    # One connection per request

    async def _requests(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TOTAL_TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        start = time.monotonic()
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for number in itertools.count():
                await asyncio.sleep(max(0.0, start + number / self.rate - time.monotonic()))
                if self.stop.is_set():
                    return
                if self._room.locked():
                    self._report.held_back += 1
                    continue
                await self._room.acquire()
                group.create_task(self._request(session))

    async def _request(self, session: aiohttp.ClientSession) -> None:
        began = time.monotonic()
        try:
            backend = await self._ask(session)
            self._report.requests.append(Request(began, time.monotonic(), backend=backend))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._report.requests.append(Request(began, time.monotonic(), error=_describe(error)))
        finally:
            self._room.release()

    async def _ask(self, session: aiohttp.ClientSession) -> str:
        async with session.get(self.url) as response:
            response.raise_for_status()
            answer = await response.json()
            return str(answer["backend"])

    # Long-lived connections

    async def _keep_stream(self, number: int) -> None:
        while not self.stop.is_set():
            await self._stream(number)
            self._alive.pop(number, None)
            await self._sleep(REOPEN_SECONDS)

    async def _stream(self, number: int) -> None:
        """One connection, from its opening to its end."""
        connections = 0
        backend = ""
        began = time.monotonic()

        async def opened(*_: object) -> None:
            nonlocal connections
            connections += 1

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(opened)
        timeout = aiohttp.ClientTimeout(total=TOTAL_TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=3600)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, trace_configs=[trace]
        ) as session:
            try:
                backend = await self._ask(session)
                self._report.events.append(StreamEvent("opened", number, time.monotonic(), backend))
                self._alive[number] = backend
                while not self.stop.is_set():
                    await self._sleep(self.pause)
                    answered = await self._ask(session)
                    # The library opens a new connection by itself when the server closed the old one.
                    if connections > 1:
                        raise StreamBroken(f"closed by the other side, {backend}")
                    if answered != backend:
                        raise StreamBroken(f"answered by {answered} instead of {backend}")
                    self._report.answers_on_streams += 1
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, StreamBroken) as error:
                if backend:
                    event = StreamEvent("broken", number, time.monotonic(), backend, _describe(error))
                else:
                    event = StreamEvent("failed", number, began, error=_describe(error))
                self._report.events.append(event)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not past the end."""
        try:
            await asyncio.wait_for(self.stop.wait(), seconds)
        except TimeoutError:
            return

    # Reports

    async def _reports(self) -> None:
        while not self.stop.is_set():
            await self._sleep(REPORT_SECONDS)
            self._flush()

    def _flush(self) -> None:
        report, self._report = self._report, Report(time.monotonic())
        report.moment = time.monotonic()
        for backend in self._alive.values():
            report.streams[backend] = report.streams.get(backend, 0) + 1
        print(json.dumps(asdict(report)), flush=True)


def _describe(error: BaseException) -> str:
    """The error and, for a socket's error that a library wrapped, its number's name."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


async def _main(arguments: argparse.Namespace) -> None:
    client = Client(
        arguments.url,
        rate=arguments.rate,
        concurrency=arguments.concurrency,
        streams=arguments.streams,
        pause=arguments.pause,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, client.stop.set)
    await client.run()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--streams", type=int, default=8, help="long-lived connections")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between requests on one of them")
    try:
        asyncio.run(_main(parser.parse_args()))
    except BrokenPipeError:  # who read our reports has gone
        sys.exit(1)


if __name__ == "__main__":
    main()
