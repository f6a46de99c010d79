"""UDP checks: one datagram there, one back."""

import asyncio
import socket

from controller.health.checks import CheckFailed, Target, connected
from controller.health.settings import UdpCheck, octets

RECEIVE_SIZE = 65535
SHOWN = 40
"""Bytes of an answer that a message shows."""


async def udp(target: Target, check: UdpCheck) -> str:
    """Passes if a datagram comes back that holds what is expected.

    The socket is connected: it hears nobody else, and ICMP "port unreachable" as `connection refused`.
    """
    loop = asyncio.get_running_loop()
    async with connected(target, socket.SOCK_DGRAM) as sock:
        await loop.sock_sendall(sock, octets(check.send))
        answer = await loop.sock_recv(sock, RECEIVE_SIZE)
    if check.expect is not None and octets(check.expect) not in answer:
        raise CheckFailed(f"the answer {answer[:SHOWN]!r} does not hold {check.expect!r}")
    return f"{len(answer)} bytes came back"
