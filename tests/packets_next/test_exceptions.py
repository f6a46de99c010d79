"""Flows of a moving bucket, with an exception table of four places a way: full, scrubbed, a backend gone."""

import shutil
import time
from collections.abc import Iterator

import pytest
from bmv2 import Bmv2
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scene import NAT, V4, V6, Family, backend, balanced, bucket, checked, network

from p4src import build

SLOTS = 4
TCP_ROOM = 3 * SLOTS
BEGIN = 1


@pytest.fixture(scope="module")
def tiny(switch_type: type[Bmv2], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bmv2]:
    compiler = shutil.which(build.COMPILER)
    if compiler is None:
        pytest.skip(f"{build.COMPILER} is not on PATH: no program with a tiny exception table can be built")
    folder = tmp_path_factory.mktemp("tiny")
    build.compile_to(folder, compiler, (f"EXCEPTION_SLOTS={SLOTS}", "FRAGMENT_SLOTS=1"))
    with switch_type(folder / build.PROGRAM, folder / build.P4INFO) as switch:
        yield switch


@pytest.fixture
def small(tiny: Bmv2) -> Iterator[Bmv2]:
    tiny.insert(*network(), *balanced(NAT, V4), *[r for r in balanced(NAT, V6) if r.table == "vips"])
    yield tiny
    tiny.clear()


def owners(switch: Bmv2, sports: range, flags: str, family: Family = V4) -> list[str]:
    out = switch.send(1, *[family.to_vip() / TCP(sport=s, dport=80, flags=flags) for s in sports])
    assert len(out) == len(sports)
    return [checked(frame).payload.dst for _, frame in out]


def scrub(switch: Bmv2, ticks: int) -> None:
    """Rounds over every place, after which what was silent for longer than `ticks` is gone."""
    switch.set_default("liveness_settings", "settings", tolerance=3, gap=0, longest_idle=ticks)
    for _ in range(SLOTS):
        switch.packet_out(order=BEGIN, port=1)
    switch.collect()


def test_a_full_table_breaks_nothing(small: Bmv2) -> None:
    first, second = V4.backends
    small.modify(bucket(1, 2, 1, motion=3))
    unmoved, decided = small.counter("moving_unmoved", 3), small.counter("moving_previous", 3)
    flows = range(1000, 1040)
    opened = owners(small, flows, "S")
    moved = opened.count(second)
    assert SLOTS <= moved <= TCP_ROOM and opened.count(first) == len(flows) - moved
    assert small.counter("moving_unmoved", 3) == unmoved + len(flows) - moved
    assert small.counter("moving_previous", 3) == decided + len(flows) - moved
    assert owners(small, flows, "A") == opened
    assert owners(small, flows, "PA") == opened


def test_scrubbing_frees_what_is_void(small: Bmv2) -> None:
    first, second = V4.backends
    small.modify(bucket(1, 2, 1))
    flows = range(2000, 2003)
    scrub(small, 0)
    time.sleep(0.6)
    scrub(small, 0)
    assert owners(small, flows, "S") == [second] * 3
    assert owners(small, flows, "A") == [second] * 3
    scrub(small, 8192)
    assert owners(small, flows, "A") == [second] * 3  # alive
    time.sleep(0.6)
    scrub(small, 0)
    assert owners(small, flows, "A") == [first] * 3  # void: forgotten


def test_a_flow_whose_backend_is_gone_is_decided_afresh(small: Bmv2) -> None:
    small.modify(bucket(1, 2, 1))
    time.sleep(0.6)
    scrub(small, 0)
    flows = range(3000, 3003)
    assert owners(small, flows, "S") == [V4.backends[1]] * 3
    small.modify(bucket(1, 1))
    small.delete(backend(2, V4.backends[1]))
    assert owners(small, flows, "A") == [V4.backends[0]] * 3
    small.insert(backend(2, V4.backends[1]))
    assert owners(small, flows, "A") == [V4.backends[0]] * 3  # erased, not only passed over


def test_an_icmp_error_confirms_no_flow(small: Bmv2) -> None:
    """Whoever knows the ports can send one."""

    small.modify(bucket(1, 2, 1))
    time.sleep(0.6)
    scrub(small, 0)
    assert owners(small, range(4000, 4001), "S") == [V4.backends[1]]
    quote = bytes(IP(src=V4.vip, dst=V4.client) / TCP(sport=80, dport=4000, flags="A"))
    ((_, frame),) = small.send(1, V4.to_vip() / ICMP(type=3, code=4, nexthopmtu=1200) / quote)
    assert checked(frame).payload.dst == V4.backends[1]
    small.packet_out(V4.to_vip() / TCP(sport=4000, dport=80, flags="A"), order=3, port=1)
    (told,) = small.punted()
    assert told.fields["known"] == 1 and told.fields["confirmed"] == 0


def test_datagrams_that_share_a_slot_are_told_apart(small: Bmv2) -> None:
    """The newer one has the slot; fragments of the older are dropped, not sent after the newer."""
    first, second = (
        V4.to_vip(flags="MF", id=i) / UDP(sport=1, dport=80, len=3000) / bytes(1000) for i in (1, 2)
    )
    later = [V4.to_vip(frag=126, id=i, proto=17) / bytes(1000) for i in (1, 2)]
    assert len(small.send(1, first, later[0])) == 2
    dropped = small.reasons("drops")["fragment"]
    assert len(small.send(1, second, later[0], later[1])) == 2
    assert small.reasons("drops")["fragment"] == dropped + 1
