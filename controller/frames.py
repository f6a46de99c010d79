"""Frames that the controller sends and reads: ARP (RFC 826) and neighbor discovery (RFC 4861).

MAC addresses are integers of 48 bits, VLAN ids 0 for untagged. Whatever does not parse is None, never an
exception: frames come from the network.
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from controller.values import Address

BROADCAST = 0xFFFF_FFFF_FFFF
ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_VLAN, ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x8100, 0x86DD

ARP_REQUEST, ARP_REPLY = 1, 2
PROTOCOL_ICMPV6 = 58
NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT = 135, 136
SOURCE_LINK_LAYER_ADDRESS, TARGET_LINK_LAYER_ADDRESS = 1, 2
ONLINK_HOP_LIMIT = 255

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))


class Answer(NamedTuple):
    """What an ARP reply or a neighbor advertisement tells: who has the address."""

    address: Address
    mac: int


class Frame(NamedTuple):
    """An Ethernet frame without its addresses and VLAN tag."""

    type: int
    payload: bytes


def strip(frame: bytes) -> Frame | None:
    """The EtherType behind a VLAN tag, if there is one, and what follows it."""
    offset = 16 if frame[12:14] == ETHERTYPE_VLAN.to_bytes(2, "big") else 12
    if len(frame) < offset + 2:
        return None
    return Frame(int.from_bytes(frame[offset : offset + 2], "big"), frame[offset + 2 :])


def ethernet(destination: int, source: int, vlan: int, content: Frame) -> bytes:
    """A whole frame; padding to the least length is the interface's affair."""
    tag = struct.pack("!HH", ETHERTYPE_VLAN, vlan) if vlan else b""
    addresses = destination.to_bytes(6, "big") + source.to_bytes(6, "big")
    return addresses + tag + content.type.to_bytes(2, "big") + content.payload


def question(address: Address, ours: Address, mac: int, vlan: int, *, to: int | None = None) -> bytes:
    """The ARP request, or the neighbor solicitation, that asks who has `address`.

    `ours` (of the same family) and `mac` are the asker's. It goes to everybody, or only to the MAC address
    `to`.
    """
    if isinstance(address, IPv4Address):
        sender, target = mac.to_bytes(6, "big"), bytes(6)
        arp = _ARP.pack(1, ETHERTYPE_IPV4, 6, 4, ARP_REQUEST, sender, ours.packed, target, address.packed)
        return ethernet(BROADCAST if to is None else to, mac, vlan, Frame(ETHERTYPE_ARP, arp))
    group = address if to is not None else IPv6Address(_SOLICITED_NODE | int(address) & 0xFFFFFF)
    option = bytes([SOURCE_LINK_LAYER_ADDRESS, 1]) + mac.to_bytes(6, "big")
    message = bytes([NEIGHBOR_SOLICITATION, 0, 0, 0]) + bytes(4) + address.packed + option
    pseudo_header = ours.packed + group.packed + struct.pack("!II", len(message), PROTOCOL_ICMPV6)
    checksum = internet_checksum(pseudo_header + message).to_bytes(2, "big")
    message = message[:2] + checksum + message[4:]
    header = _IPV6.pack(6 << 28, len(message), PROTOCOL_ICMPV6, ONLINK_HOP_LIMIT, ours.packed, group.packed)
    group_mac = 0x3333_0000_0000 | int(group) & 0xFFFFFFFF  # RFC 2464, 7
    return ethernet(group_mac if to is None else to, mac, vlan, Frame(ETHERTYPE_IPV6, header + message))


def answer(frame: bytes) -> Answer | None:
    """What an ARP reply or announcement, or a neighbor advertisement, says."""
    content = strip(frame)
    if content is None:
        return None
    if content.type == ETHERTYPE_ARP:
        return _arp_answer(content.payload)
    return _advertisement(content.payload) if content.type == ETHERTYPE_IPV6 else None


def _arp_answer(payload: bytes) -> Answer | None:
    if len(payload) < _ARP.size:
        return None
    *kind, operation, mac, address, _, target = _ARP.unpack_from(payload)
    announced = operation == ARP_REQUEST and address == target
    if kind != [1, ETHERTYPE_IPV4, 6, 4] or not (operation == ARP_REPLY or announced):
        return None
    return _unicast(IPv4Address(address), mac)


def _advertisement(packet: bytes) -> Answer | None:
    """RFC 4861, 7.1.2, but for the checksum: the link's own has told damaged frames already."""
    if len(packet) < _IPV6.size + 24:
        return None
    _, length, protocol, hop_limit, _, _ = _IPV6.unpack_from(packet)
    message = packet[_IPV6.size : _IPV6.size + length]
    if (protocol, hop_limit, message[:2]) != (PROTOCOL_ICMPV6, ONLINK_HOP_LIMIT, b"\x88\x00"):
        return None
    mac = _link_layer_option(message[24:])
    if mac is None:
        return None
    return _unicast(IPv6Address(message[8:24]), mac)


def _link_layer_option(options: bytes) -> bytes | None:
    while len(options) >= 8 and options[1] > 0:
        if options[0] == TARGET_LINK_LAYER_ADDRESS and options[1] == 1:
            return options[2:8]
        options = options[8 * options[1] :]
    return None


def _unicast(address: Address, mac: bytes) -> Answer | None:
    """None for a group's MAC address or one of zeros, which no interface has."""
    return None if mac[0] & 1 or not any(mac) else Answer(address, int.from_bytes(mac, "big"))


def ip_destination(frame: bytes) -> Address | None:
    """Where an IP packet is going."""
    content = strip(frame)
    match content:
        case Frame(type=0x0800, payload=packet) if len(packet) >= 20:
            return IPv4Address(packet[16:20])
        case Frame(type=0x86DD, payload=packet) if len(packet) >= 40:
            return IPv6Address(packet[24:40])
    return None


def internet_checksum(data: bytes) -> int:
    """RFC 1071, over whole words or with a last byte of zero."""
    padded = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
