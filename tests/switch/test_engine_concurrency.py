"""Tables change while packets look them up.

A packet sees an entry whole or not at all, and never misses one that stays.
"""

import ctypes
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from finsy.proto import p4r

from switch.build import build
from switch.engine import Engine, Entry, Exact, Lpm, Match, Rates, Ternary
from switch.ports import Ports
from switch.server.pipeline import Pipeline
from switch.server.write_message import WriteMessage
from tests.switch.client import PROGRAMS
from tests.switch.engines import Layout, load
from tests.switch.fuzz_writes import config

QUERY = Layout({"which": 8, "a": 32, "b": 16, "c": 8, "wide": 128, "result": 32, "path": 8})
METERED = Layout({"what": 8, "color": 8, "index": 32})

EXACT_ONE, EXACT_MANY, LPM_32, MASKED = 1, 2, 3, 5
HIT, AFTER = 1, 3
PACKET_METER = 1
GREEN, RED = 0, 2

ALL_128 = (1 << 128) - 1
ONES_128 = ALL_128 // 0xFF  # 1 in each byte
CHANGES = 4000


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return ctypes.CDLL(str(build("hammer", [Path(__file__).parent / "hammer.c"])))


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = load("tables")
    yield engine
    engine.close()


class Hammer:
    """Packets through the engine in a thread of its own, for the length of a `with`."""

    def __init__(self, library: Any, engine: Engine, packet: bytes, allowed: Sequence[bytes]) -> None:
        self.sent = 0
        self.good = ctypes.c_uint64()
        self._stop = ctypes.c_int(0)
        library.hammer.restype = ctypes.c_uint64
        library.hammer.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_char_p] * 2 + [ctypes.c_uint] * 2
        library.hammer.argtypes += [ctypes.c_void_p] * 2
        addresses = (engine.process_address, engine.quiesce_address, engine.state)
        places = (ctypes.addressof(self._stop), ctypes.addressof(self.good))

        def run() -> None:
            answers = b"".join(allowed)
            self.sent = library.hammer(*addresses, packet, answers, len(allowed), len(packet), *places)

        self._thread = threading.Thread(target=run)

    def __enter__(self) -> "Hammer":
        self._thread.start()
        while self.good.value == 0 and self._thread.is_alive():
            pass
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.value = 1
        self._thread.join()


def test_an_entry_is_whole(library: ctypes.CDLL, engine: Engine) -> None:
    """Its parameters are alike, and the program xors them; a mixture of two entries would not come to 0."""
    table = "MyIngress.exact_many"
    key = (Exact(1), Exact(ALL_128), Exact(0), Exact(0), Exact(1))
    question = {"which": EXACT_MANY, "a": 1, "wide": ALL_128, "path": AFTER}

    def entry(value: int) -> Entry:
        return Entry(key, 0, "MyIngress.give_alike", (*[value * ONES_128] * 8, value))

    values = range(1, 9)
    allowed = [QUERY.pack(**question | {"wide": 0, "result": value}) for value in values]
    allowed.append(QUERY.pack(**question | {"result": 0xDEFA}))  # while it is deleted
    engine.insert(table, entry(1))
    with Hammer(library, engine, QUERY.pack(**question), allowed) as hammer:
        for change in range(CHANGES):
            if change % 10 == 9:
                engine.delete(table, key)
                engine.insert(table, entry(1))
            else:
                engine.modify(table, entry(values[change % len(values)]))
    assert hammer.good.value == hammer.sent > 0


STAYS = 0x0A0B0C0D


