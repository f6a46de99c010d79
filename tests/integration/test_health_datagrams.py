"""Checks by ICMP and UDP."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from controller.health.asker import Asker
from controller.health.checks import CheckFailed
from controller.health.settings import IcmpCheck, UdpCheck
from tests.integration.checking import PATIENT, SHORT, watch

ECHO = IcmpCheck(type="icmp", timeout=PATIENT)


@pytest.mark.root
@pytest.mark.parametrize(("address", "source"), [("127.0.0.1", "127.0.0.7"), ("::1", None)])
async def test_icmp_asks_many_by_one_socket(asker: Asker, address: str, source: str | None) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    answers = await asyncio.gather(*(asker.ask(watch(ECHO, 0, address, source)) for _ in range(50)))
    assert answers == 50 * ["echo reply"]
    assert len([*Path("/proc/self/fd").iterdir()]) == before + 1


@pytest.mark.root
async def test_icmp_tells_the_silent_from_those_who_answer(asker: Asker) -> None:
    silent = watch(IcmpCheck(type="icmp", timeout=SHORT), address="240.0.0.1")
    asked = [asker.ask(watch(ECHO, address="127.0.0.2")), asker.ask(silent), asker.ask(watch(ECHO))]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answers[0], answers[2]] == ["echo reply", "echo reply"]
    assert isinstance(answers[1], CheckFailed)


PING = """
import asyncio
from ipaddress import ip_address
from controller.health.checks import CheckNotMade, Target
from controller.health.echo import Echoes

async def main():
    for address in ("127.0.0.1", "::1"):
        try:
            print(await Echoes().ask(Target(ip_address(address), 0)))
        except CheckNotMade as error:
            print(error)

asyncio.run(main())
"""


@pytest.mark.root
@pytest.mark.parametrize(
    ("groups", "answer"),
    [
        ("0 1000", "echo reply"),
        ("1 0", "cannot send echo requests: that needs the capability CAP_NET_RAW, or a group in"),
    ],
)
def test_icmp_without_rights_takes_a_ping_socket_or_says_what_it_needs(groups: str, answer: str) -> None:
    """In a network namespace of its own, without any capability."""
    script = f"ip link set lo up && sysctl -qw net.ipv4.ping_group_range='{groups}' && exec setpriv "
    script += '--bounding-set=-all --inh-caps=-all --reuid=1 --regid=1 --clear-groups "$@"'
    command = ["unshare", "-n", "sh", "-c", script, "sh", sys.executable, "-c", PING]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert [line.startswith(answer) for line in said.stdout.splitlines()] == [True, True], said


# udp


@asynccontextmanager
async def udp_server(answer: bytes | None, address: str = "127.0.0.1") -> AsyncIterator[int]:
    """Answers each datagram with what it got and `answer`; None: with nothing."""

    class Serve(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if answer is not None:
                self.transport.sendto(data + answer, addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Serve, (address, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        await asyncio.sleep(0)  # when the socket is closed


@pytest.mark.parametrize(
    ("send", "expect", "answer", "size"),
    [
        ("ping", None, b"", 4),
        ("ping", "pong", b" pong", 9),
        ("hex:0102", "hex:0203", b"\x03", 3),
        ("", None, b"!", 1),
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_udp_passes(
    asker: Asker, send: str, expect: str | None, answer: bytes, size: int, address: str
) -> None:
    check = UdpCheck(type="udp", send=send, expect=expect, timeout=PATIENT)
    async with udp_server(answer, address) as port:
        assert await asker.ask(watch(check, port, address)) == f"{size} bytes came back"


async def test_udp_fails_by_another_answer_by_none_and_by_port_unreachable(asker: Asker) -> None:
    async with udp_server(b" nothing") as port:
        with pytest.raises(CheckFailed, match=r"^the answer b'ping nothing' does not hold 'pong'$"):
            await asker.ask(watch(UdpCheck(type="udp", send="ping", expect="pong", timeout=PATIENT), port))
    async with udp_server(None) as port:
        with pytest.raises(CheckFailed, match=r"^no answer within 100 ms$"):
            await asker.ask(watch(UdpCheck(type="udp", timeout=SHORT), port))
    with pytest.raises(CheckFailed, match=r"^connection refused$"):
        await asker.ask(watch(UdpCheck(type="udp", timeout=PATIENT), port))


async def test_udp_hears_nobody_but_whom_it_asks(asker: Asker) -> None:
    """An answer from another port, as a broken server would send it."""

    class Elsewhere(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(data, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Elsewhere, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    with pytest.raises(CheckFailed, match=r"^no answer within"):
        await asker.ask(watch(UdpCheck(type="udp", timeout=SHORT), port))
    transport.close()
