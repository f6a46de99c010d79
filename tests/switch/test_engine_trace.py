"""The trace of a packet: what happened, in order, with names, and the same packets out as without it."""

from collections.abc import Iterator

import pytest

from switch.engine import Engine, Entry, Event, Exact, Lpm, Range, Ternary
from tests.switch.engines import load
from tests.switch.test_engine_replication import CLONE_INGRESS, IN, ORDER, PAYLOAD, RECIRCULATE


def query(which: int, a: int, b: int = 0) -> bytes:
    return bytes([which]) + a.to_bytes(4, "big") + b.to_bytes(2, "big") + bytes(1 + 16 + 4 + 1)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = load("tables")
    yield engine
    engine.close()


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.kind, event.name) for event in events]


def only(events: list[Event], kind: str) -> Event:
    (found,) = (event for event in events if event.kind == kind)
    return found


def test_a_hit(engine: Engine) -> None:
    entry = Entry((Lpm(0x0A000000, 8),), 0, "MyIngress.give", (7,))
    engine.insert("MyIngress.lpm_32", entry)
    sent, events = engine.trace(4, query(3, 0x0A010203))
    assert sent == engine.process(4, query(3, 0x0A010203))
    assert [told_ for told_ in told(events) if told_[0] not in ("condition", "action")] == [
        ("packet", ""),
        ("state", "start"),
        ("extract", "query"),
        ("table", "MyIngress.lpm_32"),
        ("egress", ""),
        ("emit", ""),
    ]
    table = only(events, "table")
    assert table.entry == entry
    assert table.values == {"hit": True, "hdr.query.a": 0x0A010203}
    assert table.source.startswith("tables.p4:")
    assert [e.values for e in events if e.kind == "action" and e.name == "MyIngress.give"] == [{"result": 7}]
    assert only(events, "packet").values == {"type": "normal", "port": 4, "length": 29}
    assert only(events, "emit").values == {"port": 4, "length": 29}


def test_a_miss(engine: Engine) -> None:
    _, events = engine.trace(4, query(1, 5))
    table = only(events, "table")
    assert (table.name, table.entry) == ("MyIngress.exact_one", None)
    assert table.values == {"hit": False, "hdr.query.a": 5}
    assert ("action", "NoAction") in told(events)


def test_conditions_tell_their_value_and_their_line(engine: Engine) -> None:
    _, events = engine.trace(4, query(2, 0))
    conditions = [(e.name, e.values) for e in events if e.kind == "condition"]
    assert conditions == [
        ("hdr.query.which == 1", {"value": False}),
        ("hdr.query.which == 2", {"value": True}),
    ]
    assert all(e.source.startswith("tables.p4:") for e in events if e.kind == "condition")


def test_every_kind_of_key(engine: Engine) -> None:
    entry = Entry((Lpm(0, 0), Range(5, 9), Exact(0), Ternary(0, 0)), 3, "MyIngress.give", (1,))
    engine.insert("MyIngress.mixed", entry)
    _, events = engine.trace(4, query(6, 0x01020304, 7))
    table = only(events, "table")
    assert table.entry == entry
    assert dict(table.values) == {
        "hit": True,
        "hdr.query.a": 0x01020304,
        "hdr.query.b": 7,
        "hdr.query.c": 0,
        "hdr.query.wide": 0,
    }


def test_a_parser_error(engine: Engine) -> None:
    _, events = engine.trace(4, b"\x01")
    assert only(events, "error").name == "PacketTooShort"


def test_a_drop_has_its_reason(engine: Engine) -> None:
    engine.set_default("MyIngress.exact_many", "MyIngress.deny", ())
    sent, events = engine.trace(4, query(2, 1))
    assert sent == []
    assert only(events, "drop").name == "dropped by the program in ingress"


def test_an_event_reads_as_a_line(engine: Engine) -> None:
    _, events = engine.trace(4, query(1, 5))
    line = str(only(events, "table"))
    assert line.startswith("table      MyIngress.exact_one hit=False, hdr.query.a=0x5  (tables.p4:")


def test_passes_and_copies() -> None:
    engine = load("replication")
    engine.clone_sessions.set(5, [(8, 1), (9, 2)])
    sent, events = engine.trace(IN, ORDER.pack(what=CLONE_INGRESS, argument=5) + PAYLOAD)
    assert len(sent) == 3
    kinds = [e.kind for e in events if e.kind in ("packet", "clone", "egress", "emit")]
    assert kinds == ["packet", "clone", *["egress", "emit"] * 3]
    assert only(events, "clone").values == {"session": 5}
    assert [e.values["port"] for e in events if e.kind == "emit"] == [port for port, _ in sent]
    _, events = engine.trace(IN, ORDER.pack(what=RECIRCULATE) + PAYLOAD)
    assert [e.values["type"] for e in events if e.kind == "packet"] == ["normal", "recirculated"]
    assert only(events, "again").name == "recirculated"
    engine.close()
