"""Packets traced in a running switch.

    with closing(engine.live_trace(TraceFilter.parse("dst=10.0.0.100 dport=80"))) as live:
        worker.run(live)  # instead of the engine
        ...
        for traced in live.take():
            print(traced)
        worker.run(engine)

Packets go through the engine's own state, those that the filter chooses through the traced build
(runtime/tracer.c). Without a live trace the packet thread runs the ordinary build, which knows nothing of it.
"""

import ctypes
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from switch.clock import wall_clock
from switch.library import function_address
from switch.trace import MAX_WORDS, Event, event_text
from switch.trace_filter import Pattern, TraceFilter

HEADER = struct.Struct("=QII")
KEPT_BYTES = 256
"""As in runtime/tracer.h."""
WORD_BYTES = 8
RECORD_BYTES = HEADER.size + KEPT_BYTES + WORD_BYTES * MAX_WORDS

AT_ONCE = 64
"""Packets whose events are named together, while changes of tables wait."""


@dataclass(frozen=True, slots=True)
class Traced:
    """One packet and what it did. packet: its beginning. length: of all of it. time: of its arrival."""

    time: datetime
    port: int
    length: int
    packet: bytes
    events: Sequence[Event]

    def as_json(self) -> dict[str, Any]:
        return {
            "time": self.time.isoformat(timespec="microseconds"),
            "port": self.port,
            "length": self.length,
            "packet": self.packet.hex(),
            "events": [event.as_json() for event in self.events],
        }

    def __str__(self) -> str:
        return packet_text(self.as_json())


def packet_text(traced: Mapping[str, Any]) -> str:
    """For people, of a packet's document: a line for it, and an indented one for each of its events."""
    when = datetime.fromisoformat(traced["time"]).astimezone().strftime("%H:%M:%S.%f")
    lines = [f"{when} port {traced['port']}, {traced['length']} bytes"]
    return "\n".join([*lines, *(f"  {event_text(event)}" for event in traced["events"])])


class LiveTrace:
    """A program (as switch.worker has it) in the place of an engine's. Made by `Engine.live_trace`.

    process: takes a packet through this C function with this state. name: gives packets' events their names.
    """

    def __init__(
        self,
        library: Any,
        state: int,
        chosen: TraceFilter,
        process: Callable[[Any, int, int, bytes], list[tuple[int, bytes]]],
        name: Callable[[Sequence[Sequence[int]]], list[list[Event]]],
    ) -> None:
        self._library = library
        self._process = process
        self._name = name
        patterns = chosen.patterns()
        array = (Pattern * len(patterns))(*patterns)
        tracer = library.tracer_create(state, array, len(patterns), chosen.every)
        if not tracer:
            raise MemoryError("no memory for tracing")
        self.state: int = tracer
        self.process_address = function_address(library.tracer_process)
        self.quiesce_address = function_address(library.tracer_quiesce)
        self._record = ctypes.create_string_buffer(RECORD_BYTES)

    def process(self, port: int, packet: bytes) -> list[tuple[int, bytes]]:
        """As Engine.process, for whoever has no packet thread."""
        return self._process(self._library.tracer_process, self.state, port, packet)

    def close(self) -> None:
        """No packets may go through it any more."""
        self._library.tracer_destroy(self.state)
        self.state = 0

    @property
    def missed(self) -> int:
        """Packets that were chosen but not told, because nobody took those before them."""
        return self._library.tracer_missed(self.state)

    def take(self) -> list[Traced]:
        """What was traced since, in order; at most AT_ONCE packets. One thread at a time.

        An entry that was changed or deleted after its packet is not named in the packet's events.
        """
        records = list(self._records())
        words = [struct.unpack(f"={len(tail) // WORD_BYTES}Q", tail) for _, tail in records]
        return [
            Traced(wall_clock(now), port, length, head[HEADER.size :][:length], events)
            for (head, _), events in zip(records, self._name(words), strict=True)
            for now, port, length in [HEADER.unpack_from(head)]
        ]

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        """(header and packet, events) of each."""
        for _ in range(AT_ONCE):
            size = self._library.tracer_take(self.state, self._record, RECORD_BYTES)
            if size < 0:
                return
            raw = ctypes.string_at(self._record, size)
            yield raw[: HEADER.size + KEPT_BYTES], raw[HEADER.size + KEPT_BYTES :]
