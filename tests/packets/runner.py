"""Runs a case on a target: its rows, its packets, its counters."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from scapy.layers.l2 import Ether
from scapy.packet import Raw as Payload

from tests.packets.case import Case, Cell, Change, InRound, Order, Raw, Send
from tests.packets.checksums import wrong_checksums
from tests.packets.p4runtime import Count, count_of
from tests.packets.packet_in import PacketIn, Punt
from tests.packets.rows import Entry, Group, Meter, Row
from tests.packets.targets import Emitted, Target
from tests.packets.world import BASE, CPU

# An entry comes after those that it leads to.
WRITE_ORDER = (
    "macs",
    "addresses",
    "own_sources",
    "neighbors",
    "routes",
    "links",
    "interfaces",
    "health_checkers",
    "liveness_settings",
    "current.probed",
    "standby.probed",
    "probe_targets",
    "backends",
    "tunnels",
    "nat_hosts",
    "nat_answers",
    "nat_answer_ranges",
    "nat_services",
    "nat_service_ranges",
    "buckets",
    "pools",
    "sources",
    "vips",
    "vip_ranges",
)
PACKET_IN_OCTETS = 20
AGE = 0x3FFF << 16  # in the packet_in header: how long a traced flow's exception was silent
SHOWN = 4  # packets in a message

Key = tuple[object, ...]


class Tables:
    """What a target's tables hold, and the fewest writes that make it something else."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._held: dict[Key, Entry] = {}

    def become(self, wanted: Iterable[Entry]) -> None:
        by_key: dict[Key, Entry] = {row.key: row for row in wanted}
        self.change(by_key.values(), [row for key, row in self._held.items() if key not in by_key])

    def change(self, rows: Iterable[Entry], gone: Iterable[Entry]) -> None:
        names = self._target.names
        rows = list(rows)
        new = [row for row in rows if row.key not in self._held]
        other = [row for row in rows if self._differs(row)]
        leaving = list(gone)
        updates = [names.insert(row) for row in _ordered(new)]
        updates += [names.modify(row) for row in _ordered(other)]
        updates += [names.delete(row) for row in reversed(_ordered(leaving))]
        self._target.write(updates)
        self._held.update((row.key, row) for row in rows)
        for row in leaving:
            del self._held[row.key]

    def _differs(self, row: Entry) -> bool:
        """A meter that was written always does, since packets have taken from it."""
        held = self._held.get(row.key)
        return held is not None and (held != row or isinstance(row, Meter))

    def holds(self, row: Row) -> bool:
        return row.key in self._held


def _ordered(rows: Iterable[Entry]) -> list[Entry]:
    """Meters and multicast groups first: no entry leads to them."""
    return sorted(
        rows, key=lambda row: -1 if isinstance(row, Meter | Group) else WRITE_ORDER.index(row.table)
    )


