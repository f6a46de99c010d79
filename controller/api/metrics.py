"""The report as Prometheus metrics, made anew for each scrape; and counts of what the daemon itself does.

Names follow Prometheus' conventions: base units (seconds, bytes, ratios from 0 to 1), `_total` for what only
grows. No label has values that a client may choose. A backend's counters begin at zero again when it gets
another identity (added anew, back from the dead) and when the switch restarts; `rate()` knows how to take
that. Its labels hold the address too, because one that is on its way out may have the name of one that has
come.
"""

from collections.abc import Callable, Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.api.limits import Connections, Ended, Followers
from controller.events import EventLog, Kind, Severity
from controller.model import State
from controller.report import Report
from controller.values import format_service

HEALTH = ("healthy", "down", "unknown")
STATES = (*State, "removing")
LISTENERS = ("socket", "tcp")


class ReportCollector(Collector):
    """Turns the present report into metrics."""

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report = self._report()
        yield from _switch(report)
        yield from _vips(report)
        yield from _pools(report)
        yield from _backends(report)
        yield from _reasons(report)


class DaemonCollector(Collector):
    """What the daemon is and has done."""

    def __init__(self, events: EventLog, followers: Followers, connections: Connections) -> None:
        self._events = events
        self._followers, self._connections = followers, connections

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("sluice_build_info", "1; the labels say what runs.", labels=["version"])
        build.add_metric([version("sluice")], 1)
        yield build
        events = CounterMetricFamily("sluice_events", "Events, by kind.", labels=["kind", "severity"])
        for kind in Kind:
            for severity in Severity:
                events.add_metric([kind, severity], self._events.counts[kind, severity])
        yield events
        yield _gauge("sluice_event_followers", "Clients that follow the events.", self._followers.present)
        yield from self._of_connections()

    def _of_connections(self) -> Iterator[Metric]:
        present = GaugeMetricFamily(
            "sluice_api_connections", "Connections of clients of the API.", labels=["listener"]
        )
        ended = CounterMetricFamily(
            "sluice_api_connections_ended",
            "Connections that were closed because of what their clients did, or did not do.",
            labels=["listener", "reason"],
        )
        for listener in LISTENERS:
            present.add_metric([listener], self._connections.present[listener])
            for reason in Ended:
                ended.add_metric([listener, reason], self._connections.ended[listener, reason])
        yield from (present, ended)


def registry(
    report: Callable[[], Report], events: EventLog, followers: Followers, connections: Connections
) -> CollectorRegistry:
    """All metrics of one daemon; those of the process too."""
    disable_created_metrics()  # a second series for each counter, of no use for rates
    result = CollectorRegistry(auto_describe=False)
    result.register(ReportCollector(report))
    result.register(DaemonCollector(events, followers, connections))
    ProcessCollector(registry=result)
    return result


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _switch(report: Report) -> Iterator[Metric]:
    yield _gauge("sluice_revision", "Revision of the configuration.", report.revision)
    yield _gauge("sluice_switch_connected", "1 while connected to the switch.", report.switch.connected)
    yield _gauge(
        "sluice_switch_primary", "1 while this controller is the primary one.", report.switch.primary
    )
    yield _gauge(
        "sluice_switch_synchronized", "1 while the switch holds what is wanted.", report.switch.synchronized
    )
    yield _gauge("sluice_counters_read_timestamp_seconds", "When counters were last read.", report.counted)
    neighbors = GaugeMetricFamily("sluice_neighbors", "Next hops, by state.", labels=["state"])
    states = [neighbor.state for neighbor in report.neighbors]
    for state in sorted(set(states)):
        neighbors.add_metric([state], states.count(state))
    yield neighbors


def _vips(report: Report) -> Iterator[Metric]:
    packets = CounterMetricFamily("sluice_vip_packets", "Packets that came for a VIP.", labels=["vip"])
    size = CounterMetricFamily("sluice_vip_bytes", "Bytes that came for a VIP.", labels=["vip"])
    for vip in report.vips:
        packets.add_metric([vip.name], vip.packets)
        size.add_metric([vip.name], vip.bytes)
    yield packets
    yield size


