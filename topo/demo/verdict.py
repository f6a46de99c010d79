"""What the demonstration promises, and whether what was measured keeps it.

Nothing here runs or waits: phases and observations go in, counts and promises come out.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from topo.client import Request, StreamEvent

FALSE_ALARM = 1e-4
"""How likely the comparison of shares may fail in a whole run although everything is right."""


@dataclass(frozen=True)
class Phase:
    """A part of the demonstration between two monotonic times.

    `shares` are the parts of the pool's buckets that each backend had from the time `in_force` until the end.
    """

    name: str
    began: float
    in_force: float
    ended: float
    shares: dict[str, float]


@dataclass(frozen=True)
class Death:
    """A server that was killed at `moment`, taken out at `taken_out`, and served again at `back`.

    `last_syn` is the last new connection that was sent to it while it was dead, if any was.

    `allowance` is the switch-over time that is stated: until then new connections may still reach it.
    """

    backend: str
    moment: float
    allowance: float
    taken_out: float = math.inf
    last_syn: float | None = None
    back: float = math.inf


@dataclass(frozen=True)
class Share:
    """What part of a phase's requests a backend answered, beside what its buckets predict."""

    measured: float
    predicted: float
    tolerance: float

    @property
    def held(self) -> bool:
        return abs(self.measured - self.predicted) <= self.tolerance


@dataclass(frozen=True)
class PhaseResult:
    """The counts of one phase. Connections belong to the phase in which they were begun."""

    phase: Phase
    opened: int
    failed_in_switch_over: int
    failed: int
    broken: int
    ended_with_server: int
    shares: dict[str, Share]


@dataclass(frozen=True)
class Promise:
    """Something that has to hold, and what was measured."""

    text: str
    held: bool
    measured: str


@dataclass(frozen=True)
class Verdict:
    results: tuple[PhaseResult, ...]
    promises: tuple[Promise, ...]
    examples: tuple[str, ...]
    """A few of the failures that should not have been, for the person who looks for the reason."""

    @property
    def held(self) -> bool:
        return all(promise.held for promise in self.promises)


def judge(
    phases: Sequence[Phase],
    requests: Sequence[Request],
    events: Sequence[StreamEvent],
    deaths: Sequence[Death],
    false_alarm: float = FALSE_ALARM,
) -> Verdict:
    """Count everything of one pool by phase and hold it against the promises."""
    of_each = false_alarm / max(1, sum(len(phase.shares) for phase in phases))
    results = tuple(_count(phase, requests, events, deaths, of_each) for phase in phases)
    return Verdict(results, tuple(_promises(results, deaths)), tuple(_examples(requests, events, deaths)))


def tolerance(count: int, share: float, false_alarm: float) -> float:
    """By how much a measured share of `count` independent requests may differ from `share`.

    The binomial distribution in its normal approximation, with the continuity correction; two-sided. A share
    of 0 or 1 has no room at all.
    """
    if count == 0 or share in (0.0, 1.0):
        return 0.0
    quantile = NormalDist().inv_cdf(1 - false_alarm / 2)
    return quantile * math.sqrt(share * (1 - share) / count) + 0.5 / count


def _count(
    phase: Phase,
    requests: Sequence[Request],
    events: Sequence[StreamEvent],
    deaths: Sequence[Death],
    false_alarm: float,
) -> PhaseResult:
    of_phase = [request for request in requests if phase.began <= request.began < phase.ended]
    streams = [event for event in events if phase.began <= event.moment < phase.ended]
    failed = [request for request in of_phase if request.error]
    allowed = [request for request in failed if lost_in_switch_over(request, deaths)]
    not_opened = [event for event in streams if event.what == "failed"]
    not_opened_allowed = [event for event in not_opened if excused(event, deaths)]
    broken = [event for event in streams if event.what == "broken"]
    with_server = [event for event in broken if excused(event, deaths)]
    answered = Counter(
        request.backend for request in of_phase if request.backend and request.began >= phase.in_force
    )
    total = answered.total()
    shares = {
        backend: Share(
            answered[backend] / total if total else 0.0,
            share,
            tolerance(total, share, false_alarm),
        )
        for backend, share in sorted(phase.shares.items())
    }
    return PhaseResult(
        phase=phase,
        opened=len(of_phase) - len(failed) + sum(event.what == "opened" for event in streams),
        failed_in_switch_over=len(allowed) + len(not_opened_allowed),
        failed=len(failed) - len(allowed) + len(not_opened) - len(not_opened_allowed),
        broken=len(broken) - len(with_server),
        ended_with_server=len(with_server),
        shares=shares,
    )


def _promises(results: Sequence[PhaseResult], deaths: Sequence[Death]) -> list[Promise]:
    opened = sum(result.opened for result in results)
    failed = sum(result.failed for result in results)
    broken = sum(result.broken for result in results)
    outside = [
        f"{result.phase.name}: {backend} {share.measured:.1%} instead of {share.predicted:.1%}"
        for result in results
        for backend, share in result.shares.items()
        if not share.held
    ]
    promises = [
        Promise(
            "no new connection fails, but within the switch-over time after a death",
            failed == 0 and opened > 0,
            f"{failed} of {failed + opened} failed",
        ),
        Promise("no long-lived connection on a surviving backend breaks", broken == 0, f"{broken} broken"),
        Promise(
            "each backend's share is what its buckets predict",
            not outside,
            "; ".join(outside) or f"{sum(len(result.shares) for result in results)} shares compared",
        ),
    ]
    for death in deaths:
        last = (
            "none was" if death.last_syn is None else f"the last {death.last_syn - death.moment:.2f} s after"
        )
        promises.append(
            Promise(
                f"{death.allowance:.1f} s after its death no new connection is sent to {death.backend}",
                death.last_syn is None or death.last_syn - death.moment <= death.allowance,
                last,
            )
        )
    return promises


def _examples(
    requests: Sequence[Request], events: Sequence[StreamEvent], deaths: Sequence[Death]
) -> list[str]:
    wrong = [
        f"new connection: {request.error}"
        for request in requests
        if request.error and not lost_in_switch_over(request, deaths)
    ]
    wrong += [
        f"long-lived connection {event.what}: {event.error}"
        for event in events
        if event.what != "opened" and not excused(event, deaths)
    ]
    return [f"{count} x {text}" for text, count in Counter(wrong).most_common(5)]


def lost_in_switch_over(request: Request, deaths: Sequence[Death]) -> bool:
    """Whether a failed request was begun in the switch-over time of a death, or was under way then."""
    return any(
        request.began <= death.moment + death.allowance and request.ended >= death.moment for death in deaths
    )


def excused(event: StreamEvent, deaths: Sequence[Death]) -> bool:
    """Whether a long-lived connection was a killed server's own, or could not be opened in a switch-over."""
    if event.what == "failed":
        return any(death.moment <= event.moment <= death.moment + death.allowance for death in deaths)
    return any(
        event.backend == death.backend and death.moment <= event.moment < death.back for death in deaths
    )
