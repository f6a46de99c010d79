"""Copies and further passes.

Programs/replication.p4. Every packet that leaves carries what it saw in egress.
"""

from collections.abc import Iterator

import pytest

from switch.engine import BadEntry, Engine, NoSuchEntry
from tests.switch.engines import Layout, load

ORDER = Layout({"what": 8, "argument": 16})
REPORT = Layout(
    {
        "instance_type": 32,
        "rid": 16,
        "kept": 16,
        "lost": 16,
        "ingress_port": 16,
        "packet_length": 32,
        "timestamp": 48,
    }
)

NORMAL, INGRESS_CLONE, EGRESS_CLONE, RECIRCULATED, REPLICATED = 0, 1, 2, 4, 5

PLAIN, MULTICAST, RESUBMIT, RECIRCULATE, CLONE_INGRESS, CLONE_EGRESS, TRUNCATE, DIGEST = range(8)
DROP, UNDROP, RESUBMIT_FOREVER, RECIRCULATE_FOREVER, ASSERT, TRUNCATE_COPIES, DROP_IN_EGRESS = range(8, 15)
CLONE_FOREVER = 15

OUT = 9
IN = 3
NOW = 1_000_000
PAYLOAD = b"payload"
LENGTH = ORDER.length + len(PAYLOAD)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = load("replication")
    yield engine
    engine.close()


def send(engine: Engine, what: int, argument: int = 0) -> list[tuple[int, bytes]]:
    return engine.process(IN, ORDER.pack(what=what, argument=argument) + PAYLOAD, NOW)


def reports(sent: list[tuple[int, bytes]]) -> list[tuple[int, dict[str, int], dict[str, int]]]:
    """(port, report, order) of each; asserts that the payload is behind them."""
    found = []
    for port, packet in sent:
        order = ORDER.unpack(REPORT.rest(packet))
        assert ORDER.rest(REPORT.rest(packet)) == PAYLOAD
        found.append((port, REPORT.unpack(packet), order))
    return found


def seen(**values: int) -> dict[str, int]:
    """What a packet of the first pass reports, but for the given."""
    usual = {
        "instance_type": NORMAL,
        "rid": 0,
        "kept": 0,
        "lost": 0,
        "ingress_port": IN,
        "packet_length": LENGTH,
        "timestamp": NOW,
    }
    return usual | values


def dropped(engine: Engine) -> dict[str, int]:
    return {reason: count for reason, count in engine.drops.items() if count}


def test_one_packet(engine: Engine) -> None:
    ((port, report, order),) = reports(send(engine, PLAIN, 5))
    assert (port, report, order["argument"]) == (OUT, seen(), 5)


# Multicast.


def test_multicast(engine: Engine) -> None:
    engine.multicast_groups.set(7, [(1, 100), (2, 200), (1, 300), (IN, 400)])
    found = reports(send(engine, MULTICAST, 7))
    assert [port for port, _, _ in found] == [1, 2, 1, IN]
    assert [report for _, report, _ in found] == [
        seen(instance_type=REPLICATED, rid=rid) for rid in (100, 200, 300, 400)
    ]


def test_multicast_groups_change(engine: Engine) -> None:
    engine.multicast_groups.set(7, [(1, 0)])
    engine.multicast_groups.set(7, [(2, 0)])
    engine.multicast_groups.set(65535, [])
    assert engine.multicast_groups.all() == {7: ((2, 0),), 65535: ()}
    assert [port for port, _ in send(engine, MULTICAST, 7)] == [2]
    engine.multicast_groups.delete(7)
    assert send(engine, MULTICAST, 7) == []
    assert send(engine, MULTICAST, 65535) == []
    assert dropped(engine) == {"no such multicast group": 2}
    with pytest.raises(NoSuchEntry, match="group 7"):
        engine.multicast_groups.delete(7)
    with pytest.raises(BadEntry, match="between 1 and 65535"):
        engine.multicast_groups.set(0, [])


# Clones.


def test_clone_from_ingress(engine: Engine) -> None:
    """The copy has the original bytes and the field list's metadata; the rest of the metadata is gone."""
    engine.clone_sessions.set(5, [(4, 44)])
    clone, original = reports(send(engine, CLONE_INGRESS, 0xAAAA))
    assert original == (OUT, seen(kept=0x1234, lost=7), {"what": CLONE_INGRESS, "argument": 0})
    assert clone[0] == 4
    assert clone[1] == seen(instance_type=INGRESS_CLONE, rid=44, kept=0x1234, ingress_port=0, timestamp=0)
    assert clone[2]["argument"] == 0xAAAA


def test_clone_from_egress(engine: Engine) -> None:
    """The copy has what egress had made of the packet until its end."""
    engine.clone_sessions.set(5, [(4, 44), (5, 55)])
    found = reports(send(engine, CLONE_EGRESS, 0xAAAA))
    assert [port for port, _, _ in found] == [4, 5, OUT]
    assert found[2][1] == seen(kept=0x1234, lost=7)
    assert {order["argument"] for _, _, order in found} == {0xAAAB}
    for _, report, _ in found[:2]:
        assert (report["instance_type"], report["kept"], report["lost"]) == (EGRESS_CLONE, 0x1234, 0)


