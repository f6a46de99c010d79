"""TCP through the load balancer between two hosts with kernels of their own: what iperf3 measures."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.packets.p4runtime import Names
from tests.packets.runner import Runner
from tests.packets.targets import on_wires
from tests.packets.wires import inside, switch_side, test_side
from tests.packets.world import BACKEND_HTTP, BASE, CLIENT, HTTP, ONE, V4, Station

PROGRAM = "iperf3"
MTU = 1500
SERVER_START = 20.0  # seconds, for the server to listen
NO_OFFLOADS = "rx off tx off sg off tso off gso off gro off"


def missing() -> str:
    """What there must be, if it is not there."""
    return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not on PATH (Debian: apt-get install iperf3)"


def throughput(kind: str, names: Names, seconds: float) -> float:
    """Bits a second of one connection from a client to the VIP of a nat pool, through a switch of this kind.

    The hosts' interfaces offload what they can, unless the switch is BMv2, which forwards nothing right then.
    """
    with on_wires(kind, names, mtu=MTU) as target:
        Runner(target).tables.become(BASE)
        with (
            _host(target.namespace, CLIENT, V4.router) as client,
            _host(target.namespace, ONE, V4.server_router) as server,
        ):
            if kind == "bmv2":
                for port, host in ((CLIENT.port, client), (ONE.port, server)):
                    _without_offloads(target.namespace, switch_side(port))
                    _without_offloads(host, test_side(port))
            return _measure(client, server, seconds)


@contextmanager
def _host(inner: str, station: Station, gateway: str) -> Iterator[str]:
    """The station as a namespace of its own, with the far end of its port's wire."""
    name = f"sluice-iperf-{os.getpid()}-{station.port}"
    interface = test_side(station.port)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", inner, "link", "set", interface, "netns", name], check=True)
        script = f"""
            ip link set lo up
            ip link set {interface} address {station.mac} arp on up
            ip address add {station.v4}/24 dev {interface}
            ip route add default via {gateway}"""
        subprocess.run(inside(name, ["sh", "-ec", script]), check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _without_offloads(namespace: str, interface: str) -> None:
    command = ["ethtool", "-K", interface, *NO_OFFLOADS.split()]
    subprocess.run(inside(namespace, command), check=True, capture_output=True)


def _measure(client: str, server: str, seconds: float) -> float:
    listen = inside(server, [PROGRAM, "--server", "--one-off", "--port", str(BACKEND_HTTP), "--forceflush"])
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            while "listening" not in (line := serving.stdout.readline()):
                if not line:
                    raise RuntimeError(f"{PROGRAM} does not listen")
            flags = ["--port", str(HTTP), "--time", f"{seconds:.0f}", "--json", "--connect-timeout", "5000"]
            done = subprocess.run(
                inside(client, [PROGRAM, "--client", V4.nat_vip, *flags]),
                capture_output=True,
                text=True,
                timeout=seconds + SERVER_START,
            )
            report = json.loads(done.stdout)
        finally:
            serving.terminate()
    if "error" in report:
        raise RuntimeError(f"{PROGRAM}: {report['error']}")
    return report["end"]["sum_received"]["bits_per_second"]
