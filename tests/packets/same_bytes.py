"""The same entries and the same packets for two targets: whatever differs is an error."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.packets import traffic
from tests.packets.case import TRACE
from tests.packets.rows import Entry
from tests.packets.runner import Runner, by_port, describe, without_ages
from tests.packets.targets import Emitted, Target

TRACED = 0.1  # of the frames
FIRST_PORT = 1024
PORTS_PER_ROUND = 16  # so that rounds, which time passes between, share no flow
LAST_PORT = 29000  # ports above are the packet table's


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame comes in at a port; or the controller sends one out with an order, for that port."""

    port: int
    frame: bytes
    order: int | None = None

    def bring(self, target: Target) -> Emitted:
        if self.order is None:
            return target.send(self.port, [self.frame], 0.0)
        return target.packet_out(self.order, self.port, self.frame, 0.0)


def sent_at_random(rng: random.Random, seed: int) -> Iterator[Arrival]:
    """Endless packets, some of which are only traced."""
    first_port = FIRST_PORT + seed * PORTS_PER_ROUND % (LAST_PORT - FIRST_PORT)
    for port, frame in traffic.frames(rng, first_port):
        yield Arrival(port, frame, TRACE if rng.random() < TRACED else None)


def compare(
    one: Runner, other: Runner, what: str, entries: Sequence[Entry], packets: Iterable[Arrival]
) -> None:
    """Raises AssertionError with the first packet that the two treat otherwise. what: the case, for that."""
    for runner in (one, other):
        runner.tables.become(entries)
        runner.target.begin()
    before = one.fates(), other.fates()

    for number, packet in enumerate(packets):
        sent = [by_port(without_ages(packet.bring(runner.target))) for runner in (one, other)]
        how = "come into" if packet.order is None else f"with order {packet.order} for"
        assert sent[0] == sent[1], "\n".join(
            [f"{what}, packet {number}, {how} port {packet.port}", describe(packet.port, packet.frame)]
            + [
                f"  {runner.target.name}, out of port {out}:\n{describe(out, bytes_out)}"
                for runner, emitted in zip((one, other), sent, strict=True)
                for out, all_out in sorted(emitted.items())
                for bytes_out in all_out
            ]
        )

    counted = [
        {reason: after[reason] - start[reason] for reason in after}
        for after, start in zip((one.fates(), other.fates()), before, strict=True)
    ]
    assert counted[0] == counted[1], f"{what}: drops, replies and punts"