class Runner:
    """One target, through any number of cases."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.tables = Tables(target)
        self._names = target.names.actions_by_id()
        self._round = 0  # probe rounds begun so far: a switch starts with none

    def run(self, case: Case) -> None:
        """Raises AssertionError with what came out instead."""
        without = {row.key for row in case.without}
        rows = {row.key: row for row in (*BASE, *case.rows)}
        self.tables.become(row for key, row in rows.items() if key not in without)
        watched = [*case.counts, *case.octets]
        before = self.counts(watched)
        fates_before = self.fates()

        self.target.begin()
        for number, step in enumerate(case.steps, 1):
            if isinstance(step, Change):
                self.tables.change(step.rows, step.gone)
                continue
            if isinstance(step, InRound):
                self._round += step.begins
                step = step.make(self._round)
            emitted = self._carry_out(step)
            wanted = [(out.port, out.octets) for out in step.out]
            if not self.target.virtual_time:
                wanted, emitted = without_ages(wanted), without_ages(emitted)
            expect(wanted, emitted, f"step {number}")
            if not step.broken:
                check_checksums(emitted, f"step {number}")

        fates = _difference(self.fates(), fates_before)
        expected = {**case.drops, **case.replies, **_punts(case)}
        assert fates == expected, "packets by drop reason, kind of reply and reason to punt"
        after = self.counts(watched)
        for what, packets in case.counts.items():
            assert after[what].packets - before[what].packets == packets, f"packets counted by {what}"
        for what, octets in case.octets.items():
            assert after[what].octets - before[what].octets == octets, f"bytes counted by {what}"

    def _carry_out(self, step: Send | Order | Raw) -> Emitted:
        if isinstance(step, Send):
            return self.target.send(step.port, [step.octets], step.at)
        if isinstance(step, Order):
            return self.target.packet_out(step.order, step.port, bytes(step.payload), step.at)
        return self.target.send(CPU, [step.payload], step.at)

    def fates(self) -> dict[str, int]:
        """Packets so far by drop reason, kind of reply, and reason for the controller to have them."""
        return self.by_action("drops", "replies", "punts")

    def by_action(self, *tables: str) -> dict[str, int]:
        """Packets counted by tables of constant entries, whose actions have names of their own."""
        names = self.target.names
        entities = self.target.read([names.direct_counters(table) for table in tables])
        return {
            self._names[
                entity.table_entry.action.action.action_id
            ]: entity.table_entry.counter_data.packet_count
            for entity in entities
        }

    def counts(self, watched: Sequence[Row | Cell]) -> Mapping[Row | Cell, Count]:
        """Zero for a row that is not in its table."""
        counts: dict[Row | Cell, Count] = {}
        for what in watched:
            if isinstance(what, Cell):
                entity = self.target.read([self.target.names.counter(what.counter, what.index)])[0]
                counts[what] = count_of(entity.counter_entry.data)
            elif self.tables.holds(what):
                entity = self.target.read([self.target.names.direct_counter(what)])[0]
                counts[what] = count_of(entity.direct_counter_entry.data)
            else:
                counts[what] = Count(0, 0)
        return counts


def _difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {reason: count - before[reason] for reason, count in after.items() if count != before[reason]}


def _punts(case: Case) -> Counter[str]:
    """What goes to the controller in a case, by reason. The answer to a trace is not counted."""
    outs = (out for step in case.packets for out in step.out if out.port == CPU)
    reasons = Counter(Punt(PacketIn(out.octets).reason).name.lower() for out in outs)
    del reasons[Punt.TRACE.name.lower()]
    return reasons


def without_ages(emitted: Emitted) -> Emitted:
    """A clock that nobody sets tells ages that nobody foresees."""
    return [(port, _ageless(frame) if port == CPU else frame) for port, frame in emitted]


def _ageless(frame: bytes) -> bytes:
    header = int.from_bytes(frame[:PACKET_IN_OCTETS]) & ~AGE
    return header.to_bytes(PACKET_IN_OCTETS) + frame[PACKET_IN_OCTETS:]


def by_port(emitted: Iterable[tuple[int, bytes]]) -> dict[int, list[bytes]]:
    ports: dict[int, list[bytes]] = defaultdict(list)
    for port, frame in emitted:
        ports[port].append(frame)
    return dict(ports)


def expect(wanted: Emitted, emitted: Emitted, where: str) -> None:
    """Raises AssertionError unless exactly the wanted packets came out of each port, in order."""
    expected = by_port(wanted)
    got = by_port(emitted)
    if got == expected:
        return
    lines = [f"{where}: not what must come out"]
    for port in sorted(expected.keys() | got.keys()):
        missing, surplus = expected.get(port, []), got.get(port, [])
        if missing != surplus:
            lines += [f"  port {port} must send {len(missing)}:", *_described(port, missing)]
            lines += [f"  port {port} sent {len(surplus)}:", *_described(port, surplus)]
    raise AssertionError("\n".join(lines))


def _described(port: int, frames: Sequence[bytes]) -> list[str]:
    """The first few."""
    return [describe(port, frame) for frame in frames[:SHOWN]] + ["    ..."] * (len(frames) > SHOWN)


def describe(port: int, frame: bytes) -> str:
    header, payload = (frame[:PACKET_IN_OCTETS], frame[PACKET_IN_OCTETS:]) if port == CPU else (b"", frame)
    parsed = Ether(payload) if len(payload) >= 14 else Payload(payload)
    return f"    {header.hex()} {payload.hex()}\n      {parsed!r}"


def check_checksums(emitted: Emitted, where: str) -> None:
    for port, frame in emitted:
        payload = frame[PACKET_IN_OCTETS:] if port == CPU else frame
        wrong = wrong_checksums(payload)
        assert not wrong, (
            f"{where}: wrong checksum in a packet on port {port}: {wrong}\n{describe(port, frame)}"
        )
