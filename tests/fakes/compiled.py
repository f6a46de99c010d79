"""The compiled program in this process, in virtual time: a switch for the controller, and a data plane.

`CompiledSwitch` stands in for `wire.Connection` as the switch in memory does, and has the program's engine
hold the same entries. `Program` sends real frames through it and holds every answer against the model's.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address
from typing import Self

from controller.apportion import NOBODY
from controller.program import (
    BACKENDS,
    MOVING_PREVIOUS,
    PACKET_IN,
    TABLES,
    Change,
    Form,
    Key,
    Match,
    Order,
    Table,
    narrow,
)
from controller.trace import Decision
from controller.values import BACKEND_BITS, LAST_PORT
from controller.wire import Traffic
from switch import engine
from switch.compiler.model import Program as Parsed
from switch.compiler.read import read_program
from switch.engine import Engine, Entry, Exact, Lpm, Range, Ternary
from tests.fakes.data_plane import DataPlane, Flow, Verdict
from tests.fakes.switch import FakeSwitch

CPU_PORT = 255
CLIENTS_PORT = 1
PROBE_GROUP = 1
IPV4, TCP = 0x0800, 6
ETHERNET_LENGTH = 14
DESTINATION = slice(30, 34)
"""Of the IPv4 header in a frame."""

ACK, SYN, RST, SYN_ACK, FIN_ACK = 0x10, 0x02, 0x04, 0x12, 0x11


@dataclass(frozen=True)
class Loaded:
    """A program that was compiled: every `start` is a switch of its own, whose tables are empty."""

    parsed: Parsed
    engine: Engine

    @classmethod
    def of(cls, config: bytes) -> Self:
        """Of a BMv2 JSON."""
        return cls(read_program(config), Engine.load(config))

    def start(self) -> Engine:
        """Nobody asks these engines for the steps of a packet, so there is no build that tells them."""
        return Engine(self.parsed, self.engine.path, lambda: self.engine.path)


class CompiledSwitch(FakeSwitch):
    """The tables of a switch in memory and of a running program, which are the same."""

    def __init__(self, running: Engine) -> None:
        super().__init__()
        self.engine = running
        self._tables = {
            table: _named(running.tables, table.name)
            for table in TABLES
            if table.form in (Form.ENTRIES, Form.DEFAULT)
        }
        self._actions = {
            (table, action): _named(running.tables[name].actions, action)
            for table, name in self._tables.items()
            for action in table.actions
        }

    def _make(self, change: Change) -> tuple[int, str] | None:
        refusal = super()._make(change)
        if refusal is None:
            self._pass_on(change)
        return refusal

    def _pass_on(self, change: Change) -> None:
        kind, table, key, do = change
        if table not in self._tables:  # meters and groups, which nothing here asks for
            return
        name = self._tables[table]
        if table.form is Form.DEFAULT:
            assert do is not None
            self.engine.set_default(name, self._actions[table, do.action], do.values)
        elif do is None:
            self.engine.delete(name, *_matches(table, key))
        else:
            make = self.engine.insert if kind == "insert" else self.engine.modify
            match, priority = _matches(table, key)
            make(name, Entry(match, priority, self._actions[table, do.action], do.values))

    async def packet_counts(self, counter: str, cells: Iterable[int]) -> dict[int, int]:
        name = _named(self.engine.counters, counter)
        return {cell: self.engine.counters[name].read(cell)[0] for cell in cells}

    async def register(self, name: str) -> list[int]:
        cells = self.engine.registers[_named(self.engine.registers, name)]
        return [cells.read(index) for index in range(cells.size)]

    async def traffic(self, table: Table) -> dict[Key, Traffic]:
        name = self._tables[table]
        return {
            key: Traffic(*self.engine.direct_counter_read(name, *_matches(table, key)))
            for key in self.tables[table]
        }


def _named(names: Iterable[str], name: str) -> str:
    """The one whose last parts are `name`."""
    (found,) = (full for full in names if f".{full}".endswith(f".{name}"))
    return found


def _matches(table: Table, key: Key) -> tuple[tuple[engine.Match, ...], int]:
    """A key as the engine has it, and its priority (see controller/codec.py)."""
    values, match, priority = iter(key), list[engine.Match](), 0
    for field in table.key:
        value = next(values)
        if field.match is Match.EXACT:
            match.append(Exact(value))
        elif field.match is Match.LPM:
            match.append(Lpm(value, next(values)))
        elif field.match is Match.TERNARY:
            match.append(Ternary(value, next(values)))
            priority = 1
        else:
            last = next(values)
            match.append(Range(value, last))
            priority = LAST_PORT + 1 - (last - value)
    return tuple(match), priority


# frames


def _checksum(header: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def tcp_frame(
    ends: tuple[IPv4Address, IPv4Address],
    ports: tuple[int, int],
    flags: int,
    macs: tuple[int, int],
    acknowledgement: int = 0,
) -> bytes:
    """A segment without data; each pair is source and destination. Nobody looks at the TCP checksum, which
    is 0."""
    source, destination = ends
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, TCP, 0) + source.packed + destination.packed
    ip = ip[:10] + _checksum(ip).to_bytes(2) + ip[12:]
    tcp = struct.pack("!HHIIBBHHH", *ports, 0, acknowledgement, 5 << 4, flags, 1024, 0, 0)
    return macs[1].to_bytes(6) + macs[0].to_bytes(6) + IPV4.to_bytes(2) + ip + tcp


@dataclass(frozen=True, slots=True)
class Program:
    """The program as a data plane. Every packet is traced, then sent; both are compared with the model.

    `client` is the clients' MAC, `router` the switch's, `prober` the address that probes come from.
    """

    switch: CompiledSwitch
    model: DataPlane
    client: int
    router: int
    prober: IPv4Address

    @property
    def now(self) -> float:
        return self.model.now

    def decide(self, flow: Flow, *, syn: bool = False, fin: bool = False) -> Verdict:
        """What the program did, which is what the model does."""
        frame = self._frame(flow, SYN if syn else FIN_ACK if fin else ACK)
        told = self._trace(frame)
        verdict = self.model.decide(flow, syn=syn, fin=fin)
        owners = self._owners_of(self._process(CLIENTS_PORT, frame))
        says = f"{flow} at {self.now:g} s, {'SYN' if syn else 'FIN' if fin else 'ACK'}: "
        assert verdict.owner in owners, f"{says}the program sends to {owners}, the model says {verdict}"
        if told["decision"] != Decision.GONE:  # the packet itself was then decided afresh
            seen = told["owner"], told["decision"]
            assert seen == verdict, f"{says}the trace tells {seen}, the model {verdict}"
        return verdict

    def compare_counters(self) -> None:
        """The packets that the `previous` rule decided, in cells that were ever used."""
        cells = self.switch.cells.get(MOVING_PREVIOUS, {})
        name = _named(self.switch.engine.counters, MOVING_PREVIOUS)
        for cell, count in cells.items():
            found, _ = self.switch.engine.counters[name].read(cell)
            assert found == count, f"motion slot {cell}: the program counted {found}, the model {count}"

    def begin_round(self) -> None:
        self._process(CPU_PORT, struct.pack("!BH", Order.BEGIN, PROBE_GROUP))
        self.model.begin_round()

    def hear(self, backend: int) -> None:
        """Its answer to a probe of the present round: the SYN had round and backend as sequence number."""
        sequence = (self.model.round << BACKEND_BITS | backend) % (1 << 32)
        address = narrow(self.switch.tables[BACKENDS][backend,].values[0])
        assert isinstance(address, IPv4Address)
        macs = (self.client, self.router)
        ends = (address, self.prober)
        self._process(CLIENTS_PORT, tcp_frame(ends, (80, 0x8000), SYN_ACK, macs, (sequence + 1) % (1 << 32)))
        self.model.hear(backend)

    def _frame(self, flow: Flow, flags: int) -> bytes:
        address, _, port = flow.vip
        destination = narrow(address)
        assert isinstance(flow.source, IPv4Address) and isinstance(destination, IPv4Address)
        ends, ports = (flow.source, destination), (flow.port, port)
        return tcp_frame(ends, ports, flags, (self.client, self.router))

    def _trace(self, frame: bytes) -> dict[str, int]:
        order = struct.pack("!BH", Order.TRACE, CLIENTS_PORT)
        ((port, answer),) = self._process(CPU_PORT, order + frame)
        assert port == CPU_PORT
        return packet_in(answer)

    def _owners_of(self, sent: list[tuple[int, bytes]]) -> set[int]:
        """All numbers of the server that it goes to: one that came back after a store was lost has two."""
        if not sent:
            return {NOBODY}
        ((_, frame),) = sent
        destination = IPv4Address(frame[DESTINATION])
        backends = self.switch.tables[BACKENDS].items()
        return {number for (number,), do in backends if narrow(do.values[0]) == destination}

    def _process(self, port: int, frame: bytes) -> list[tuple[int, bytes]]:
        return self.switch.engine.process(port, frame, self.model.microseconds)


@cache
def _shifts() -> tuple[int, dict[str, tuple[int, int]]]:
    """The length of a packet-in's header in bytes, and where in it each field is: shift and mask."""
    bits = sum(field.bits for field in PACKET_IN)
    places, left = dict[str, tuple[int, int]](), bits
    for field in PACKET_IN:
        left -= field.bits
        places[field.name] = left, (1 << field.bits) - 1
    return bits // 8, places


def packet_in(answer: bytes) -> dict[str, int]:
    length, places = _shifts()
    header = int.from_bytes(answer[:length])
    return {name: header >> shift & mask for name, (shift, mask) in places.items()}
