"""What the failover benchmark makes of a capture, on captures that are known."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from bench.contenders import PORTS, syns
from bench.death import Death, Kind, Seen, death, kind_of, percentile

CLIENT, SERVER, PROBER, PORT = "10.0.0.11", "10.0.1.11", "10.0.1.1", 8080
TO_SERVER = IP(src=CLIENT, dst=SERVER)
TO_CLIENT = IP(src=SERVER, dst=CLIENT)


@pytest.mark.parametrize(
    ("packet", "kind"),
    [
        pytest.param(TO_SERVER / TCP(dport=PORT, flags="S"), Kind.CONNECTION, id="syn"),
        pytest.param(TO_SERVER / TCP(dport=PORT, flags="SEC"), Kind.CONNECTION, id="syn that offers ECN"),
        pytest.param(TO_CLIENT / TCP(sport=PORT, flags="SA"), Kind.ANSWER, id="syn-ack"),
        pytest.param(TO_CLIENT / TCP(sport=PORT, flags="RA"), None, id="refusal of a dead server"),
        pytest.param(TO_SERVER / TCP(dport=PORT, flags="R"), None, id="the client's reset"),
        pytest.param(TO_SERVER / TCP(dport=PORT, flags="A"), None, id="packet of a connection"),
        pytest.param(TO_SERVER / TCP(dport=PORT + 1, flags="S"), None, id="check on another port"),
        pytest.param(TO_CLIENT / TCP(sport=PORT + 1, flags="SA"), None, id="answer to such a check"),
        pytest.param(IP(src=PROBER, dst=SERVER) / TCP(dport=PORT, flags="S"), None, id="probe of the switch"),
        pytest.param(IP(src=SERVER, dst=PROBER) / TCP(sport=PORT, flags="SA"), None, id="answer to a probe"),
        pytest.param(TO_SERVER / UDP(dport=PORT), None, id="udp"),
        pytest.param(TO_SERVER / ICMP(), None, id="ping"),
        pytest.param(IPv6() / TCP(dport=PORT, flags="S"), None, id="ipv6"),
        pytest.param(ARP(psrc=CLIENT), None, id="arp"),
    ],
)
def test_only_handshakes_with_clients_count(packet: Packet, kind: Kind | None) -> None:
    assert kind_of(bytes(Ether() / packet), PORT, CLIENT) is kind


def test_ip_options_do_not_hide_the_ports() -> None:
    packet = IP(src=CLIENT, dst=SERVER, options=b"\x01" * 8) / TCP(dport=PORT, flags="S")
    assert kind_of(bytes(Ether() / packet), PORT, CLIENT) is Kind.CONNECTION


@pytest.mark.parametrize("length", [0, 13, 33, 46])
def test_what_is_cut_off_is_nothing(length: int) -> None:
    frame = bytes(Ether() / TO_SERVER / TCP(dport=PORT, flags="S"))
    assert kind_of(frame[:length], PORT, CLIENT) is None


def test_a_tagged_frame_is_nothing() -> None:
    frame = bytes(Ether() / Dot1Q(vlan=5) / TO_SERVER / TCP(dport=PORT, flags="S"))
    assert kind_of(frame, PORT, CLIENT) is None


def capture(connections: list[float], answers: list[float]) -> list[Seen]:
    return [Seen(moment, Kind.CONNECTION) for moment in connections] + [
        Seen(moment, Kind.ANSWER) for moment in answers
    ]


def test_a_death_lasts_from_the_last_answer_to_the_last_new_connection() -> None:
    seen = capture([1.0, 1.5, 2.0, 2.25, 2.5, 3.0], answers=[1.125, 1.625, 2.125])
    assert death(seen) == Death(seconds=3.0 - 2.125, lost=3, load=2.0)


def test_the_order_of_the_capture_does_not_matter() -> None:
    seen = capture([1.0, 1.5, 2.0, 2.25, 2.5], answers=[1.125, 1.625, 2.125])
    assert death(seen[::-1]) == death(seen)


def test_nobody_sent_to_the_dead_is_no_time() -> None:
    assert death(capture([1.0, 2.0], answers=[1.5, 2.5])) == Death(seconds=0.0, lost=0, load=1.0)


def test_a_server_that_never_answered_cannot_die() -> None:
    with pytest.raises(ValueError, match="never answered"):
        death(capture([1.0, 2.0], answers=[]))


def test_without_connections_there_was_no_load() -> None:
    with pytest.raises(ValueError, match="too few"):
        death(capture([1.0, 3.0], answers=[2.0]))


@pytest.mark.parametrize(
    ("percent", "value"),
    [(0, 1.0), (1, 1.0), (2, 1.0), (2.1, 2.0), (50, 25.0), (90, 45.0), (99, 50.0), (100, 50.0)],
)
def test_a_percentile_is_a_value_that_occurred(percent: float, value: float) -> None:
    assert percentile([float(n) for n in range(50, 0, -1)], percent) == value


def test_of_one_value_every_percentile_is_that() -> None:
    assert {percentile([7.0], percent) for percent in (0, 50, 99, 100)} == {7.0}


def test_every_syn_of_the_load_is_another_flow_with_a_right_checksum() -> None:
    frames = syns()
    assert len({frame[34:36] for frame in frames}) == len(frames) == PORTS
    for frame in (frames[0], frames[1], frames[PORTS // 2], frames[-1]):
        sent = Ether(frame)
        wrong = sent.copy()
        del wrong[TCP].chksum
        assert sent[TCP].flags == "S"
        assert sent[TCP].chksum == Ether(bytes(wrong))[TCP].chksum
