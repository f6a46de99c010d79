"""What the benchmarks of the switch send through the load balancer: its entries, and packets of many flows.

TCP of 1024 flows to the VIP of a nat pool of 16 backends, whose 1024 buckets are settled, in packets of 64
bytes (60 and Ethernet's checksum).
"""

from scapy.layers.inet import TCP
from scapy.packet import Padding

from bench.traffic import Road
from tests.packets import rows
from tests.packets.case import Out
from tests.packets.flows import Flow
from tests.packets.frames import hop, packet, renamed
from tests.packets.rows import NAT, Row
from tests.packets.wires import test_side
from tests.packets.world import BACKEND_HTTP, BASE, CLIENT, HTTP, ONE, ROUTER, V4, Station

FLOWS = 1024
FIRST_FLOW_PORT = 10000
BUCKET_MASK = 1023
BACKENDS = 16
FIRST_BACKEND = 100
FRAME_LENGTH = 60
MTU = 1500  # with a larger one libpcap would have fewer places for BMv2's packets


def backends() -> dict[int, Station]:
    """All behind one port, so that there is one interface to count at."""
    return {
        FIRST_BACKEND + n: Station(
            ONE.port, f"02:00:00:00:0e:{n:02x}", f"10.0.1.{100 + n}", f"fd00:1::{100 + n:x}"
        )
        for n in range(BACKENDS)
    }


def owner(bucket: int) -> int:
    return FIRST_BACKEND + bucket % BACKENDS


def entries() -> list[Row]:
    """The packet tests' network, and in it a nat pool of many backends and buckets."""
    own = [rows.pool(V4.tcp_pool, NAT, mask=BUCKET_MASK)]
    own += [rows.bucket(V4.tcp_pool, bucket, owner(bucket)) for bucket in range(BUCKET_MASK + 1)]
    for backend, station in backends().items():
        own.append(rows.backend(backend, station.v4, BACKEND_HTTP))
        own.append(rows.neighbor(station.v4, station.port, ROUTER, station.mac))
        own.append(rows.nat_answer(station.v4, rows.TCP, BACKEND_HTTP, V4.nat_vip, HTTP, backend))
        own.append(rows.nat_service(station.v4, rows.TCP, BACKEND_HTTP))
    return list({row.key: row for row in (*BASE, *own)}.values())


def traffic() -> list[tuple[bytes, Out]]:
    """A frame of each flow, and what must become of it."""
    return [flow(port) for port in range(FIRST_FLOW_PORT, FIRST_FLOW_PORT + FLOWS)]


def flow(port: int) -> tuple[bytes, Out]:
    """A frame of the flow from this port of the client, and what must become of it."""
    frame = packet(V4, TCP(sport=port, dport=HTTP, flags="A"), destination=V4.nat_vip)
    frame /= Padding(bytes(FRAME_LENGTH - len(frame)))
    station = backends()[owner(Flow(CLIENT.v4, port, V4.nat_vip).bucket(BUCKET_MASK))]
    return bytes(frame), Out(station.port, hop(station, renamed(frame, dst=station.v4, dport=BACKEND_HTTP)))


def road(inner: str) -> Road:
    """From the client to the backends, through whatever is between their interfaces in the namespace."""
    return Road(inner, test_side(CLIENT.port), test_side(ONE.port))
