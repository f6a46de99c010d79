"""`sluice switch` as a process: how it starts, what it says, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.switch import service
from tests.switch.client import PROGRAMS, Client, StreamEnded
from tests.switch.patience import eventually
from tests.switch.service import CPU_PORT, action, bridge, frame
from tests.switch.wires import Wire, own_network

PROJECT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; a first start compiles C

COMMAND = (sys.executable, "-m", "sluice.main", "switch")


class Switch:
    """A running `sluice switch`."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=PROJECT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        self.ready_line = self.process.stdout.readline()
        watchdog.cancel()

    @property
    def address(self) -> str:
        return self.ready_line.split("P4Runtime on ")[1].split(",")[0]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Returns the exit code and what was written to standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@contextmanager
def started(
    *arguments: str, address: str = "127.0.0.1:0", packets: str | None = None, **environment: str
) -> Iterator[Switch]:
    """packets: the address of packets by gRPC."""
    target = ["--grpc-server-addr", address, "--cpu-port", str(CPU_PORT)]
    if packets is not None:
        target += ["--dp-grpc-server-addr", packets]
    switch = Switch([*arguments, "--", *target], environment)
    try:
        yield switch
    finally:
        switch.process.kill()
        switch.process.communicate()


def failing(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a switch that should not start."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr


def test_one_line_says_that_it_is_ready() -> None:
    with started("--no-p4") as switch:
        assert switch.ready_line.startswith("sluice switch: ready: device 1, P4Runtime on 127.0.0.1:")
        assert switch.ready_line.endswith(f", ports none, CPU port {CPU_PORT}\n")
        with Client(switch.address) as client:
            client.become_primary()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_with_clients_connected(number: int) -> None:
    with started("--no-p4") as switch, Client(switch.address) as client:
        stream = client.become_primary()
        client.set_pipeline(service.CONFIG)
        assert switch.end(number) == (0, "")
        with pytest.raises(StreamEnded, match="UNAVAILABLE: the switch is stopping"):
            stream.receive()


def test_packets_go_round_from_the_controller_through_the_program_and_back() -> None:
    """What the program sends to the CPU port as it is, begins with what is taken for the packet_in header."""
    with started("--no-p4") as switch, Client(switch.address) as client:
        stream = client.become_primary()
        client.set_pipeline(service.CONFIG)
        stream.send(service.packet_out(CPU_PORT, bytes(2) + b"the rest"))
        assert stream.receive().packet.payload.endswith(b"the rest")


@pytest.mark.root
def test_it_switches_between_interfaces(tmp_path: Path) -> None:
    """By a socket file: gRPC's threads may be older than the network, and connect from outside of it."""
    address = f"unix:{tmp_path / 'p4runtime'}"
    with own_network():
        one, two = Wire("p1"), Wire("p2")
        interfaces = ("-i", "1@p1", "-i", "2@p2")
        with started("--no-p4", *interfaces, address=address) as switch, Client(switch.address) as client:
            assert ", ports 1@p1 2@p2," in switch.ready_line
            stream = client.become_primary()
            client.set_pipeline(service.CONFIG)
            client.insert(bridge(1, action("forward", 2)), bridge(2, action("to_controller", 5)))
            one.send(frame(1))
            assert two.receive() == frame(1)
            one.send(frame(2))
            assert stream.receive().packet.payload == frame(2)
            stream.send(service.packet_out(1, frame(3)))
            assert one.receive() == frame(3)
            assert switch.end()[0] == 0


@pytest.mark.root
def test_a_program_on_the_command_line_runs_at_once(tmp_path: Path) -> None:
    """It drops everything: that it runs shows in what is not counted as lost for want of a program."""
    log = tmp_path / "log"
    with own_network():
        wire = Wire("p1")
        with started(str(PROGRAMS / "service.json"), "-i", "1@p1", "--log-file", str(log)) as switch:
            wire.send(frame(1))
            time.sleep(1)  # it takes microseconds, and leaves no trace outside
            assert switch.end()[0] == 0
    said = log.read_text()
    assert "port 1 (p1): rx_packets 1," in said
    assert "lost in the switch: no_program 0," in said


@pytest.mark.root
def test_links_are_logged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with own_network():
        wire = Wire("p1")
        with started("--no-p4", "-i", "1@p1", "--log-file", str(log), "--thrift-port", "9090") as switch:
            wire.send(frame(1))
            wire.remove()
            assert eventually(lambda: "port 1 (p1) is down" in log.read_text())
            switch.end()
    said = log.read_text()
    assert "these flags do nothing here: --thrift-port" in said
    assert re.search(r"port 1 \(p1\): rx_packets \d+, rx_bytes \d+, ", said)
    assert re.search(r"lost in the switch: no_program \d+, no_such_port 0, cpu_port_full 0", said)


# ---- It does not start ----


def test_an_address_in_use() -> None:
    with started("--no-p4") as switch:
        code, said = failing("--no-p4", "--", "--grpc-server-addr", switch.address)
        assert code == 5
        assert said.startswith(
            f"sluice switch: cannot listen on {switch.address}: is another switch running there?"
        )


def test_an_address_that_another_program_shares() -> None:
    """gRPC servers share ports unless they are told not to; the other one may be of that kind."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, said = failing("--no-p4", "--", "--grpc-server-addr", f"127.0.0.1:{other.getsockname()[1]}")
    assert code == 5
    assert "cannot listen on" in said


def test_an_address_that_is_none() -> None:
    code, said = failing("--no-p4", "--", "--grpc-server-addr", "9559")
    assert code == 5
    assert "'9559' is neither HOST:PORT" in said


@pytest.mark.root
def test_an_interface_that_does_not_exist() -> None:
    with own_network():
        code, said = failing("--no-p4", "-i", "1@nowhere")
    assert code == 4
    assert said == (
        "sluice switch: port 1: cannot find the interface nowhere: No such device. There are: lo\n"
    )


@pytest.mark.root
def test_without_the_right_to_open_packet_sockets() -> None:
    """In a user namespace of its own nobody has any right to the machine's network."""
    command = ["unshare", "--user", *COMMAND, "--no-p4", "-i", "1@lo"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 3, done.stderr
    assert "Run it as root, or give it CAP_NET_RAW and CAP_NET_ADMIN" in done.stderr


def test_a_program_that_is_not_there() -> None:
    code, said = failing("nothing.json")
    assert (code, said) == (6, "sluice switch: cannot read nothing.json: No such file or directory\n")


def test_a_program_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    code, said = failing(str(tmp_path / "bad.json"))
    assert code == 6
    assert said.startswith(f"sluice switch: {tmp_path}/bad.json: ")


def test_without_a_compiler(tmp_path: Path) -> None:
    code, said = failing("--no-p4", PATH="/nowhere", SLUICE_CACHE=str(tmp_path))
    assert code == 7
    assert "there is no C compiler" in said
    assert "apt-get install gcc" in said


def test_wrong_usage() -> None:
    code, said = failing()
    assert code == 2
    assert "give a BMv2 JSON, or --no-p4" in said


# ---- The two halves of the command ----


def test_the_switch_never_imports_the_controller() -> None:
    code = (
        "import sys, sluice.main, switch.main; "
        "sys.exit(any(name.split('.')[0] == 'controller' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


def test_the_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sluice.main", "--version"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("sluice 0.")
