"""The clients and the live table without a story, for an operator who wants to see what a change does."""

import contextlib
import time
from collections import Counter

from topo.demo.observer import Observer
from topo.demo.screen import Screen, View
from topo.demo.traffic import RATE_WINDOW, Traffic


def watch(traffic: Traffic, observer: Observer) -> None:
    """Send and show until Ctrl-C."""

    def view() -> View:
        return look("Ctrl-C ends it", traffic, observer)

    with Screen(view, RATE_WINDOW) as screen, observer.following(screen.event):
        traffic.start()
        try:
            with contextlib.suppress(KeyboardInterrupt):
                while not traffic.dead_clients():
                    time.sleep(RATE_WINDOW)
        finally:
            traffic.stop()


def look(title: str, traffic: Traffic, observer: Observer) -> View:
    """The present moment."""
    requests = list(traffic.observed.requests)
    return View(
        phase=title,
        backends=observer.last.backends if observer.last else (),
        requests=Counter(request.backend for request in requests if request.backend),
        recent=traffic.rates(),
        streams=traffic.streams(),
        failed=sum(bool(request.error) for request in requests),
        broken=sum(event.what == "broken" for event in list(traffic.observed.events)),
    )
