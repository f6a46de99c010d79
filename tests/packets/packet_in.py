"""What the controller gets from the switch: the packet_in header (p4src/headers.p4), and what is in it."""

from enum import IntEnum
from typing import ClassVar

from scapy.fields import BitField, ByteField, ShortField
from scapy.packet import Packet

from tests.packets.case import Out
from tests.packets.world import CPU


class Punt(IntEnum):
    """Why a packet goes to the controller."""

    ARP_REPLY = 1
    NEIGHBOR_ADVERTISEMENT = 2
    GLEAN = 3
    TUNNEL_ERROR = 4
    TRACE = 5


class Fate(IntEnum):
    """What would become of a traced packet."""

    SENT = 1
    PUNTED = 2
    DROPPED = 3
    REPLIED = 5


class Decision(IntEnum):
    """Why a traced packet's owner is its owner."""

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


class PacketIn(Packet):
    name = "packet_in"
    fields_desc: ClassVar = [
        ByteField("reason", 0),
        ShortField("ingress_port", 0),
        ByteField("fate", 0),
        ByteField("why", 0),
        ByteField("reply", 0),
        ShortField("egress_port", 0),
        ShortField("vip", 0),
        ShortField("pool", 0),
        ShortField("bucket", 0),
        BitField("owner", 0, 18),
        BitField("silent", 0, 14),
        ByteField("decision", 0),
        BitField("unused", 0, 4),
        BitField("recorded", 0, 1),
        BitField("closing", 0, 1),
        BitField("confirmed", 0, 1),
        BitField("known", 0, 1),
    ]


def packet_in(reason: Punt, port: int, frame: Packet, **told: int) -> Out:
    """The frame as the controller gets it. told: the header's other fields, which a trace fills."""
    return Out(CPU, PacketIn(reason=reason, ingress_port=port, **told) / frame)
