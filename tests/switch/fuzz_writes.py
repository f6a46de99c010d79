"""WriteRequests, right and broken at random, through C and through Python: with the same results.

    python -m tests.switch.fuzz_writes SECONDS SEED [PROGRAM]...

does so for that long, in a process whose C is built with sanitizers if the environment says so. Ends with an
error when the two differ, or a sanitizer finds something.
"""

import random
import sys
import time
from pathlib import Path

from finsy.proto import p4i, p4r
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from switch.engine import Engine, Entry
from switch.ports import Ports
from switch.server import write
from switch.server.batch import Outcome, each, each_written
from switch.server.pipeline import Pipeline
from switch.server.tables import TableCodec
from switch.server.write_message import WriteMessage
from tests.switch.client import PROGRAMS
from tests.switch.fuzz_packets import random_match

OURS = Path(__file__).resolve().parents[2] / "p4src" / "compiled"
CONFIGS = (*(PROGRAMS / name for name in ("tables", "service", "wide")), OURS / "sluice")
KINDS = (p4r.Update.INSERT, p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE)
ROUNDS = 20
"""Requests between two looks at all tables."""
ENOUGH = 30
"""Entries of a table."""


def config(stem: Path) -> p4r.ForwardingPipelineConfig:
    return p4r.ForwardingPipelineConfig(
        p4info=text_format.Parse(stem.with_suffix(".p4info.txtpb").read_text(), p4i.P4Info()),
        p4_device_config=stem.with_suffix(".json").read_bytes(),
    )


class Twins:
    """Two switches with one program, of which one is written to without C."""

    def __init__(self, stem: Path, seed: int) -> None:
        self._random = random.Random(seed)
        ports = Ports(any_number=True)
        self.native, self.plain = (Pipeline.load(config(stem), Engine.load, ports) for _ in range(2))
        self.done_in_c = 0
        self._count_what_c_does()
        self._states = [state for state in self.native.tables.values() if state.codec.info.fields]
        self._kept: list[p4r.Update] = []

    def _count_what_c_does(self) -> None:
        apply = self.native.writes.apply

        def counted(message: WriteMessage, first: int) -> int:
            reached = apply(message, first)
            self.done_in_c += reached - first
            return reached

        self.native.writes.apply = counted

    def close(self) -> None:
        self.native.retire()
        self.plain.retire()

    def round(self) -> None:
        """Some requests; raises AssertionError when they were not treated alike."""
        for _ in range(ROUNDS):
            octets = self._request()
            assert self._through_c(octets) == self._through_python(octets), octets.hex()
        for state in self._states:
            name = state.codec.name
            entries = self.native.engine.entries(name)
            assert entries == self.plain.engine.entries(name), name
            assert state.annotations == self.plain.tables[state.codec.info.id].annotations, name
            if len(entries) > ENOUGH or state.annotations:
                self._empty(state.codec, entries)

    def _empty(self, codec: TableCodec, entries: list[Entry]) -> None:
        """So that there is room again, and C writes the table again."""
        keys = [codec.encode_key(entry.match, entry.priority) for entry in entries]
        updates = [p4r.Update(type=p4r.Update.DELETE, entity=p4r.Entity(table_entry=key)) for key in keys]
        for pipeline in (self.native, self.plain):
            each(updates, lambda update, pipeline=pipeline: write.apply(pipeline, update))

    def _through_c(self, octets: bytes) -> object:
        try:
            message = WriteMessage.parse(octets)
        except DecodeError:
            return DecodeError
        whole = p4r.WriteRequest.FromString(message.request.SerializeToString())
        whole.updates.extend(message.updates())
        return whole, _said(each_written(self.native, message))

    def _through_python(self, octets: bytes) -> object:
        try:
            request = p4r.WriteRequest.FromString(octets)
        except DecodeError:
            return DecodeError
        return request, _said(each(request.updates, lambda update: write.apply(self.plain, update)))

    # ---- requests

    def _request(self) -> bytes:
        request = p4r.WriteRequest(device_id=1, election_id=p4r.Uint128(low=1))
        request.updates.extend(self._update() for _ in range(self._random.randint(0, 6)))
        octets = request.SerializeToString()
        while self._random.random() < 0.25:
            octets = self._broken(octets)
        return octets

    def _update(self) -> p4r.Update:
        if self._kept and self._random.random() < 0.5:
            update = p4r.Update(entity=self._random.choice(self._kept).entity)
        else:
            update = p4r.Update(entity=p4r.Entity(table_entry=self._entry()))
            self._kept = [*self._kept[-50:], update]
        update.type = self._random.choice(KINDS)
        return update

    def _entry(self) -> p4r.TableEntry:
        choose = self._random
        state = choose.choice(self._states)
        table = self.native.engine.tables[state.codec.name]
        action = choose.choice(list(table.actions))
        data = tuple(choose.getrandbits(parameter.bits) for parameter in table.actions[action])
        priority = choose.randint(1, 3) if table.has_priorities else 0
        message = state.codec.encode_entry(Entry(random_match(choose, table), priority, action, data))
        if choose.random() < 0.01:
            message.controller_metadata = choose.randint(0, 2)
        if choose.random() < 0.1 and len(message.match) > 1:
            message.match.reverse()
        if choose.random() < 0.1:
            for field in message.match:
                field.exact.value = b"\0" * choose.randint(0, 3) + field.exact.value
        return message

    def _broken(self, octets: bytes) -> bytes:
        choose = self._random
        broken = bytearray(octets)
        at = choose.randrange(len(broken) + 1)
        match choose.randrange(5):
            case 0 if at < len(broken):
                broken[at] ^= 1 << choose.randrange(8)
            case 1:
                del broken[at : at + choose.randint(1, 4)]
            case 2:
                broken[at:at] = choose.randbytes(choose.randint(1, 4))
            case 3:
                del broken[at:]
            case _ if at < len(broken) and broken[at] < 0x80:  # a number that is longer than it need be
                broken[at : at + 1] = bytes((broken[at] | 0x80, *[0x80] * choose.randint(0, 9), 0))
        return bytes(broken)


def _said(outcome: Outcome) -> list[tuple[int, str] | None]:
    return [None if error is None else (error.code, error.message) for error in outcome]


def main() -> None:
    seconds, seed, *programs = float(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    chosen = [stem for stem in CONFIGS if stem.name in programs or not programs]
    for stem in chosen:
        twins = Twins(stem, seed)
        end, rounds = time.monotonic() + seconds / len(chosen), 0
        while time.monotonic() < end or not rounds:
            twins.round()
            rounds += 1
        print(f"{stem.name}: {rounds * ROUNDS} requests, {twins.done_in_c} updates done in C")
        twins.close()


if __name__ == "__main__":
    main()
