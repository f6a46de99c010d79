"""The switches that the packet table runs on.

    InProcess   the compiled program in this process, behind the P4Runtime server's translation; virtual time
    OnWires     a switch in a process of its own: the embedded one, or simple_switch_grpc; on real interfaces,
                or with its packets by gRPC

Each takes P4Runtime messages and packets, and tells what came out.
"""

import contextlib
import itertools
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import grpc
from finsy.proto import p4r, p4r_grpc
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from switch.engine import Engine
from switch.ports import Ports
from switch.server import read, write
from switch.server.pipeline import Pipeline
from tests.packets import rows
from tests.packets.case import SEND, TRACE
from tests.packets.coverage import Coverage
from tests.packets.door import Door
from tests.packets.p4runtime import PIPELINE, Names, count_of
from tests.packets.rows import Row
from tests.packets.wires import LARGEST_MTU, Wires, inside, namespace, switch_side
from tests.packets.world import CPU, PORTS, ROUTER

Emitted = list[tuple[int, bytes]]

SECOND = 1_000_000  # microseconds
DEVICE_ID = 1
START_TIMEOUT = 60.0  # a first start compiles the program
POLL_INTERVAL = 0.05
ARRIVAL_TIMEOUT = 10.0
MAX_MESSAGE = 64 << 20
SLUICE = Path(sys.executable).parent / "sluice"


class Target(Protocol):
    """A switch that runs the program."""

    name: str
    names: Names
    virtual_time: bool
    """Whether `at` is the time, rather than as early as a step may be."""

    def write(self, updates: Sequence[p4r.Update]) -> None: ...

    def read(self, wanted: Sequence[p4r.Entity]) -> list[p4r.Entity]: ...

    def begin(self) -> None:
        """A case begins: the time of its packets counts from here."""
        ...

    def send(self, port: int, frames: Sequence[bytes], at: float) -> Emitted:
        """Frames arrive on a port, `at` seconds after `begin`; what leaves, in order for each port."""
        ...

    def packet_out(self, order: int, port: int, payload: bytes, at: float) -> Emitted: ...


class InProcess:
    """`Engine.process`, and the server's translation of messages without its gRPC."""

    name = "in process"
    virtual_time = True

    def __init__(self, names: Names, config: bytes, real_time: bool) -> None:
        self.names = names
        self._real_time = real_time
        self._start = time.monotonic()
        request = p4r.ForwardingPipelineConfig(p4info=names.p4info, p4_device_config=config)
        self._pipeline = Pipeline.load(request, Engine.load, Ports(any_number=True))
        self._begun = 0
        self._now = 0
        self.coverage: Coverage | None = None
        """Traces the packets, where there is one."""

    @property
    def engine(self) -> Engine:
        return self._pipeline.engine

    def write(self, updates: Sequence[p4r.Update]) -> None:
        for update in updates:
            write.apply(self._pipeline, update)

    def read(self, wanted: Sequence[p4r.Entity]) -> list[p4r.Entity]:
        return [entity for one in wanted for entity in read.entities(self._pipeline, one)]

    def begin(self) -> None:
        later = self._now + SECOND
        if self._real_time:
            later = round((time.monotonic() - self._start) * SECOND)
        self._begun = self._now = later

    def send(self, port: int, frames: Sequence[bytes], at: float) -> Emitted:
        self._now = self._begun + round(at * SECOND)
        return [out for frame in frames for out in self._process(port, frame)]

    def _process(self, port: int, frame: bytes) -> Emitted:
        if self.coverage is None:
            return self.engine.process(port, frame, self._now)
        sent, events = self.engine.trace(port, frame, self._now)
        self.coverage.add(events)
        return sent

    def packet_out(self, order: int, port: int, payload: bytes, at: float) -> Emitted:
        message = self.names.packet_out(order, port, payload)
        return self.send(CPU, [self._pipeline.packet_out.pack(message.metadata) + message.payload], at)

    def close(self) -> None:
        self._pipeline.retire()


