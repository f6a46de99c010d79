"""Asks the switch what would become of a packet, and reads its answer (p4src/trace.p4).

One trace is under way at a time. Its frame carries a number of its own, in TCP's sequence and acknowledgement
numbers, or as UDP's payload. That survives whatever the program does: a rewrite leaves it, an ICMP error
quotes it (or of UDP only the header, whose checksum the number makes another one), and a reset acknowledges
it or the number behind it. So a late answer to an earlier trace is not
taken for this one's.
"""

import asyncio
import secrets
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum

from controller.errors import Unreachable
from controller.frames import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame, ethernet, internet_checksum
from controller.model import Protocol
from controller.program import PROTOCOLS, Order
from controller.values import Address
from controller.wire import Connection, PacketIn

TIMEOUT = 2.0
"""Seconds that an answer may take."""

TTL = 64
UDP_HEADER = 8
SYN, ACK = 0x02, 0x10
ASKER_MAC = 0x02_00_00_00_00_FE
"""The sender of a traced frame: a local address that the frame, which nobody gets, does not make known."""

_TOKEN = struct.Struct("!I")


class Fate(IntEnum):
    """fate_t of p4src/metadata.p4, as far as a trace ends with it."""

    SENT = 1
    PUNTED = 2
    DROPPED = 3
    REPLIED = 5


class Decision(IntEnum):
    """decision_t: why a flow's owner is its owner."""

    NONE = 0
    SETTLED = 1
    EXCEPTION = 2
    CURRENT = 3
    STANDBY = 4
    PREVIOUS = 5
    NO_ROOM = 6
    MOVES = 7
    FRAGMENT = 8
    REFUSED = 9
    GONE = 10


class Reply(IntEnum):
    """reply_t: what the switch answers by itself."""

    NONE = 0
    TIME_EXCEEDED = 1
    PACKET_TOO_BIG = 2
    UNREACHABLE = 3
    RESET = 4
    PROBE_RESET = 5


@dataclass(frozen=True, slots=True)
class Flow:
    """One packet of a flow: its first (`opening`, of TCP a SYN), or a later one."""

    client: Address
    client_port: int
    address: Address
    port: int
    protocol: Protocol
    opening: bool = True


@dataclass(frozen=True, slots=True)
class Traced:
    """What would become of the packet; numbers are those of the tables, 0 for none.

    `why` names a drop or a punt, as `fate` says. `known`: the flow has an exception, of which `closing`,
    `confirmed` and `silent` (ticks) tell. `frame` is the packet as it would leave.
    """

    fate: Fate
    why: str
    reply: Reply
    egress_port: int
    vip: int
    pool: int
    bucket: int
    owner: int
    decision: Decision
    known: bool
    closing: bool
    confirmed: bool
    silent: int
    frame: bytes


Reasons = Mapping[Fate, Mapping[int, str]]
"""The names of drops and punts, from the tables that count them."""


def decode(packet: PacketIn, reasons: Reasons) -> Traced:
    """The answer in a packet-in. Raises ValueError for numbers that the program does not have."""
    told = packet.fields
    fate = Fate(told["fate"])
    return Traced(
        fate,
        reasons.get(fate, {}).get(told["why"], ""),
        Reply(told["reply"]),
        told["egress_port"],
        told["vip"],
        told["pool"],
        told["bucket"],
        told["owner"],
        Decision(told["decision"]),
        bool(told["known"]),
        bool(told["closing"]),
        bool(told["confirmed"]),
        told["silent"],
        packet.payload,
    )


def build(flow: Flow, token: int, mac: int, vlan: int) -> bytes:
    """The packet of `flow` that carries `token`, in a frame to our MAC address."""
    number = PROTOCOLS[flow.protocol]
    ports = struct.pack("!HH", flow.client_port, flow.port)
    if flow.protocol is Protocol.TCP:
        flags, acknowledged = (SYN, 0) if flow.opening else (ACK, token)
        segment = ports + struct.pack("!IIBBHHH", token, acknowledged, 5 << 4, flags, 0xFFFF, 0, 0)
        place = 16
    else:
        segment = ports + struct.pack("!HH", UDP_HEADER + _TOKEN.size, 0) + _TOKEN.pack(token)
        place = 6
    source, destination = flow.client.packed, flow.address.packed
    pseudo_header = source + destination + struct.pack("!II", len(segment), number)
    # RFC 768: 0 would mean that there is none.
    checksum = internet_checksum(pseudo_header + segment) or 0xFFFF
    segment = segment[:place] + checksum.to_bytes(2, "big") + segment[place + 2 :]
    if flow.address.version == 6:
        header = struct.pack("!IHBB16s16s", 6 << 28, len(segment), number, TTL, source, destination)
        return ethernet(mac, ASKER_MAC, vlan, Frame(ETHERTYPE_IPV6, header + segment))
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, TTL, number, 0, source, destination
    )
    header = header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:]
    return ethernet(mac, ASKER_MAC, vlan, Frame(ETHERTYPE_IPV4, header + segment))


def _marks(flow: Flow, token: int, frame: bytes) -> tuple[bytes, ...]:
    """The octets by one of which the answer to this trace is known."""
    marks = _TOKEN.pack(token), _TOKEN.pack(token + 1)
    if flow.protocol is Protocol.TCP:
        return marks
    return *marks, frame[-_TOKEN.size - UDP_HEADER : -_TOKEN.size]


class Tracer:
    """Sends traces over whichever connection there is."""

    def __init__(self, token: Callable[[], int] = lambda: secrets.randbits(31) << 1) -> None:
        """`token` gives each trace its number: an even one, so that the next belongs to no other trace."""
        self._token = token
        self.reasons: Reasons = {}
        self._switch: Connection | None = None
        self._one = asyncio.Lock()
        self._waiting: tuple[tuple[bytes, ...], asyncio.Future[PacketIn]] | None = None

    @asynccontextmanager
    async def connected(self, switch: Connection) -> AsyncIterator[None]:
        """While there is a connection; whoever waits at its end is told that it is lost."""
        self._switch = switch
        try:
            yield
        finally:
            self._switch = None
            if self._waiting and not self._waiting[1].done():
                self._waiting[1].set_exception(Unreachable("the connection to the switch was lost"))

    def answered(self, packet: PacketIn) -> None:
        """A packet-in that answers a trace, if it is the one under way."""
        if self._waiting is None:
            return
        marks, answer = self._waiting
        if not answer.done() and any(mark in packet.payload for mark in marks):
            answer.set_result(packet)

    async def ask(self, flow: Flow, *, port: int, mac: int, vlan: int) -> Traced:
        """What would become of the packet, had it come from `port`. Raises SwitchError when nobody says."""
        async with self._one:
            if self._switch is None:
                raise Unreachable("the switch is not connected")
            token = self._token()
            answer: asyncio.Future[PacketIn] = asyncio.get_running_loop().create_future()
            frame = build(flow, token, mac, vlan)
            self._waiting = _marks(flow, token, frame), answer
            try:
                await self._switch.send(port, frame, Order.TRACE)
                async with asyncio.timeout(TIMEOUT):
                    return decode(await answer, self.reasons)
            except TimeoutError:
                raise Unreachable(f"the switch has not answered the trace for {TIMEOUT:g} s") from None
            finally:
                self._waiting = None
