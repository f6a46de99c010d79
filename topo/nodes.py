"""Mininet's hosts and switch, as P4 switches need them.

The switch's ends have no addresses, no ARP and no IPv6, so that the kernel never answers or chatters beside
the switch.
"""

import socket
import time
from pathlib import Path
from typing import Any

from mininet.link import Link
from mininet.node import Host, Node, Switch

from topo import plan, processes
from topo.direct import VXLAN_PORT, Direct, Vxlan
from topo.errors import StartFailed
from topo.plan import CLIENT_SUBNET, HostPlan
from topo.preflight import ipv6_usable
from topo.processes import ProcessFiles
from topo.targets import program, resolve_target

SWITCH_READY_SECONDS = 30.0

RETURN_TABLE = 100
"""The routing table for packets from a VIP."""

NO_OFFLOADS = "rx off tx off sg off tso off gso off gro off"
"""For BMv2: it would forward the partial checksums and super-packets that a veth hands over as they are."""


def run_script(node: Node, lines: list[str]) -> None:
    """Run shell lines in a node; the first that fails ends it. Raises StartFailed with what it said."""
    out, error, code = node.pexec(["sh", "-ec", "\n".join(lines)])
    if code != 0:
        raise StartFailed(f"configuring {node.name} failed:\n{(error or out).strip()}")


def host_script(host: HostPlan, *, gateway: bool = True) -> list[str]:
    """How a host's first interface is set up: addresses, routes, no IPv6 autoconfiguration.

    Nothing is put into its ARP or neighbour table: it resolves its gateway and the VIPs like any other host.
    """
    device = host.interface
    lines = [
        f"ip link set {device} down",
        f"ip link set {device} address {host.mac}",
        *sysctl("ipv4", "ip_forward", 0),
    ]
    if ipv6_usable():
        for setting, value in {
            "disable_ipv6": 0,
            "accept_ra": 0,
            "autoconf": 0,
            "router_solicitations": 0,
            "accept_dad": 0,
        }.items():
            lines += sysctl("ipv6", f"conf/{device}/{setting}", value)
    lines += [f"ip link set {device} up", f"ip address add {host.ipv4} dev {device}"]
    if ipv6_usable():
        lines.append(f"ip address add {host.ipv6} dev {device} nodad")
    if gateway:
        lines.append(f"ip route add default via {host.gateway4}")
        if ipv6_usable():
            lines.append(f"ip route add default via {host.gateway6}")
    return lines


def return_path_script(host: HostPlan) -> list[str]:
    """How a host's second interface, on the bridge past the switch, is set up. It takes whatever comes in."""
    device = host.return_interface
    lines = [
        *sysctl("ipv4", "conf/all/rp_filter", 0),
        *sysctl("ipv4", f"conf/{device}/rp_filter", 0),
        f"ip link set {device} up",
        f"ip address add {host.return_ipv4} dev {device}",
    ]
    if ipv6_usable():
        lines.append(f"ip address add {host.return_ipv6} dev {device} nodad")
    return lines


def direct_return_script(host: HostPlan, direct: Direct, clients: tuple[HostPlan, ...]) -> list[str]:
    """How a backend answers clients from the VIPs: it carries them, takes off VXLAN, and knows the way.

    It never answers ARP for them (arp_ignore) nor asks in their name (arp_announce); NDP is so by itself.
    Only packets from a VIP go past the switch: what a `nat` pool's server answers must go through it.
    """
    lines = [*sysctl("ipv4", "conf/all/arp_ignore", 1), *sysctl("ipv4", "conf/all/arp_announce", 2)]
    lines.append(f"ip route add {CLIENT_SUBNET} dev {host.return_interface} table {RETURN_TABLE}")
    if ipv6_usable():
        lines += [
            f"ip -6 route add {client.address6} via {client.return_ipv6.partition('/')[0]} "
            f"dev {host.return_interface} table {RETURN_TABLE}"
            for client in clients
        ]
    for vip in direct.vips:
        if ":" in vip and not ipv6_usable():
            continue
        lines += [
            f"ip address add {vip} dev lo{' nodad' if ':' in vip else ''}",
            f"ip {'-6' if ':' in vip else '-4'} rule add from {vip} lookup {RETURN_TABLE}",
        ]
    for vxlan in direct.vxlans:
        lines += _vxlan_script(host, vxlan)
    return lines


def _vxlan_script(host: HostPlan, vxlan: Vxlan) -> list[str]:
    """A VXLAN interface that only receives. Over IPv6 the outer UDP checksum is 0 (RFC 6935)."""
    local = host.address4 if vxlan.version == 4 else f"{host.address6} udp6zerocsumrx"
    return [
        f"ip link add {vxlan.interface} address {vxlan.mac} type vxlan "
        f"id {vxlan.vni} dstport {VXLAN_PORT} nolearning local {local}",
        *sysctl("ipv4", f"conf/{vxlan.interface}/rp_filter", 0),
        f"ip link set {vxlan.interface} up",
    ]