class Controller:
    """A primary P4Runtime client: as much of one as the tests need."""

    def __init__(self, address: str) -> None:
        self.address = address
        options = [("grpc.max_receive_message_length", MAX_MESSAGE)]
        self._channel = grpc.insecure_channel(address, options)
        self._stub = p4r_grpc.P4RuntimeStub(self._channel)
        self._requests: queue.SimpleQueue[p4r.StreamMessageRequest | None] = queue.SimpleQueue()
        self._election_id = p4r.Uint128(low=1)
        self._arbitrated = threading.Event()
        self.packets_in: queue.SimpleQueue[p4r.PacketIn] = queue.SimpleQueue()

    def connect(self, switch: subprocess.Popen[bytes], timeout: float) -> None:
        """Wait until the switch answers; become its primary. Raises TimeoutError, at once if it has ended."""
        ready = grpc.channel_ready_future(self._channel)
        deadline = time.monotonic() + timeout
        while not ready.done():
            if switch.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError("it does not answer" if switch.poll() is None else "it has ended")
            time.sleep(POLL_INTERVAL)
        arbitration = p4r.MasterArbitrationUpdate(device_id=DEVICE_ID, election_id=self._election_id)
        self._requests.put(p4r.StreamMessageRequest(arbitration=arbitration))
        responses = self._stub.StreamChannel(iter(self._requests.get, None))
        threading.Thread(target=self._listen, args=(responses,), daemon=True).start()
        if not self._arbitrated.wait(timeout):
            raise TimeoutError("the switch did not answer the arbitration")

    def _listen(self, responses: Iterable[p4r.StreamMessageResponse]) -> None:
        with contextlib.suppress(grpc.RpcError):  # the end of the stream
            for response in responses:
                if response.HasField("packet"):
                    self.packets_in.put(response.packet)
                elif response.HasField("arbitration"):
                    self._arbitrated.set()

    def push(self, names: Names, config: bytes) -> None:
        self._stub.SetForwardingPipelineConfig(
            p4r.SetForwardingPipelineConfigRequest(
                device_id=DEVICE_ID,
                election_id=self._election_id,
                action=p4r.SetForwardingPipelineConfigRequest.VERIFY_AND_COMMIT,
                config=p4r.ForwardingPipelineConfig(p4info=names.p4info, p4_device_config=config),
            )
        )

    def write(self, updates: Sequence[p4r.Update]) -> None:
        if updates:
            self._stub.Write(
                p4r.WriteRequest(device_id=DEVICE_ID, election_id=self._election_id, updates=updates)
            )

    def read(self, wanted: Sequence[p4r.Entity]) -> list[p4r.Entity]:
        replies = self._stub.Read(p4r.ReadRequest(device_id=DEVICE_ID, entities=wanted))
        return [entity for reply in replies for entity in reply.entities]

    def packet_out(self, message: p4r.PacketOut) -> None:
        self._requests.put(p4r.StreamMessageRequest(packet=message))

    def close(self) -> None:
        self._requests.put(None)
        self._channel.close()


MARKER_MAC = "02:00:00:00:ff:{:02x}"
MARKER_NETWORK = "198.51.100.0/24"
MARKER_HOST = "198.51.100.{}"
TOKEN_OCTETS = 8


def marker_rows() -> list[Row]:
    """What takes a marker to each port. The network is one for documentation (RFC 5737), in no case's way."""
    neighbors = (
        rows.neighbor(MARKER_HOST.format(port), port, ROUTER, MARKER_MAC.format(port)) for port in PORTS
    )
    return [rows.route(MARKER_NETWORK), *neighbors]


@cache
def _before_token(port: int) -> bytes:
    """Of a marker; its UDP has no checksum, so that all markers to a port begin the same."""
    packet = Ether(dst=ROUTER, src=MARKER_MAC.format(0)) / IP(
        src=MARKER_HOST.format(254), dst=MARKER_HOST.format(port)
    )
    return bytes(packet / UDP(sport=9, dport=9, chksum=0) / bytes(TOKEN_OCTETS))[:-TOKEN_OCTETS]


