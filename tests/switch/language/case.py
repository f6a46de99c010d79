"""A case, and how it is run on a switch that is reached by P4Runtime and the packet service."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from finsy import P4DigestList, P4Schema
from finsy.p4entity import P4IdleTimeoutNotification
from finsy.proto import p4r

from tests.switch.both_switches import Addresses
from tests.switch.client import Client, Stream, pipeline_config
from tests.switch.packet_client import PacketClient, request

PROGRAMS = Path(__file__).parents[1] / "programs"


@dataclass(frozen=True, slots=True)
class Write:
    """entities: finsy's, with the sign +, ~ or - for what is done to them."""

    entities: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A packet and all that comes of it, as (port, packet) in any order."""

    port: int
    packet: bytes
    out: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """The switch sends a digest list with these elements."""

    name: str
    elements: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Idle:
    """The switch says that entries of the table were not hit for their timeout."""

    table: str
    keys: tuple[int, ...]


Step = Write | Exchange | Digest | Idle


@dataclass(frozen=True, slots=True)
class Case:
    """shows: what of the language. only_here: why simple_switch_grpc cannot run it."""

    program: str
    shows: str
    steps: tuple[Step, ...]
    only_here: str = ""

    @property
    def name(self) -> str:
        return f"{self.program}: {self.shows}"


def write(*entities: Any) -> Write:
    return Write(entities)


def same(port: int, packet: bytes, changed: bytes | None = None) -> Exchange:
    """The packet goes out where it came in."""
    return Exchange(port, packet, ((port, packet if changed is None else changed),))


@dataclass(frozen=True, slots=True)
class Door:
    """A switch: the primary client with its stream, and packets."""

    client: Client
    stream: Stream
    packets: PacketClient

    @classmethod
    @contextmanager
    def of(cls, addresses: Addresses) -> Iterator[Self]:
        packets = PacketClient(addresses[1])
        try:
            with Client(addresses[0]) as client:
                yield cls(client, client.become_primary(), packets)
        finally:
            packets.close()


@cache
def schema_of(program: str) -> P4Schema:
    return P4Schema(PROGRAMS / f"{program}.p4info.txtpb")


def run(case: Case, door: Door) -> None:
    schema = schema_of(case.program)
    door.client.set_pipeline(pipeline_config(case.program))
    for step in case.steps:
        match step:
            case Write(entities):
                door.client.write_updates(*(entity.encode_update(schema) for entity in entities))
            case Exchange(port, packet, out):
                sent = door.packets.exchange(request(port, packet))
                came = sorted((to, octets.hex()) for _, to, octets in sent)
                expected = sorted((to, octets.hex()) for to, octets in out)
                assert came == expected, f"{packet.hex()} at port {port}: {came}, not {expected}"
            case Digest(name, elements):
                digest = P4DigestList.decode(_told(door.stream, "digest"), schema)
                assert (digest.digest_id, list(digest.data)) == (name, list(elements))
            case Idle(table, keys):
                idle = P4IdleTimeoutNotification.decode(
                    _told(door.stream, "idle_timeout_notification"), schema
                )
                found = [(entry.table_id, *(entry.match or {}).values()) for entry in idle.table_entry]
                assert found == [(table, *keys)]


def _told(stream: Stream, kind: str) -> p4r.StreamMessageResponse:
    """The next message of that kind; there may be others of an earlier case before it."""
    while True:
        message = stream.receive()
        if message.WhichOneof("update") == kind:
            return message
