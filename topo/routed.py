"""A network in which a router spreads clients' flows over several switches, and servers' answers likewise.

      clients 10.0.0.0/24                                       servers 10.0.1.0/24
                            /-- 10.1.1.0/24 --1- s1 -2- .2 --\\
      c1 .11 --\\           /                                   \\          b1 .11
                +-- .1 r1 +                                     +-- .. --+ ..
      c2 .12 --/           \\                                   /|         b5 .15
                            \\-- 10.1.2.0/24 --1- s2 -2- .3 --/ |         health .250
                  r1 .1 ---------------------------------------/

The router has the switches as next hops of one group per family, takes one by the flow's addresses and ports,
and answers ARP and neighbor discovery for the VIPs. What comes from the servers goes by the same groups, so
that an answer of `nat` may come back through another switch than its question went.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from mininet.net import Mininet
from mininet.node import Host

from topo import plan
from topo.nodes import Bridge, run_script, sysctl
from topo.plan import HostPlan, Plan, SwitchPlan
from topo.preflight import ipv6_usable
from topo.spread import IPV4, IPV6, ROUTER, families, spread_script

CLIENTS_BRIDGE, SERVERS_BRIDGE = "clients0", "servers0"
CLIENTS_SIDE, SERVERS_SIDE = f"{ROUTER}-eth0", f"{ROUTER}-eth1"
UPLINK_PORT, SERVERS_PORT = 1, 2
"""Of each switch."""
ANSWERS_TABLE = 100
"""The router's routing table for what comes from the servers."""

BY_FIELDS = 3
ADDRESSES_PORTS_AND_PROTOCOL = 0x37
"""How flows are spread: Linux' fib_multipath_hash_policy and fib_multipath_hash_fields."""

HEALTH = HostPlan(plan.HEALTH_HOST, 8, "10.0.1.250/24", "fd00:1::250/64", "10.0.1.1", "fd00:1::1")
"""The checks come from the servers' own network: they are about the servers, whatever becomes of a switch."""


def routed_plan(switches: int) -> Plan:
    """The usual clients and servers, and so many switches."""
    return Plan(health=HEALTH, switches=tuple(SwitchPlan(number) for number in range(1, switches + 1)))


def uplink_interface(switch: SwitchPlan) -> str:
    """The router's end of the link to a switch: behind its ends of the two bridges' links."""
    return f"{ROUTER}-eth{1 + switch.number}"


def add_links(net: Mininet, network_plan: Plan, vips: Iterable[IPv4Address | IPv6Address]) -> None:
    """The router, a bridge on either side of the switches, and all that is plugged into them."""
    clients = net.addSwitch(CLIENTS_BRIDGE, cls=Bridge)
    servers = net.addSwitch(SERVERS_BRIDGE, cls=Bridge)
    router = net.addHost(ROUTER, cls=Router, switches=network_plan.switches, vips=tuple(vips))
    net.addLink(router, clients)
    net.addLink(router, servers)
    for switch in network_plan.switches:
        net.addLink(router, net[switch.name], port2=UPLINK_PORT)
        net.addLink(servers, net[switch.name], port2=SERVERS_PORT)
    for client in network_plan.clients:
        net.addLink(net[client.name], clients)
    for host in (*network_plan.backends, network_plan.health):
        net.addLink(net[host.name], servers)


class Router(Host):
    """Linux as a router with several next hops for one destination."""

    def config(
        self, switches: Sequence[SwitchPlan], vips: Sequence[IPv4Address | IPv6Address], **_params: Any
    ) -> dict[str, object]:
        run_script(self, router_script(switches, vips))
        return {}


def router_script(switches: Sequence[SwitchPlan], vips: Sequence[IPv4Address | IPv6Address]) -> list[str]:
    """How the router is set up: addresses, next hops, the VIPs by way of the switches, answers likewise."""
    devices = [CLIENTS_SIDE, SERVERS_SIDE, *map(uplink_interface, switches)]
    lines = ["ip link set lo up", *_kernel_settings(devices)]
    lines += [f"ip link set {device} up" for device in devices]
    for family in families():
        ip = f"ip {family.option}"
        nodad = " nodad" if family is IPV6 else ""
        lines += [
            f"{ip} address add {family.clients} dev {CLIENTS_SIDE}{nodad}",
            f"{ip} address add {family.servers} dev {SERVERS_SIDE}{nodad}",
        ]
        for switch in switches:
            device = uplink_interface(switch)
            lines += [
                f"{ip} address add {family.uplink(switch)} dev {device}{nodad}",
                f"ip nexthop add id {family.member(switch)} via {family.gateway(switch)} dev {device}",
            ]
    lines += spread_script(switches)
    for family in families():
        lines += [
            f"ip {family.option} rule add iif {SERVERS_SIDE} lookup {ANSWERS_TABLE}",
            f"ip {family.option} route add default nhid {family.group} table {ANSWERS_TABLE}",
        ]
    for vip in vips:
        family = IPV4 if vip.version == 4 else IPV6
        if family in families():
            lines.append(f"ip {family.option} route add {vip} nhid {family.group}")
        if family is IPV6 and ipv6_usable():
            lines.append(f"ip neigh add proxy {vip} dev {CLIENTS_SIDE}")
    return lines


def _kernel_settings(devices: Sequence[str]) -> list[str]:
    """It forwards, takes answers from any side, and knows a flow by addresses and ports."""
    lines = [*sysctl("ipv4", "ip_forward", 1), *_by_header("ipv4")]
    for device in ("all", *devices):
        lines += sysctl("ipv4", f"conf/{device}/rp_filter", 0)
    lines += sysctl("ipv4", f"conf/{CLIENTS_SIDE}/proxy_arp", 1)
    lines += sysctl("ipv4", f"neigh/{CLIENTS_SIDE}/proxy_delay", 0)
    if ipv6_usable():
        lines += [
            *sysctl("ipv6", "conf/all/disable_ipv6", 0),
            *sysctl("ipv6", "conf/all/forwarding", 1),
            *_by_header("ipv6"),
            *sysctl("ipv6", f"conf/{CLIENTS_SIDE}/proxy_ndp", 1),
            *sysctl("ipv6", f"neigh/{CLIENTS_SIDE}/proxy_delay", 0),
        ]
    return lines


def _by_header(family: str) -> list[str]:
    """A flow is what its packets' headers say.

    By policy 1 it is what the sender's kernel says, whose hash comes along on a veth, and is another one
    whenever something is sent again.
    """
    return [
        *sysctl(family, "fib_multipath_hash_policy", BY_FIELDS),
        *sysctl(family, "fib_multipath_hash_fields", ADDRESSES_PORTS_AND_PROTOCOL),
    ]