@cache
def _before_sent_token(port: int) -> bytes:
    return bytes(Ether(dst=MARKER_MAC.format(port), src=ROUTER) / bytes(TOKEN_OCTETS))[:-TOKEN_OCTETS]


def _marker(port: int, token: int) -> bytes:
    return _before_token(port) + token.to_bytes(TOKEN_OCTETS)


def _sent_marker(port: int, token: int) -> bytes:
    """One that the controller sends out of a port, whatever the tables say."""
    return _before_sent_token(port) + token.to_bytes(TOKEN_OCTETS)


def _is_marker(port: int, frame: bytes) -> bool:
    return frame[:6] == bytes.fromhex(MARKER_MAC.format(port).replace(":", ""))


class OnWires:
    """A switch in another process. It has done its work when markers sent behind the packets have come out.

    A switch keeps the order of packets from one port to another, so that nothing can still be inside then.
    Packet-ins come on a way of their own; the program's punt counters tell how many there must be. A
    trace has one answer, which they leave out.
    """

    virtual_time = False

    def __init__(
        self, kind: str, names: Names, controller: Controller, wires: Wires | Door, pid: int
    ) -> None:
        self.pid = pid
        self.name = f"{kind} {wires.kind}"
        self.names = names
        self.namespace = wires.namespace
        self.address = controller.address
        self._controller = controller
        self._wires = wires
        self._tokens = itertools.count(1)
        self._begun = 0.0
        self._punts_seen = 0
        self._punts = names.direct_counters("punts")
        self.write([names.insert(row) for row in marker_rows()])

    def write(self, updates: Sequence[p4r.Update]) -> None:
        self._controller.write(updates)

    def read(self, wanted: Sequence[p4r.Entity]) -> list[p4r.Entity]:
        return self._controller.read(wanted)

    def begin(self) -> None:
        self._begun = time.monotonic()

    def _wait_until(self, at: float) -> None:
        time.sleep(max(0.0, self._begun + at - time.monotonic()))

    def send(self, port: int, frames: Sequence[bytes], at: float) -> Emitted:
        self._wait_until(at)
        for frame in frames:
            self._wires.send(port, frame)
        token = next(self._tokens)
        for out in PORTS:
            if isinstance(self._wires, Door):  # which also takes what the controller would send
                frame = _sent_marker(out, token)
                self._wires.send(CPU, self.names.packet_out_octets(SEND, out, frame))
            else:
                self._wires.send(port, _marker(out, token))
        return self._collect(token)

    def packet_out(self, order: int, port: int, payload: bytes, at: float) -> Emitted:
        self._wait_until(at)
        self._controller.packet_out(self.names.packet_out(order, port, payload))
        token = next(self._tokens)
        for out in PORTS:
            self._controller.packet_out(self.names.packet_out(SEND, out, _sent_marker(out, token)))
        return self._collect(token, told=int(order == TRACE and port in PORTS))

    def _collect(self, token: int, told: int = 0) -> Emitted:
        emitted: Emitted = []
        awaited = set(PORTS)
        deadline = time.monotonic() + ARRIVAL_TIMEOUT
        while awaited:
            for port, frame in self._wires.receive(max(0.0, deadline - time.monotonic())):
                if not _is_marker(port, frame):
                    emitted.append((port, frame))
                elif frame[-TOKEN_OCTETS:] == token.to_bytes(TOKEN_OCTETS):
                    awaited.discard(port)
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.name}: no marker on port {sorted(awaited)} in {ARRIVAL_TIMEOUT:g} s"
                )
        return emitted + self._packets_in(told)

    def _packets_in(self, told: int) -> Emitted:
        punts = sum(count_of(entity.table_entry.counter_data).packets for entity in self.read([self._punts]))
        new, self._punts_seen = punts - self._punts_seen + told, punts
        messages = [self._controller.packets_in.get(timeout=ARRIVAL_TIMEOUT) for _ in range(new)]
        return [(CPU, self.names.packet_in(message)) for message in messages]


