"""Generic UDP Encapsulation, which scapy lacks: variant 0 without options (draft-ietf-intarea-gue 3.2)."""

from typing import ClassVar

from scapy.fields import BitField, ByteField, ShortField
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, bind_layers

PORT = 6080


class GUE(Packet):
    name = "GUE"
    fields_desc: ClassVar = [
        BitField("variant", 0, 2),
        BitField("control", 0, 1),
        BitField("hlen", 0, 5),
        ByteField("proto", 4),
        ShortField("flags", 0),
    ]


bind_layers(UDP, GUE, dport=PORT)
bind_layers(GUE, IP, proto=4)
bind_layers(GUE, IPv6, proto=41)
