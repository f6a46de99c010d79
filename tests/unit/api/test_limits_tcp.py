"""What strangers may take of the TCP port: time for TLS, places. None of them has a token."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from controller.api import limits
from controller.api.app import Served, create_app
from controller.api.limits import Connections, Ended
from controller.api.listening import Tcp, TcpOptions
from controller.api.serving import Server
from tests.fakes.controller import FakeController
from tests.fakes.tcp import tcp_options
from tests.unit.api.test_limits import PATIENCE, SOON, received, until

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is absent")

HANDSHAKE = ("tcp", Ended.HANDSHAKE)


class Place:
    """An API at a unix socket and at a TCP port, as a daemon has it."""

    def __init__(self, folder: Path, connections: Connections, port: int) -> None:
        self.folder, self.connections, self.port = folder, connections, port

    @contextmanager
    def stranger(self) -> Iterator[socket.socket]:
        """Connected, and silent."""
        with socket.socket() as sock:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", self.port))
            yield sock

    async def status_by_tcp(self) -> int:
        """Of an answer to somebody with a token."""
        token = (self.folder / "token").read_text().strip()
        trusted = ssl.create_default_context(cafile=self.folder / "authority.pem")
        async with httpx.AsyncClient(verify=trusted, timeout=PATIENCE) as client:
            address = f"https://127.0.0.1:{self.port}/v1/vips"
            answer = await client.get(address, headers={"Authorization": f"Bearer {token}"})
        return answer.status_code

    async def status_by_socket(self) -> int:
        transport = httpx.AsyncHTTPTransport(uds=str(self.folder / "sluice.sock"))
        async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
            return (await client.get("http://sluice/v1/vips")).status_code


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> TcpOptions:
    return tcp_options(tmp_path_factory.mktemp("api"))


@asynccontextmanager
async def served(options: TcpOptions) -> AsyncIterator[Place]:
    assert options.certificate
    folder, tcp, about = options.certificate.parent, Tcp(options), Served(FakeController())
    with socket.socket(socket.AF_UNIX) as local, tcp.listening() as port:
        local.bind(str(folder / "sluice.sock"))
        servers = [
            Server(create_app(about), connections=about.connections),
            Server(create_app(about, tcp.access), tcp.tls, about.connections),
        ]
        serving = [
            asyncio.create_task(server.serve([place]))
            for server, place in zip(servers, (local, port), strict=True)
        ]
        for server in servers:
            await server.ready.wait()
        try:
            yield Place(folder, about.connections, port.getsockname()[1])
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*serving)
            (folder / "sluice.sock").unlink()


async def drip(sock: socket.socket, data: bytes) -> None:
    """One byte now and then."""
    for byte in data:
        await asyncio.sleep(SOON / 4)
        try:
            sock.send(bytes([byte]))
        except OSError:
            return


def hello() -> bytes:
    """The first message of a client that means it (RFC 8446, 4.1.2)."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="sluice")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("how", ["says nothing", "drips", "stops after its hello"])
async def test_who_does_not_finish_the_handshake_is_hung_up_on(
    options: TcpOptions, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_TIME", SOON)
    async with served(options) as place:
        with place.stranger() as sock:
            await until(lambda: place.connections.present["tcp"] == 1)
            dripping = asyncio.create_task(drip(sock, hello() if how == "drips" else b""))
            if how == "stops after its hello":
                sock.sendall(hello())
            monkeypatch.undo()  # the others have their time
            assert await place.status_by_tcp() == 200
            await received(sock)
            dripping.cancel()
        await until(lambda: place.connections.present["tcp"] == 0)
        assert place.connections.ended == {HANDSHAKE: 1}


async def test_who_speaks_something_else_is_hung_up_on_at_once(options: TcpOptions) -> None:
    async with served(options) as place:
        with place.stranger() as sock:
            await until(lambda: place.connections.present["tcp"] == 1)
            sock.sendall(b"GET /v1/vips HTTP/1.1\r\nHost: sluice\r\n\r\n")
            assert not (await received(sock)).startswith(b"HTTP")
        await until(lambda: place.connections.ended == {HANDSHAKE: 1})


async def test_silent_strangers_take_the_places_of_tcp_for_a_time_and_none_at_the_socket(
    options: TcpOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(limits, "HANDSHAKE_TIME", 3 * SOON)
    async with served(options) as place:
        with place.stranger(), place.stranger(), place.stranger():
            await until(lambda: place.connections.present["tcp"] == 3)
            assert await place.status_by_socket() == 200
            assert await place.status_by_tcp() == 200  # when their time is over
        assert place.connections.ended[HANDSHAKE] == 3


async def test_one_client_cannot_take_all_places(
    options: TcpOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS_OF_ONE", 2)
    async with served(options) as place:
        with place.stranger() as first, place.stranger():
            await until(lambda: place.connections.present["tcp"] == 2)
            with place.stranger() as third:
                assert await received(third) == b""
            assert place.connections.ended == {("tcp", Ended.TOO_MANY): 1}
            first.close()
            await until(lambda: place.connections.present["tcp"] == 1)
            assert await place.status_by_tcp() == 200


async def test_the_counts_are_among_the_metrics(options: TcpOptions) -> None:
    async with served(options) as place:
        with place.stranger() as sock:
            await until(lambda: place.connections.present["tcp"] == 1)
            transport = httpx.AsyncHTTPTransport(uds=str(place.folder / "sluice.sock"))
            async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
                metrics = (await client.get("http://sluice/metrics")).text.splitlines()
                assert 'sluice_api_connections{listener="tcp"} 1.0' in metrics
                assert 'sluice_api_connections{listener="socket"} 1.0' in metrics
                assert 'sluice_api_connections_ended_total{listener="tcp",reason="handshake"} 0.0' in metrics
            sock.close()