def switch_port_script(device: str) -> list[str]:
    """How the switch's end of a link is set up: silent but for what the switch sends."""
    lines = [f"ip address flush dev {device}"]
    if ipv6_usable():
        lines += sysctl("ipv6", f"conf/{device}/disable_ipv6", 1)
    return [*lines, f"ip link set {device} arp off up"]


def sysctl(family: str, setting: str, value: int) -> list[str]:
    """The line that sets a kernel setting of the node's own namespace."""
    return [f"echo {value} > /proc/sys/net/{family}/{setting}"]


class LabHost(Host):
    """A host in its own namespace, with IPv4 and IPv6 addresses and a default route through the switch."""

    def config(self, host_plan: HostPlan, **_params: object) -> dict[str, object]:
        run_script(self, ["ip link set lo up", *host_script(host_plan)])
        return {}


class HealthInterface(Node):
    """The controller's own way to the backends: one end in the namespace that the daemon runs in."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, inNamespace=False, **params)

    def config(self, host_plan: HostPlan, **_params: object) -> dict[str, object]:
        # Linux's weak host model must not let this address answer ARP on the switch's ends of the links.
        lines = ["ip link set lo up", *sysctl("ipv4", "conf/all/arp_ignore", 1), *host_script(host_plan)]
        run_script(self, lines)
        return {}


class Bridge(Switch):
    """A Linux bridge: the way past the switch that the answers of direct return take."""

    def start(self, controllers: list[object]) -> None:
        del controllers
        lines = [f"ip link add {self.name} type bridge", f"ip link set {self.name} up"]
        if ipv6_usable():
            lines[1:1] = sysctl("ipv6", f"conf/{self.name}/disable_ipv6", 1)
        for link in self.intfs.values():
            if link.name != "lo":
                lines += [*switch_port_script(link.name), f"ip link set {link.name} master {self.name}"]
        run_script(self, lines)

    def stop(self, deleteIntfs: bool = True) -> None:
        self.cmd("ip link del", self.name)
        super().stop(deleteIntfs)


class SluiceSwitch(Switch):
    """A P4Runtime switch: our own (`embedded`) or BMv2's simple_switch_grpc (`bmv2`), with the same flags.

    The pipeline is the controller's to push (--no-p4).
    """

    def __init__(
        self,
        name: str,
        *,
        target: str = "auto",
        grpc_port: int = plan.P4RUNTIME_PORT,
        log: str,
        token: str = "",
        processes_folder: str = "",
        **params: Any,
    ) -> None:
        super().__init__(name, **params)
        self.switch_name = name
        self.target = resolve_target(target)
        self.grpc_port = grpc_port
        self.log = Path(log)
        self.token = token
        self.files = ProcessFiles(Path(processes_folder))

    def switch_command(self) -> list[str]:
        """The command line; equal for both targets but for the program's name."""
        interfaces = {number: link.name for number, link in self.intfs.items() if link.name != "lo"}
        ports = [
            word for number, device in sorted(interfaces.items()) for word in ("-i", f"{number}@{device}")
        ]
        server = ["--grpc-server-addr", f"127.0.0.1:{self.grpc_port}", "--cpu-port", str(plan.CPU_PORT)]
        return [*program(self.target), "--no-p4", *ports, "--device-id", str(plan.DEVICE_ID), "--", *server]

    def start(self, controllers: list[object]) -> None:
        """Start the program and wait until it serves P4Runtime. Raises StartFailed with its last words."""
        del controllers  # Mininet's are OpenFlow's
        for port in self.intfs.values():
            if port.name != "lo":
                run_script(self, switch_port_script(port.name))
                if self.target == "bmv2":
                    _turn_off_offloads(port.link)
        start_switch(
            self.switch_name, self.switch_command(), self.grpc_port, self.log, self.token, self.files
        )

    def stop(self, deleteIntfs: bool = True) -> None:
        running = self.files.find(self.switch_name)
        if running is not None:
            running.end()
        super().stop(deleteIntfs)


def _turn_off_offloads(link: Link) -> None:
    ends: list[Any] = [link.intf1, link.intf2]
    for end in ends:
        run_script(end.node, [f"ethtool -K {end.name} {NO_OFFLOADS} >/dev/null"])


def start_switch(
    name: str, command: list[str], port: int, log: Path, token: str, files: ProcessFiles
) -> None:
    """Start a switch program from inside the lab's namespace and wait until its P4Runtime port is its own."""
    if _listening(port):
        raise StartFailed(
            f"port {port} is in use already in this namespace (gRPC servers would share it silently).\n"
            f"See who it is: ss -ltnp 'sport = :{port}'"
        )
    child = processes.start(command, log=log, environment={processes.TOKEN_VARIABLE: token})
    files.remember(name, child.pid)
    deadline = time.monotonic() + SWITCH_READY_SECONDS
    while not _listening(port):
        if child.poll() is not None:
            raise StartFailed(
                f"the switch {name} ended with exit code {child.returncode}:\n{processes.tail(log)}"
            )
        if time.monotonic() > deadline:
            child.kill()
            raise StartFailed(
                f"the switch {name} did not open port {port} in {SWITCH_READY_SECONDS:.0f} s:\n"
                f"{processes.tail(log)}"
            )
        time.sleep(0.05)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
