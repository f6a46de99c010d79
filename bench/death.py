"""What a capture at a server's interface tells of the server's death."""

import math
import socket
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

ETHERTYPE_IPV4 = 0x0800
ETHERNET_BYTES = 14
SYN, ACK = 0x02, 0x10
FLAGS = 0x17  # ACK, RST, SYN and FIN


class Kind(Enum):
    CONNECTION = auto()
    """The SYN of a client: a new connection was sent to the server."""
    ANSWER = auto()
    """The SYN-ACK to a client."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet that matters, and when the kernel saw it, in seconds of one clock."""

    moment: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class Death:
    """How long new connections went on to be sent to a dead server, and what that cost.

    seconds: from the server's last answer to a client to the last new connection that was sent to it.
    lost: new connections that were sent to it in that time.
    load: new connections a second that were sent to it while it lived.
    """

    seconds: float
    lost: int
    load: float


def kind_of(frame: bytes, port: int, client: str) -> Kind | None:
    """What an Ethernet frame with IPv4 is to a server that listens on TCP `port`.

    None for all but a handshake with `client`: who asks whether the server is alive has another address.
    """
    if len(frame) < ETHERNET_BYTES + 20 or struct.unpack_from("!H", frame, 12) != (ETHERTYPE_IPV4,):
        return None
    packet = frame[ETHERNET_BYTES:]
    tcp = packet[4 * (packet[0] & 0x0F) :]
    if packet[9] != socket.IPPROTO_TCP or len(tcp) < 14:
        return None
    source, destination = struct.unpack_from("!HH", tcp)
    address = socket.inet_aton(client)
    match tcp[13] & FLAGS:
        case 0x02 if packet[12:16] == address and destination == port:
            return Kind.CONNECTION
        case 0x12 if packet[16:20] == address and source == port:
            return Kind.ANSWER
        case _:
            return None


def death(seen: Collection[Seen]) -> Death:
    """Of a capture that begins while the server lives and ends when nobody is sent to it any more.

    Raises ValueError when the server did not answer, or got too few connections to tell a load.
    """
    answers = [one.moment for one in seen if one.kind is Kind.ANSWER]
    if not answers:
        raise ValueError("the server never answered")
    last = max(answers)
    alive = [one.moment for one in seen if one.kind is Kind.CONNECTION and one.moment <= last]
    lost = [one.moment for one in seen if one.kind is Kind.CONNECTION and one.moment > last]
    if len(alive) < 2:
        raise ValueError("the server got too few connections while it lived")
    return Death(max(lost, default=last) - last, len(lost), (len(alive) - 1) / (max(alive) - min(alive)))


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest of the values that at least `percent` per cent of them do not exceed (nearest rank).

    So it is a value that occurred; of 50, the 99th is the largest.
    """
    ordered: Sequence[float] = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
