"""Ten seconds of what `make soak` does for an hour, and how it judges."""

from dataclasses import replace

import pytest

from bench.soak import MIB, Outcome, Sample, logged_losses, soak

SETTLED = Sample(seconds=2, resident=80 * MIB, descriptors=18, threads=17, sent=1000, came=999)
LAST = replace(SETTLED, seconds=20, sent=10_000, came=10_000)
GOOD = Outcome(rate=500, writes=20, settled=SETTLED, last=LAST, losses={})


@pytest.mark.root
def test_traffic_and_writes_leave_nothing_behind() -> None:
    outcome = soak(10, rate=5000)
    assert outcome.writes > 5
    assert outcome.last.sent > 1000
    assert outcome.leaks == {}
    # A ring that was full is a matter of how busy the machine is; nothing else may be lost on any.
    assert [reason for reason in outcome.losses if "rx_dropped" not in reason] == []


@pytest.mark.parametrize(
    ("outcome", "missed"),
    [
        pytest.param(GOOD, [], id="all well"),
        pytest.param(replace(GOOD, last=replace(LAST, resident=82 * MIB)), ["memory"], id="memory"),
        pytest.param(
            replace(GOOD, last=replace(LAST, descriptors=19)), ["descriptors"], id="a descriptor more"
        ),
        pytest.param(replace(GOOD, last=replace(LAST, descriptors=17)), [], id="one less"),
        pytest.param(replace(GOOD, last=replace(LAST, came=9_999)), ["packets"], id="a packet"),
        pytest.param(replace(GOOD, losses={"the program: ttl": 1}), ["packets"], id="a loss counted"),
    ],
)
def test_what_does_not_hold_is_named(outcome: Outcome, missed: list[str]) -> None:
    assert [what.partition(":")[0] for what, holds in outcome.verdicts().items() if not holds] == missed


def test_losses_are_read_from_the_switch_s_log() -> None:
    log = (
        "12:00:00,000 INFO port 1 (sw1): rx_packets 7, rx_bytes 420, rx_dropped 2, rx_too_long 0, "
        "rx_malformed 1, rx_checksums 5, rx_super_packets 6, tx_packets 9, tx_bytes 540, tx_dropped 0, "
        "tx_too_long 4\n"
        "12:00:00,000 INFO lost in the switch: no_program 0, no_such_port 3, cpu_port_full 0\n"
    )
    assert logged_losses(log) == {
        "sw1 rx_dropped": 2,
        "sw1 rx_malformed": 1,
        "sw1 tx_too_long": 4,
        "lost in the switch no_such_port": 3,
    }
