"""The report as Prometheus metrics, made anew for each scrape; and counts of what the daemon itself does.

Names follow Prometheus' conventions: base units (seconds, bytes, ratios from 0 to 1), `_total` for what only
grows. No label has values that a client may choose. A backend's counters begin at zero again when it gets
another identity (added anew, back from the dead) and when the switch restarts; `rate()` knows how to take
that. Its labels hold the address too, because one that is on its way out may have the name of one that has
come.

With several switches what each of them counts, and how we stand with it, has the label `switch`: a sum would
fall whenever one of them begins anew.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.api.limits import Connections, Ended, Followers
from controller.events import EventLog, Kind, Severity
from controller.model import State
from controller.report import BackendReport, Report
from controller.values import format_service

HEALTH = ("healthy", "down", "unknown")
STATES = (*State, "removing")
LISTENERS = ("socket", "tcp")


@dataclass(frozen=True, slots=True)
class Reports:
    """Of all switches together, and of each by its name; of a single one, by no name."""

    whole: Report
    each: Mapping[str, Report]

    @property
    def labels(self) -> list[str]:
        return ["switch"] if self.whole.switches else []

    def by_labels(self) -> Iterator[tuple[list[str], Report]]:
        for name, report in self.each.items():
            yield [name] if self.whole.switches else [], report


class ReportCollector(Collector):
    """Turns the present report into metrics; `each` makes those of several switches."""

    def __init__(self, report: Callable[[], Report], each: Callable[[], Mapping[str, Report]]) -> None:
        self._report, self._each = report, each

    def collect(self) -> Iterator[Metric]:
        whole = self._report()
        reports = Reports(whole, self._each() if whole.switches else {"": whole})
        yield _gauge("sluice_revision", "Revision of the configuration.", whole.revision)
        yield from _switch(reports)
        yield from _vips(reports)
        yield from _pools(reports)
        yield from _backends(reports)
        yield from _reasons(reports)


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
    report: Callable[[], Report],
    each: Callable[[], Mapping[str, Report]],
    events: EventLog,
    followers: Followers,
    connections: Connections,
) -> CollectorRegistry:
    """All metrics of one daemon; those of the process too."""
    disable_created_metrics()  # a second series for each counter, of no use for rates
    result = CollectorRegistry(auto_describe=False)
    result.register(ReportCollector(report, each))
    result.register(DaemonCollector(events, followers, connections))
    ProcessCollector(registry=result)
    return result


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _switch(reports: Reports) -> Iterator[Metric]:
    gauges = (
        ("switch_connected", "1 while connected to the switch.", lambda one: one.switch.connected),
        ("switch_primary", "1 while this controller is the primary one.", lambda one: one.switch.primary),
        (
            "switch_synchronized",
            "1 while the switch holds what is wanted.",
            lambda one: one.switch.synchronized,
        ),
        ("counters_read_timestamp_seconds", "When counters were last read.", lambda one: one.counted),
    )
    for name, text, value in gauges:
        metric = GaugeMetricFamily(f"sluice_{name}", text, labels=reports.labels)
        for labels, report in reports.by_labels():
            metric.add_metric(labels, value(report))
        yield metric
    neighbors = GaugeMetricFamily(
        "sluice_neighbors", "Next hops, by state.", labels=["state", *reports.labels]
    )
    for labels, report in reports.by_labels():
        states = [neighbor.state for neighbor in report.neighbors]
        for state in sorted(set(states)):
            neighbors.add_metric([state, *labels], states.count(state))
    yield neighbors


def _vips(reports: Reports) -> Iterator[Metric]:
    names = ["vip", *reports.labels]
    packets = CounterMetricFamily("sluice_vip_packets", "Packets that came for a VIP.", labels=names)
    size = CounterMetricFamily("sluice_vip_bytes", "Bytes that came for a VIP.", labels=names)
    for labels, report in reports.by_labels():
        for vip in report.vips:
            packets.add_metric([vip.name, *labels], vip.packets)
            size.add_metric([vip.name, *labels], vip.bytes)
    yield packets
    yield size


def _pools(reports: Reports) -> Iterator[Metric]:
    labels = ["pool"]
    buckets = GaugeMetricFamily("sluice_pool_buckets", "Buckets of a pool.", labels=labels)
    moving = GaugeMetricFamily("sluice_pool_moving_buckets", "Buckets with two backends.", labels=labels)
    panic = GaugeMetricFamily(
        "sluice_pool_panic", "1 while too few are healthy, and all backends serve.", labels=labels
    )
    tier = GaugeMetricFamily("sluice_pool_tier", "The last tier of backends that serves.", labels=labels)
    stand_ins = GaugeMetricFamily(
        "sluice_pool_stand_ins",
        "Backends that are to leave and get new flows still, since nobody who is to have them is up.",
        labels=labels,
    )
    for pool in reports.whole.pools:
        panic.add_metric([pool.name], pool.panic)
        tier.add_metric([pool.name], pool.tier)
        buckets.add_metric([pool.name], pool.buckets)
        moving.add_metric([pool.name], pool.moving)
        stand_ins.add_metric([pool.name], sum(backend.stands_in for backend in pool.backends))
    yield from (buckets, moving, panic, tier, stand_ins)
    unmoved = CounterMetricFamily(
        "sluice_pool_unmoved_connections",
        "Connections that found no room to move.",
        labels=[*labels, *reports.labels],
    )
    for switch, report in reports.by_labels():
        for pool in report.pools:
            unmoved.add_metric([pool.name, *switch], pool.unmoved)
    yield unmoved


BACKEND_LABELS = ("pool", "backend", "address")
BACKEND_GAUGES = {
    "weight": "Configured weight.",
    "buckets": "Buckets whose new flows it gets.",
    "previous_buckets": "Buckets of which it has only the old flows.",
    "share": "Share of new flows that it gets, 0 to 1.",
    "penalty": "For going up and down; from the pool's damping on it is held back.",
    "slow_start": "The part of its weight that it has got to, 1 when its slow start is over.",
    "share_wanted": "Share that weights and health would have it get, 0 to 1.",
}
BACKEND_COUNTED = {
    "suspect": "1 while it does not answer the switch's probes.",
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


def _backends(reports: Reports) -> Iterator[Metric]:
    backends = [*_labelled(reports.whole)]
    for field, text in BACKEND_GAUGES.items():
        metric = GaugeMetricFamily(_name(field), text, labels=BACKEND_LABELS)
        for labels, backend in backends:
            metric.add_metric(labels, getattr(backend, field))
        yield metric
    each = [(switch, [*_labelled(report)]) for switch, report in reports.by_labels()]
    for field, text in BACKEND_COUNTED.items():
        kind = GaugeMetricFamily if field == "suspect" else CounterMetricFamily
        metric = kind(_name(field), text, labels=[*BACKEND_LABELS, *reports.labels])
        for switch, of_switch in each:
            for labels, backend in of_switch:
                if (value := getattr(backend, field)) is not None:
                    metric.add_metric([*labels, *switch], value)
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


def _labelled(report: Report) -> Iterator[tuple[list[str], BackendReport]]:
    for pool in report.pools:
        for backend in pool.backends:
            yield [pool.name, backend.name, format_service(backend.address, backend.port)], backend


def _name(field: str) -> str:
    return f"sluice_backend_{BACKEND_NAMES.get(field, field)}"


def _reasons(reports: Reports) -> Iterator[Metric]:
    kinds = (
        ("dropped", "dropped by the switch", lambda report: report.drops),
        ("punted", "handed to the controller", lambda report: report.punts),
    )
    for name, text, reasons in kinds:
        for unit in ("packets", "bytes"):
            metric = CounterMetricFamily(
                f"sluice_{name}_{unit}",
                f"{unit.capitalize()} {text}, by reason.",
                labels=["reason", *reports.labels],
            )
            for labels, report in reports.by_labels():
                for reason, traffic in reasons(report).items():
                    metric.add_metric([reason, *labels], getattr(traffic, unit))
            yield metric
