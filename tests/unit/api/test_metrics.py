"""Metrics: what they say, how they are named, and that their number is bounded."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from controller.api.limits import Connections, Followers
from controller.api.metrics import registry
from controller.events import EventLog, Kind, Severity
from tests.fakes.controller import FakeController

METRICS = """\
sluice_revision 1.0
sluice_switch_connected 1.0
sluice_neighbors{state="failed"} 1.0
sluice_vip_packets_total{vip="web"} 123456.0
sluice_pool_moving_buckets{pool="web"} 12.0
sluice_backend_buckets{address="10.0.1.11:8080",backend="b1",pool="web"} 341.0
sluice_backend_buckets{address="[fd00:1::53]:53",backend="d1",pool="dns"} 1024.0
sluice_backend_share_ratio{address="10.0.1.13:8080",backend="b3",pool="web"} 0.0
sluice_backend_syns_total{address="10.0.1.11:8080",backend="b1",pool="web"} 1234.0
sluice_backend_diverted_flows_total{address="10.0.1.13:8080",backend="b3",pool="web"} 17.0
sluice_backend_health{address="10.0.1.12:8080",backend="b2",health="down",pool="web"} 1.0
sluice_backend_health{address="10.0.1.12:8080",backend="b2",health="healthy",pool="web"} 0.0
sluice_backend_state{address="10.0.1.13:8080",backend="b3",pool="web",state="drain"} 1.0
sluice_dropped_packets_total{reason="no_service"} 7.0
sluice_dropped_bytes_total{reason="no_service"} 420.0
sluice_punted_packets_total{reason="glean"} 3.0
sluice_events_total{kind="health",severity="warning"} 1.0
sluice_events_total{kind="health",severity="error"} 0.0
sluice_event_followers 0.0
sluice_api_requests_total{method="GET",operation="get_pool",status="404"} 1.0
"""


async def test_metrics(api: httpx.AsyncClient, controller: FakeController) -> None:
    controller.events.record(Kind.HEALTH, "web/b1", "down", severity=Severity.WARNING)
    await api.get("/v1/pools/none")
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert [line for line in METRICS.splitlines() if line not in lines] == []


async def test_names_follow_the_conventions(api: httpx.AsyncClient) -> None:
    """https://prometheus.io/docs/practices/naming/, as far as a program can tell."""
    await api.get("/v1/status")
    families = list(text_string_to_metric_families((await api.get("/metrics")).text))
    ours = [family for family in families if not family.name.startswith("process_")]
    assert len(families) > len(ours) > 30
    for family in ours:
        assert family.name.startswith("sluice_")
        assert family.documentation.endswith("."), family.name
        assert (family.type == "counter") == all(
            sample.name.endswith("_total") for sample in family.samples
        ), family.name
        for word in ("milliseconds", "minutes", "kilobytes", "megabytes", "percent"):
            assert word not in family.name
        for sample in family.samples:
            assert not {"le", "quantile"} & sample.labels.keys() or family.type == "histogram"
        if family.name.endswith("_ratio"):
            assert all(0 <= sample.value <= 1 for sample in family.samples)


async def test_a_client_cannot_make_series(api: httpx.AsyncClient) -> None:
    async def series() -> set[str]:
        lines = (await api.get("/metrics")).text.splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    async def ask(number: int) -> None:
        await api.get(f"/v1/pools/p{number}")
        await api.get(f"/nothing/{number}")
        await api.request(f"FOO{number}", "/v1/vips")
        await api.get(f"/v1/events?after=x{number}", headers={"X-Request-Id": f"r{number}"})

    await series()  # counts itself
    await ask(0)
    before = await series()
    for number in range(1, 20):
        await ask(number)
    assert await series() == before


@pytest.mark.parametrize("state", ["removing", "active"])
def test_a_backend_on_its_way_out_and_its_successor_are_told_apart(state: str) -> None:
    report = FakeController().report()
    pool = report.pools[0]
    gone = pool.backends[0].model_copy(update={"state": state, "address": "10.0.1.99"})
    both = pool.model_copy(update={"backends": (*pool.backends, gone)})
    changed = report.model_copy(update={"pools": (both,)})
    metrics = generate_latest(
        registry(lambda: changed, dict, EventLog(), Followers(), Connections())
    ).decode()
    series = [line.rpartition(" ")[0] for line in metrics.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series))


def test_backends_that_serve_though_they_are_to_leave_are_counted() -> None:
    report = FakeController().report()
    web, dns = report.pools
    backends = [one.model_copy(update={"stands_in": one.name != "b3"}) for one in web.backends]
    changed = report.model_copy(update={"pools": (web.model_copy(update={"backends": (*backends,)}), dns)})
    metrics = generate_latest(
        registry(lambda: changed, dict, EventLog(), Followers(), Connections())
    ).decode()
    assert f'sluice_pool_stand_ins{{pool="web"}} {len(backends) - 1}.0' in metrics
    assert 'sluice_pool_stand_ins{pool="dns"} 0.0' in metrics


# What is made of them: the dashboard and the alerts in contrib/

CONTRIB = Path(__file__).resolve().parents[3] / "contrib"
OTHERS = {"up"}
"""Series that Prometheus makes itself."""


def expressions(value: Any) -> Iterator[str]:
    """Every PromQL expression in a dashboard or a file of rules."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("expr", "query") and isinstance(inner, str) and inner != "prometheus":
                yield inner
            else:
                yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def used(expression: str) -> tuple[set[str], set[str]]:
    """The series and the labels that an expression names."""
    series = set(re.findall(r"\b(?:sluice|process)_[a-z_]+|\bup\b", expression))
    selectors = re.findall(r"([a-z_]+)\s*(?:=~|!=|=)\s*\"", expression)
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    labels = {*selectors, *(label.strip() for group in grouped for label in group.split(","))}
    return series, labels - {"instance", "job"}


@pytest.mark.parametrize("file", ["grafana/sluice.json", "prometheus/sluice.rules.yaml"])
async def test_every_metric_and_label_that_is_used_exists(api: httpx.AsyncClient, file: str) -> None:
    await api.get("/v1/status")
    there: dict[str, set[str]] = {name: set() for name in OTHERS}
    for family in text_string_to_metric_families((await api.get("/metrics")).text):
        for sample in family.samples:
            there.setdefault(sample.name, set()).update(sample.labels)
    document = yaml.safe_load((CONTRIB / file).read_text())  # JSON is a part of YAML
    found = list(expressions(document))
    assert len(found) > 8
    for expression in found:
        series, labels = used(expression)
        assert series, expression
        assert series <= there.keys(), expression
        assert labels <= set().union(*(there[name] for name in series)), expression


def test_the_dashboard_is_laid_out_without_overlaps() -> None:
    panels = json.loads((CONTRIB / "grafana" / "sluice.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        }
        assert max(column for column, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["targets"]