def embedded_command(server: str, interfaces: Sequence[str], flags: Sequence[str] = ()) -> list[str]:
    return [str(SLUICE), "switch", *_switch_flags(interfaces), *flags, "--", *_target_flags(server)]


def bmv2_command(server: str, interfaces: Sequence[str], notifications: Path) -> list[str]:
    own = ["--notifications-addr", f"ipc://{notifications}", "--log-level", "off"]
    return ["simple_switch_grpc", *_switch_flags(interfaces), *own, "--", *_target_flags(server)]


def _switch_flags(interfaces: Sequence[str]) -> list[str]:
    return [
        "--no-p4",
        "--device-id",
        str(DEVICE_ID),
        *itertools.chain.from_iterable(("-i", i) for i in interfaces),
    ]


def _target_flags(server: str) -> list[str]:
    return ["--grpc-server-addr", server, "--cpu-port", str(CPU)]


@contextlib.contextmanager
def in_process(names: Names, config: bytes | None = None, *, real_time: bool = False) -> Iterator[InProcess]:
    """real_time: between cases as much time passes as for the others, and not a second."""
    with contextlib.closing(InProcess(names, config or PIPELINE.read_bytes(), real_time)) as target:
        yield target


@contextlib.contextmanager
def on_wires(
    kind: str,
    names: Names,
    config: bytes | None = None,
    mtu: int = LARGEST_MTU,
    flags: Sequence[str] = (),
) -> Iterator[OnWires]:
    """It serves on a unix socket, which a namespace does not keep from us.

    kind: "embedded" or "bmv2". flags: more of them for the embedded one.
    """
    with contextlib.ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix=f"sluice-{kind}-")))
        inner = ending.enter_context(namespace(kind, mtu))
        interfaces = [f"{port}@{switch_side(port)}" for port in PORTS]
        server = f"unix:{folder / 'p4runtime.sock'}"
        command = inside(inner, _command(kind, folder, server, interfaces, flags))
        controller, pid = ending.enter_context(_running(command, folder, server, names, config))
        wires = ending.enter_context(contextlib.closing(Wires(inner)))
        yield OnWires(kind, names, controller, wires, pid)


@contextlib.contextmanager
def by_grpc(kind: str, names: Names) -> Iterator[OnWires]:
    """As `on_wires`, without interfaces, which needs no rights."""
    with contextlib.ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix=f"sluice-{kind}-")))
        server, packets = (f"unix:{folder / name}.sock" for name in ("p4runtime", "packets"))
        command = [*_command(kind, folder, server, []), "--dp-grpc-server-addr", packets]
        controller, pid = ending.enter_context(_running(command, folder, server, names, None))
        door = ending.enter_context(contextlib.closing(Door(packets, DEVICE_ID)))
        yield OnWires(kind, names, controller, door, pid)


def _command(
    kind: str, folder: Path, server: str, interfaces: Sequence[str], flags: Sequence[str] = ()
) -> list[str]:
    if kind == "embedded":
        return embedded_command(server, interfaces, flags)
    return bmv2_command(server, interfaces, folder / "notifications.ipc")


@contextlib.contextmanager
def _running(
    command: Sequence[str], folder: Path, server: str, names: Names, config: bytes | None
) -> Iterator[tuple[Controller, int]]:
    """The switch, with the program; yields its primary and its process id."""
    with contextlib.ExitStack() as ending:
        log = ending.enter_context((folder / "switch.log").open("w+"))
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        ending.callback(_end, process)
        controller = Controller(server)
        ending.callback(controller.close)
        try:
            controller.connect(process, START_TIMEOUT)
            controller.push(names, config or PIPELINE.read_bytes())
        except (grpc.RpcError, TimeoutError) as error:
            log.seek(0)
            raise RuntimeError(f"{' '.join(command)} did not start:\n{error}\n{log.read()}") from error
        yield controller, process.pid


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
