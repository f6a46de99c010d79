"""The kernel's own load balancing on the benchmark's wires: nftables, DNAT by a hash, connection tracking."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from bench.balancer import MTU, backends, traffic
from tests.packets.wires import Wires, inside, namespace, switch_side
from tests.packets.world import BACKEND_HTTP, CLIENT, HTTP, ONE, ROUTER, V4

PROGRAM = "nft"
PATIENCE = 5.0  # seconds for a packet


def missing() -> str:
    """What there must be, if it is not there."""
    return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not on PATH (Debian: apt-get install nftables)"


def ruleset() -> str:
    """As many backends as the pool has, chosen by the hash of the client's address and port."""
    stations = list(backends().values())
    choice = ", ".join(f"{number} : {station.v4} . {BACKEND_HTTP}" for number, station in enumerate(stations))
    return f"""
        table ip balancer {{
            chain incoming {{
                type nat hook prerouting priority dstnat
                ip daddr {V4.nat_vip} tcp dport {HTTP} dnat ip to \\
                    jhash ip saddr . tcp sport mod {len(stations)} map {{ {choice} }}
            }}
        }}"""


def _script() -> str:
    near, far = switch_side(CLIENT.port), switch_side(ONE.port)
    lines = [
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        # The packets are of connections that began before.
        "echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose",
        *(f"ip link set {interface} address {ROUTER} arp on" for interface in (near, far)),
        f"ip address add {V4.router}/24 dev {near}",
        f"ip address add {V4.server_router}/24 dev {far}",
        *(
            f"ip neighbor add {station.v4} lladdr {station.mac} dev {far} nud permanent"
            for station in backends().values()
        ),
    ]
    return "\n".join(lines)


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The namespace in which the kernel balances; it has shown that it does so with every flow."""
    with namespace("nftables", MTU) as inner:
        subprocess.run(inside(inner, [PROGRAM, "-f", "-"]), input=ruleset(), text=True, check=True)
        subprocess.run(inside(inner, ["sh", "-ec", _script()]), check=True)
        with contextlib.closing(Wires(inner)) as wires:
            for frame, _ in traffic():
                wires.send(CLIENT.port, frame)
                _check([came for port, came in wires.receive(PATIENCE) if port == ONE.port])
        yield inner


def _check(came: list[bytes]) -> None:
    """Raises RuntimeError unless it is one packet to a backend."""
    wanted = {station.v4: station.mac for station in backends().values()}
    packets = [Ether(frame) for frame in came]
    ok = [
        packet
        for packet in packets
        if IP in packet and wanted.get(packet[IP].dst) == packet.dst and packet[TCP].dport == BACKEND_HTTP
    ]
    if len(packets) != 1 or ok != packets:
        raise RuntimeError(f"nftables did not send the packet to a backend: {packets!r}")