def _pools(report: Report) -> Iterator[Metric]:
    labels = ["pool"]
    buckets = GaugeMetricFamily("sluice_pool_buckets", "Buckets of a pool.", labels=labels)
    moving = GaugeMetricFamily("sluice_pool_moving_buckets", "Buckets with two backends.", labels=labels)
    unmoved = CounterMetricFamily(
        "sluice_pool_unmoved_connections", "Connections that found no room to move.", labels=labels
    )
    panic = GaugeMetricFamily(
        "sluice_pool_panic", "1 while too few are healthy, and all backends serve.", labels=labels
    )
    tier = GaugeMetricFamily("sluice_pool_tier", "The last tier of backends that serves.", labels=labels)
    for pool in report.pools:
        panic.add_metric([pool.name], pool.panic)
        tier.add_metric([pool.name], pool.tier)
        buckets.add_metric([pool.name], pool.buckets)
        moving.add_metric([pool.name], pool.moving)
        unmoved.add_metric([pool.name], pool.unmoved)
    yield from (buckets, moving, unmoved, panic, tier)


BACKEND_LABELS = ("pool", "backend", "address")
BACKEND_GAUGES = {
    "weight": "Configured weight.",
    "buckets": "Buckets whose new flows it gets.",
    "previous_buckets": "Buckets of which it has only the old flows.",
    "share": "Share of new flows that it gets, 0 to 1.",
    "penalty": "For going up and down; from the pool's damping on it is held back.",
    "slow_start": "The part of its weight that it has got to, 1 when its slow start is over.",
    "share_wanted": "Share that weights and health would have it get, 0 to 1.",
    "suspect": "1 while it does not answer the switch's probes.",
}
BACKEND_COUNTERS = {
    "packets": "Packets sent to it.",
    "bytes": "Bytes sent to it.",
    "syns": "TCP connections begun.",
    "suspected": "New flows that went to standbys because it did not answer probes.",
    "accepted": "Connections of clients that it accepted, where that is counted.",
    "refused": "Connections of clients that it refused, where that is counted.",
}
BACKEND_NAMES = {
    "share": "share_ratio",
    "share_wanted": "wanted_share_ratio",
    "suspected": "diverted_flows",
}
"""Where a metric is not named as the field of the report is."""

BACKEND_STATES = {
    "health": ("1 for the verdict of the health checks.", HEALTH),
    "state": ("1 for the administrative state.", STATES),
}


def _backends(report: Report) -> Iterator[Metric]:
    backends = [
        ([pool.name, backend.name, format_service(backend.address, backend.port)], backend)
        for pool in report.pools
        for backend in pool.backends
    ]
    for fields, kind in ((BACKEND_GAUGES, GaugeMetricFamily), (BACKEND_COUNTERS, CounterMetricFamily)):
        for field, text in fields.items():
            name = BACKEND_NAMES.get(field, field)
            metric = kind(f"sluice_backend_{name}", text, labels=BACKEND_LABELS)
            for labels, backend in backends:
                if (value := getattr(backend, field)) is not None:
                    metric.add_metric(labels, value)
            yield metric
    out = GaugeMetricFamily(
        "sluice_backend_ejected",
        "1 while it gets no new flows since it fails its clients.",
        labels=BACKEND_LABELS,
    )
    for labels, backend in backends:
        out.add_metric(labels, backend.ejected is not None)
    yield out
    for field, (text, values) in BACKEND_STATES.items():
        metric = GaugeMetricFamily(f"sluice_backend_{field}", text, labels=(*BACKEND_LABELS, field))
        for labels, backend in backends:
            for value in values:
                metric.add_metric([*labels, value], float(getattr(backend, field) == value))
        yield metric


def _reasons(report: Report) -> Iterator[Metric]:
    for name, text, reasons in (
        ("dropped", "dropped by the switch", report.drops),
        ("punted", "handed to the controller", report.punts),
    ):
        for unit in ("packets", "bytes"):
            metric = CounterMetricFamily(
                f"sluice_{name}_{unit}", f"{unit.capitalize()} {text}, by reason.", labels=["reason"]
            )
            for reason, traffic in reasons.items():
                metric.add_metric([reason], getattr(traffic, unit))
            yield metric
