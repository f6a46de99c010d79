"""The clients and the live table without a story, for an operator who wants to see what a change does."""

import contextlib
import time
from collections import Counter
from collections.abc import Sequence

from topo import plan
from topo.demo.observer import Observer
from topo.demo.screen import Screen, View
from topo.demo.traffic import RATE_WINDOW, Traffic
from topo.demo.verdict import Death, excused, lost_in_switch_over


def watch(traffic: Traffic, observer: Observer) -> None:
    """Send and show until Ctrl-C."""

    def view() -> View:
        return look("Ctrl-C ends it", plan.POOL, traffic, observer)

    with Screen(view, RATE_WINDOW) as screen, observer.following(screen.event):
        traffic.start()
        try:
            with contextlib.suppress(KeyboardInterrupt):
                while not traffic.dead_clients():
                    time.sleep(RATE_WINDOW)
        finally:
            traffic.stop()


def look(title: str, pool: str, traffic: Traffic, observer: Observer, deaths: Sequence[Death] = ()) -> View:
    """The present moment of a pool and its clients. What the known `deaths` have cost stands apart."""
    requests = list(traffic.observed.requests)
    failed = [request for request in requests if request.error]
    ended = [event for event in list(traffic.observed.events) if event.what != "opened"]
    lost = sum(lost_in_switch_over(request, deaths) for request in failed)
    lost_streams = sum(excused(event, deaths) for event in ended)
    return View(
        pool=pool,
        phase=title,
        backends=observer.last[pool].backends if pool in observer.last else (),
        requests=Counter(request.backend for request in requests if request.backend),
        recent=traffic.rates(),
        streams=traffic.streams(),
        failed=len(failed) - lost,
        broken=len(ended) - lost_streams,
        lost=lost + lost_streams,
    )