@pytest.mark.parametrize(
    ("which", "name", "action", "stays", "others"),
    [
        (
            EXACT_ONE,
            "MyIngress.exact_one",
            "MyIngress.counted",
            ((Exact(STAYS),), 0),
            [((Exact(i * 0x9E3779B1 % (1 << 32)),), 0) for i in range(1, 2000)],
        ),
        (
            LPM_32,
            "MyIngress.lpm_32",
            "MyIngress.give",
            ((Lpm(STAYS, 32),), 0),
            [((Lpm(STAYS >> s << s, 32 - s),), 0) for s in range(1, 33)]
            + [((Lpm(i << 16, 16),), 0) for i in range(0x0B00, 0x0B40)],
        ),
        (
            MASKED,
            "MyIngress.masked",
            "MyIngress.counted_ternary",
            ((Ternary(STAYS, 0xFFFFFFFF), Ternary(0, 0), Ternary(0, 0)), 1000),
            [((Ternary(0, 0), Ternary(0, 0), Ternary(0, 0)), i) for i in range(1, 100)]
            + [((Ternary(i, 0xFF), Ternary(0, 0), Ternary(0, 0)), 2000) for i in range(0x0D)],
        ),
    ],
    ids=["exact", "lpm", "ternary"],
)
def test_an_entry_that_stays_is_always_found(
    library: ctypes.CDLL,
    engine: Engine,
    which: int,
    name: str,
    action: str,
    stays: tuple[tuple[Match, ...], int],
    others: list[tuple[tuple[Match, ...], int]],
) -> None:
    """While indices grow and shrink, prefix lengths come and go, and arrays are replaced around it."""
    question = {"which": which, "a": STAYS}
    found = QUERY.pack(**question, result=5, path=HIT if which == EXACT_ONE else 0)
    engine.insert(name, Entry(*stays, action, (5,)))
    with Hammer(library, engine, QUERY.pack(**question), [found]) as hammer:
        for _ in range(3):
            for match, priority in others:
                engine.insert(name, Entry(match, priority, action, (6,)))
            for match, priority in others:
                engine.delete(name, match, priority)
    assert hammer.good.value == hammer.sent > 0
    if which == EXACT_ONE:
        packets, octets = engine.direct_counter_read(name, stays[0])
        assert (packets, octets) == (hammer.sent, hammer.sent * QUERY.length)


def test_one_entry_makes_way_for_another(library: ctypes.CDLL) -> None:
    """The new one comes before the old one goes, so that a packet meets one of them at least: also when both
    changes, which C makes one right after the other, come while its lookup is between the places of the two.
    """
    pipeline = Pipeline.load(config(PROGRAMS / "tables"), Engine.load, Ports(any_number=True))
    name, anything = "MyIngress.masked", Ternary(0, 0)
    codec = next(state.codec for state in pipeline.tables.values() if state.codec.name == name)

    def entry(value: int, mask: int, priority: int) -> Entry:
        match = (Ternary(value, mask), anything, anything)
        return Entry(match, priority, "MyIngress.counted_ternary", (5,))

    def update(kind: "p4r.Update.Type.ValueType", entry: Entry) -> p4r.Update:
        return p4r.Update(type=kind, entity=p4r.Entity(table_entry=codec.encode_entry(entry)))

    for number in range(400):  # many masks in between; none has one entry alone, which would be a short cut
        mask = 0x80000001 + 2 * number
        pipeline.engine.insert(name, entry(mask, mask, 2))
        pipeline.engine.insert(name, entry(0x80000000, mask, 2))
    pipeline.engine.insert(name, entry(1, 0xFFFFFFFF, 3))
    pipeline.engine.insert(name, entry(1, 0x7FFFFFFF, 1))
    first, last = entry(STAYS, 0xFFFFFFFF, 3), entry(STAYS, 0x7FFFFFFF, 1)
    pipeline.engine.insert(name, first)
    updates = [
        update(kind, one)
        for new, old in ((last, first), (first, last))
        for kind, one in ((p4r.Update.INSERT, new), (p4r.Update.DELETE, old))
    ]
    message = WriteMessage.parse(p4r.WriteRequest(updates=updates * 500).SerializeToString())
    question = {"which": MASKED, "a": STAYS}
    found = QUERY.pack(**question, result=5)
    with Hammer(library, pipeline.engine, QUERY.pack(**question), [found]) as hammer:
        for _ in range(CHANGES // 80):
            assert pipeline.writes.apply(message, 0) == message.count
    assert hammer.good.value == hammer.sent > 0
    pipeline.retire()


def test_rates_are_whole(library: ctypes.CDLL) -> None:
    """Of rates without limit and of none, half of each would make a packet yellow."""
    engine = load("meters")
    limit = (1 << 63) - 1
    question = {"what": PACKET_METER}
    allowed = [METERED.pack(**question, color=color) for color in (GREEN, RED)]
    with Hammer(library, engine, METERED.pack(**question), allowed) as hammer:
        for change in range(CHANGES):
            rates = (limit if change % 2 else 0,) * 4
            engine.meters["MyIngress.packets"].write(0, Rates(*rates))
            if change % 10 == 9:
                engine.meters["MyIngress.packets"].reset(0)
    assert hammer.good.value == hammer.sent > 0
    engine.close()