def test_a_session_that_is_not_there(engine: Engine) -> None:
    assert [port for port, _ in send(engine, CLONE_INGRESS)] == [OUT]
    assert dropped(engine) == {"no such clone session": 1}
    engine.clone_sessions.set(5, [(4, 0)])
    assert engine.clone_sessions.all() == {5: ((4, 0),)}
    engine.clone_sessions.delete(5)
    assert [port for port, _ in send(engine, CLONE_INGRESS)] == [OUT]
    with pytest.raises(NoSuchEntry, match="session 5"):
        engine.clone_sessions.delete(5)


# Further passes.


def test_resubmit(engine: Engine) -> None:
    """The original bytes again; of the metadata only the field list's, not even the ingress port."""
    ((port, report, order),) = reports(send(engine, RESUBMIT, 0xBEEF))
    assert port == OUT
    assert report == seen(kept=0xBEEF, ingress_port=0, timestamp=0)
    assert order["argument"] == 0xBEEF


def test_recirculate(engine: Engine) -> None:
    """The changed bytes again, as egress left them."""
    ((port, report, order),) = reports(send(engine, RECIRCULATE, 0x10))
    assert port == OUT
    assert report == seen(kept=0x10, lost=7, ingress_port=0, timestamp=0)
    assert order["argument"] == 0x11


@pytest.mark.parametrize("what", [RESUBMIT_FOREVER, RECIRCULATE_FOREVER])
def test_endless_passes_end(engine: Engine, what: int) -> None:
    assert send(engine, what) == []
    assert dropped(engine) == {"too many passes": 1}
    assert len(send(engine, PLAIN)) == 1


def test_endless_clones_end(engine: Engine) -> None:
    """Each copy asks for two more."""
    engine.clone_sessions.set(5, [(1, 0), (2, 0)])
    sent = send(engine, CLONE_FOREVER)
    assert sent[-1] == (OUT, ORDER.pack(what=CLONE_FOREVER) + PAYLOAD)
    assert 64 < len(sent) <= 1 + 2 * 1024
    assert dropped(engine)["too many passes"] > 0
    assert len(send(engine, PLAIN)) == 1


# Ends.


def test_drops(engine: Engine) -> None:
    assert send(engine, DROP) == []
    assert send(engine, DROP_IN_EGRESS) == []
    assert dropped(engine) == {
        "dropped by the program in ingress": 1,
        "dropped by the program in egress": 1,
    }


def test_a_drop_can_be_taken_back(engine: Engine) -> None:
    """And it undid the multicast that was asked for before it."""
    engine.multicast_groups.set(1, [(1, 0), (2, 0)])
    assert [port for port, _ in send(engine, UNDROP)] == [4]


def test_an_assertion_costs_the_packet_only(engine: Engine) -> None:
    assert send(engine, ASSERT, 0) == []
    assert dropped(engine) == {"assertion failed": 1}
    assert len(send(engine, ASSERT, 1)) == 1


def test_truncate(engine: Engine) -> None:
    whole = send(engine, TRUNCATE, 1000)[0][1]
    assert len(whole) == REPORT.length + LENGTH
    ((port, short),) = send(engine, TRUNCATE, 30)
    assert port == OUT
    assert len(short) == 30
    assert short[REPORT.length :] == whole[REPORT.length : 30].replace(b"\x03\xe8", b"\x00\x1e")


def test_copies_of_a_truncated_packet_keep_its_end(engine: Engine) -> None:
    """As BMv2 has it: a copy keeps the last bytes of the payload and is not cut again."""
    engine.multicast_groups.set(1, [(1, 0)])
    ((_, copy),) = send(engine, TRUNCATE_COPIES, 4)
    assert ORDER.rest(REPORT.rest(copy)) == PAYLOAD[-4:]


def test_a_packet_that_is_too_long(engine: Engine) -> None:
    assert engine.process(1, bytes(65537)) == []
    assert dropped(engine) == {"packet too long": 1}
    longest = ORDER.pack(what=PLAIN) + bytes(65536 - ORDER.length)
    ((_, sent),) = engine.process(1, longest)
    assert REPORT.rest(sent) == longest


# Digests.


def test_digests(engine: Engine) -> None:
    assert len(send(engine, DIGEST, 0x77)) == 1
    send(engine, DIGEST, 0x78)
    wide = 0x1_0000_0000_0000_0002
    assert engine.digests() == [("learned_t", (0x77, IN, wide)), ("learned_t", (0x78, IN, wide))]
    assert engine.digests() == []


def test_too_many_digests_are_counted(engine: Engine) -> None:
    for number in range(4100):
        send(engine, DIGEST, number)
    assert [values[0] for _, values in engine.digests()] == list(range(4096))
    assert dropped(engine) == {"digest queue full": 4}
    send(engine, DIGEST, 1)
    assert len(engine.digests()) == 1
