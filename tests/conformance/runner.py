"""Runs an STF script on a program in the embedded engine, in this process and in virtual time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from switch.engine import Engine
from switch.entries import Entry, Exact, Key, Lpm, Match, MatchKind, Range, Table, Ternary
from tests.conformance.stf import Add, Call, Command, Expect, Packet, Replication, SetDefault, number

GAP = 100_000
"""Microseconds between two packets, so that timestamps move."""


class Mismatch(Exception):
    """What came out is not what was expected."""


def run(engine: Engine, commands: Iterable[Command]) -> int:
    """Returns how many packets were compared. Raises Mismatch, or EngineError from the engine."""
    commands = list(commands)
    expected: dict[int, list[Expect]] = defaultdict(list)
    received: dict[int, list[bytes]] = defaultdict(list)
    replication = _Replication(engine)
    now = 0
    for command in commands:
        match command:
            case Packet(port, octets):
                now += GAP
                for out, sent in engine.process(port, octets, now):
                    received[out].append(sent)
            case Expect(port):
                expected[port].append(command)
            case Add():
                engine.insert(*_entry(engine.tables, command))
            case SetDefault(table, call):
                found = _table(engine.tables, table)
                engine.set_default(found.name, *_action(found, call))
            case Replication():
                replication.do(command)
    # A port that the script does not name is not connected to anything.
    ports = {c.port for c in commands if isinstance(c, Packet | Expect)}
    for port in sorted(ports):
        _compare(port, expected[port], received[port])
    return sum(map(len, expected.values()))


def _compare(port: int, expected: list[Expect], received: list[bytes]) -> None:
    if any(one.digits is None for one in expected):
        if not received:
            raise Mismatch(f"port {port}: no packet")
        return
    if len(expected) != len(received):
        raise Mismatch(f"port {port}: {len(received)} packets instead of {len(expected)}")
    for place, (one, octets) in enumerate(zip(expected, received, strict=True), start=1):
        if not one.accepts(octets):
            wanted = f"{one.digits}{'$' if one.exact else ''}"
            raise Mismatch(f"port {port}, packet {place}: {octets.hex()} instead of {wanted}")


class _Replication:
    """The commands of simple_switch_CLI, whose nodes are numbered in the order of their creation."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._nodes: list[tuple[int, tuple[int, ...]]] = []
        self._groups: dict[int, list[int]] = {}

    def do(self, command: Replication) -> None:
        first, *rest = command.numbers
        match command.name:
            case "mirroring_add":
                self._engine.clone_sessions.set(first, [(rest[0], 0)])
            case "mc_mgrp_create":
                self._groups[first] = []
            case "mc_node_create":
                self._nodes.append((first, tuple(rest)))
            case _:
                self._groups[first].append(rest[0])
                nodes = [self._nodes[node] for node in self._groups[first]]
                replicas = [(port, rid) for rid, ports in nodes for port in ports]
                self._engine.multicast_groups.set(first, replicas)


def _table(tables: Mapping[str, Table], name: str) -> Table:
    return tables[_named(tables, name)]


def _named(names: Iterable[str], wanted: str) -> str:
    """The name that is this one or ends in it; `$` before an index stands for brackets."""
    names = list(names)
    found = [n for n in names if n == wanted] or [
        n for n in names if _plain(n).endswith(f".{_plain(wanted)}")
    ]
    if len(found) != 1:
        raise Mismatch(f"{len(found)} of {', '.join(names)} are named {wanted}")
    return found[0]


def _plain(name: str) -> str:
    return name.replace("[", "$").replace("]", "")


def _action(table: Table, call: Call) -> tuple[str, tuple[int, ...]]:
    name = _named(table.actions, call.action)
    return name, tuple(call.arguments[parameter.name] for parameter in table.actions[name])


def _entry(tables: Mapping[str, Table], command: Add) -> tuple[str, Entry]:
    table = _table(tables, command.table)
    given = {_named([key.name for key in table.keys], name): text for name, text in command.keys.items()}
    match = tuple(_match(key, given.get(key.name)) for key in table.keys)
    action, data = _action(table, command.call)
    return table.name, Entry(match, command.priority if table.has_priorities else 0, action, data)


def _match(key: Key, text: str | None) -> Match:
    ones = (1 << key.bits) - 1
    match key.kind:
        case MatchKind.EXACT if text is not None:
            return Exact(number(text))
        case MatchKind.LPM:
            value, _, length = (text or "0/0").partition("/")
            return Lpm(number(value), int(length) if length else key.bits)
        case MatchKind.TERNARY:
            if text is None:
                return Ternary(0, 0)
            mask = "0x" + "".join("0" if digit == "*" else "f" for digit in text[2:]) if "*" in text else "-1"
            known = number(mask) & ones
            return Ternary(number(text.replace("*", "0")) & known, known)
        case MatchKind.RANGE:
            low, _, high = (text or f"0->{ones}").partition("->")
            return Range(number(low), number(high or low))
    raise Mismatch(f"the key {key.name} is missing")
