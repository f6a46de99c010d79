"""Random and mutated packets through a program, in a process of its own whose C is built with sanitizers.

    python -m tests.switch.fuzz_packets CONFIG SECONDS SEED

Tables hold random entries. Those of our own program are the packet table's and change as it runs, and the
packets that are mutated begin as the packet table's. Ends with an error when a sanitizer finds something: it
ends the process.
"""

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from switch.engine import Engine, Entry, EntryError, Exact, Lpm, Match, MatchKind, Range, Table, Ternary

ENTRIES = 40
"""For each table that can have some."""
LENGTHS = (0, 1, 14, 34, 54, 60, 64, 128, 600, 1500, 9000, 65536, 65537)
OURS = "sluice"
BETWEEN_CHANGES = 2000  # packets
KEPT = 64
"""Packets that came out, to be mutated."""


def random_match(choose: random.Random, table: Table) -> tuple[Match, ...]:
    found: list[Match] = []
    for key in table.keys:
        top = (1 << key.bits) - 1
        value = choose.choice([0, 1, top, choose.randint(0, top)])
        match key.kind:
            case MatchKind.EXACT:
                found.append(Exact(value))
            case MatchKind.LPM:
                length = choose.randint(0, key.bits)
                found.append(Lpm(value & top << (key.bits - length) & top, length))
            case MatchKind.TERNARY:
                mask = choose.choice([0, top, choose.randint(0, top)])
                found.append(Ternary(value & mask, mask))
            case MatchKind.RANGE:
                low, high = sorted((value, choose.choice([top, choose.randint(0, top)])))
                found.append(Range(low, high))
    return tuple(found)


def fill(engine: Engine, choose: random.Random) -> None:
    for name, table in engine.tables.items():
        if table.immutable or table.action_profile is not None or not table.keys:
            continue
        for _ in range(ENTRIES):
            action = choose.choice(list(table.actions))
            data = tuple(choose.getrandbits(parameter.bits) for parameter in table.actions[action])
            priority = choose.randint(1, 100) if table.has_priorities else 0
            try:
                engine.insert(name, Entry(random_match(choose, table), priority, action, data))
            except EntryError:
                continue  # there twice, or the table is full
    for number in range(1, 8):
        replicas = [(choose.randint(0, 511), rid) for rid in range(choose.randint(0, 3))]
        engine.multicast_groups.set(number, replicas)
        engine.clone_sessions.set(number, replicas)


def mutated(choose: random.Random, seeds: Sequence[bytes]) -> bytes:
    if not seeds or choose.random() < 0.3:
        return choose.randbytes(choose.choice(LENGTHS))
    packet = bytearray(choose.choice(seeds))
    for _ in range(choose.randint(1, 6)):
        kind = choose.randrange(4)
        at = choose.randint(0, len(packet))
        if kind == 0 and at < len(packet):
            packet[at] ^= 1 << choose.randrange(8)
        elif kind == 1:
            del packet[at:]
        elif kind == 2:
            packet[at:at] = choose.randbytes(choose.randint(1, 40))
        else:
            del packet[at : at + choose.randint(1, 8)]
    return bytes(packet)


class Stranger:
    """A program of which nothing but its tables is known."""

    def __init__(self, config: bytes, choose: random.Random) -> None:
        self.engine = Engine.load(config)
        self.seeds: list[bytes] = []
        fill(self.engine, choose)

    def change(self) -> None:
        """Its tables stay."""

    def close(self) -> None:
        self.engine.close()


class Ours:
    """Our own program: tables and packets of the packet table, and not quite."""

    def __init__(self, config: bytes, choose: random.Random) -> None:
        # Here, since it takes seconds, under sanitizers, that the other programs do not need.
        from tests.packets import random_cases
        from tests.packets.p4runtime import Names
        from tests.packets.runner import Tables
        from tests.packets.targets import InProcess

        self._names = Names.load()
        self._choose = choose
        self._target = InProcess(self._names, config, real_time=False)
        self._tables = Tables(self._target)
        self._case = random_cases.entries_and_packets
        self.engine = self._target.engine
        self.seeds: list[bytes] = []
        self.change()

    def change(self) -> None:
        entries, packets = self._case(self._choose.getrandbits(31), self._names, KEPT // 2)
        self._tables.become(entries)
        self.seeds += [packet.frame for packet in packets]

    def close(self) -> None:
        self._target.close()


def main() -> None:
    config, seconds, seed = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    choose = random.Random(seed)
    subject = (Ours if config.stem == OURS else Stranger)(config.read_bytes(), choose)
    engine, seeds = subject.engine, subject.seeds
    end, now, packets = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        if packets % BETWEEN_CHANGES == BETWEEN_CHANGES - 1:
            subject.change()
        now += choose.randint(0, 1000)
        packet = mutated(choose, seeds)
        sent = engine.process(choose.choice([0, 1, 2, 3, 4, 255, 510]), packet, now)
        seeds += [packet] + [octets for _, octets in sent]
        choose.shuffle(seeds)
        del seeds[KEPT:]
        packets += 1
    print(f"{config.name}: {packets} packets, {sum(engine.drops.values())} drops")
    subject.close()


if __name__ == "__main__":
    main()
