"""ICMP checks: an echo request there, an echo reply back (RFC 792, RFC 4443), one socket for all targets.

A ping socket is taken where the system allows us one (net.ipv4.ping_group_range), since it needs no rights;
otherwise a raw one, which needs CAP_NET_RAW.
"""

import asyncio
import os
import socket
import struct
from ipaddress import ip_address

from controller.health.checks import CheckNotMade, Target, blame
from controller.values import Address

HEADER = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number."""

REQUEST, REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
PROTOCOL = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}

# <linux/icmp.h>, <linux/icmpv6.h>: bits of types that the socket is not to hear. One word, and eight.
SOL_RAW, ICMP_FILTER = 255, 1
ICMPV6_FILTER = 1
NOTHING_BUT_REPLIES4 = struct.pack("=I", 0xFFFFFFFF & ~(1 << REPLY[4]))
NOTHING_BUT_REPLIES6 = struct.pack(
    "=8I", *(0xFFFFFFFF & ~(1 << REPLY[6] % 32 if word == REPLY[6] // 32 else 0) for word in range(8))
)

RECEIVE_BUFFER = 1 << 20
RECEIVE_SIZE = 2048
AT_A_TIME = 256
"""Replies that are read before others have a turn."""


class EchoSocket:
    """Asks all targets of one family, from one source address. Belongs to the running event loop."""

    def __init__(self, version: int, source: Address | None) -> None:
        """Raises OSError; PermissionError when the system allows neither kind of socket."""
        self._version = version
        self._sock, self._raw = _open(version)
        self._loop = asyncio.get_running_loop()
        self._identifier = int.from_bytes(os.urandom(2))
        self._secret = os.urandom(8)
        """What makes a reply one to us: raw sockets hear those to everybody."""
        self._sequence = 0
        self._waiting: dict[tuple[Address, int], asyncio.Future[None]] = {}
        try:
            self._sock.setblocking(False)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if source is not None:
                self._sock.bind((str(source), 0))
        except OSError:
            self._sock.close()
            raise
        self._loop.add_reader(self._sock, self._hear)

    def close(self) -> None:
        self._loop.remove_reader(self._sock)
        self._sock.close()

    async def ask(self, address: Address) -> None:
        """Returns when `address` has answered. Raises OSError when it cannot be asked."""
        self._sequence = (self._sequence + 1) % 65536
        key = address, self._sequence
        self._waiting[key] = answered = self._loop.create_future()
        try:
            self._sock.sendto(self._request(self._sequence), (str(address), 0))
            await answered
        finally:
            self._waiting.pop(key, None)

    def _request(self, sequence: int) -> bytes:
        """With a checksum for raw ICMPv4 sockets; elsewhere the kernel fills it in."""
        kind = REQUEST[self._version]
        bare = HEADER.pack(kind, 0, 0, self._identifier, sequence) + self._secret
        return HEADER.pack(kind, 0, _checksum(bare), self._identifier, sequence) + self._secret

    def _hear(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                packet, sender = self._sock.recvfrom(RECEIVE_SIZE)
            except BlockingIOError:
                return
            except OSError:
                continue  # what the network says about one of our requests: its check ends by its timeout
            if self._raw and self._version == 4:
                packet = packet[(packet[0] & 15) * 4 :]  # raw IPv4 sockets hand over the IP header, too
            if len(packet) < HEADER.size:
                continue
            kind, _, _, identifier, sequence = HEADER.unpack_from(packet)
            ours = packet[HEADER.size :] == self._secret and (not self._raw or identifier == self._identifier)
            if kind != REPLY[self._version] or not ours:
                continue
            address = ip_address(sender[0].partition("%")[0])
            waiting = self._waiting.get((address, sequence))
            if waiting and not waiting.done():
                waiting.set_result(None)


def _open(version: int) -> tuple[socket.socket, bool]:
    """A socket, and whether it is a raw one."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        return socket.socket(family, socket.SOCK_DGRAM, PROTOCOL[version]), False
    except PermissionError:
        sock = socket.socket(family, socket.SOCK_RAW, PROTOCOL[version])
    if version == 4:
        sock.setsockopt(SOL_RAW, ICMP_FILTER, NOTHING_BUT_REPLIES4)
    else:
        sock.setsockopt(socket.IPPROTO_ICMPV6, ICMPV6_FILTER, NOTHING_BUT_REPLIES6)
    return sock, True


def _checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Echoes:
    """The sockets for all checks: one for each family and source address."""

    def __init__(self) -> None:
        self._sockets: dict[tuple[int, Address | None], EchoSocket] = {}

    async def ask(self, target: Target) -> str:
        """Passes if the target answers an echo request."""
        with blame(target):
            await self._socket(target).ask(target.address)
        return "echo reply"

    def _socket(self, target: Target) -> EchoSocket:
        key = target.address.version, target.source
        if key not in self._sockets:
            try:
                self._sockets[key] = EchoSocket(*key)
            except PermissionError:
                needed = "the capability CAP_NET_RAW, or a group in net.ipv4.ping_group_range"
                raise CheckNotMade(f"cannot send echo requests: that needs {needed}") from None
        return self._sockets[key]

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
