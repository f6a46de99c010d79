"""What several switches say, as one: counters are added up, and what one of them suspects is suspected.

A switch that suspects a backend sends new connections past it, whatever the others think, so that is what is
told, and what makes the checks hurry. Often it is the way from that one switch which is broken.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from controller.counters import Counters
from controller.health.passive import Handshakes
from controller.probes import Heard, Silence
from controller.report import Recorded, Role, SwitchReport
from controller.wire import Traffic

K = TypeVar("K")
V = TypeVar("V")


def counters_of(switches: Sequence[Counters]) -> Counters:
    """`read` is when the one that was read the longest ago was read."""
    if len(switches) == 1:
        return switches[0]
    return Counters(
        read=min(one.read for one in switches),
        vips=_sum([one.vips for one in switches], _traffic),
        backends=_sum([one.backends for one in switches], _traffic),
        syns=_sum([one.syns for one in switches], sum),
        handshakes=_sum([one.handshakes for one in switches], _handshakes),
        suspected=_sum([one.suspected for one in switches], sum),
        all_suspect=_sum([one.all_suspect for one in switches], sum),
        drops=_sum([one.drops for one in switches], _traffic),
        punts=_sum([one.punts for one in switches], _traffic),
        unmoved=_sum([one.unmoved for one in switches], sum),
    )


def silence_of(switches: Sequence[Silence]) -> Heard:
    """Whom any of them suspects, and how many answers all of them have had."""
    if len(switches) == 1:
        return switches[0]
    suspects = frozenset[int]().union(*(one.suspects for one in switches))
    return _Heard(suspects, switches)


class _Heard:
    def __init__(self, suspects: frozenset[int], switches: Sequence[Silence]) -> None:
        self.suspects = suspects
        self._switches = switches

    def answers(self, number: int) -> int | None:
        answers = [found for one in self._switches if (found := one.answers(number)) is not None]
        return sum(answers) if answers else None


def mtus_of(switches: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The smallest that was heard of each backend."""
    return _sum([*switches], min)


def recorded_of(switches: Sequence[Recorded | None]) -> Recorded | None:
    """None if some switch does not tell: the sum would be no sum."""
    told = [one for one in switches if one is not None]
    if not told or len(told) < len(switches):
        return None
    return Recorded(
        time=min(one.time for one in told),
        used=sum(one.used for one in told),
        room=sum(one.room for one in told),
        exact=all(one.exact for one in told),
        by_backend=_sum([one.by_backend for one in told], sum),
    )


def report_of(switches: Sequence[SwitchReport]) -> SwitchReport:
    """What holds for all of them."""
    if len(switches) == 1:
        return switches[0]
    errors = [f"{one.name}: {one.error}" for one in switches if one.error]
    roles = [one.role for one in switches]
    return SwitchReport(
        address=", ".join(one.address for one in switches),
        device_id=switches[0].device_id,
        connected=all(one.connected for one in switches),
        primary=all(one.primary for one in switches),
        synchronized=all(one.synchronized for one in switches),
        cookie=next((one.cookie for one in switches if one.cookie is not None), None),
        error="; ".join(errors),
        role=roles[0] if len({*roles}) == 1 else Role.UNDECIDED,
        packets=sum(one.packets for one in switches),
        bytes=sum(one.bytes for one in switches),
        dropped=sum(one.dropped for one in switches),
        suspects=max(one.suspects for one in switches),
    )


def _sum(parts: Sequence[Mapping[K, V]], add: Callable[[list[V]], V]) -> dict[K, V]:
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: add([part[key] for part in parts if key in part]) for key in keys}


def _handshakes(parts: Sequence[Handshakes]) -> Handshakes:
    return Handshakes(
        sum(one.syns for one in parts), sum(one.accepts for one in parts), sum(one.refusals for one in parts)
    )


def _traffic(parts: Sequence[Traffic]) -> Traffic:
    return Traffic(sum(one.packets for one in parts), sum(one.bytes for one in parts))
