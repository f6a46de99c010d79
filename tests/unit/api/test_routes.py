"""The API: what each resource answers, what it refuses and how it says so."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.api.schemas import ConfigView, PoolView, Refusal, Status
from controller.config import parse
from controller.controller import ChangeResult
from controller.errors import StoreError
from controller.events import Kind, Severity
from controller.pair import Pair
from controller.peer import ApiPeer
from controller.replica import FORMAT, Replica
from controller.store import SqliteStore
from tests.fakes.controller import DOCUMENT, NOW, FakeController


async def test_status_is_the_report_and_the_latest_change(api: httpx.AsyncClient) -> None:
    status = Status.model_validate((await api.get("/v1/status")).json())
    assert status.switch.address == "127.0.0.1:9559"
    assert (status.changed.number, status.changed.who) == (1, "root")
    assert [vip.name for vip in status.vips] == ["web", "dns"]


async def test_pools_show_what_they_do_and_how_they_are_configured(api: httpx.AsyncClient) -> None:
    web = PoolView.model_validate((await api.get("/v1/pools/web")).json())
    assert (web.check.type, web.idle_timeout, web.vips) == ("http", 300.0, ("web",))
    assert [(b.name, b.health, b.buckets) for b in web.backends] == [
        ("b1", "healthy", 341),
        ("b2", "down", 683),
        ("b3", "healthy", 0),
    ]
    listed = (await api.get("/v1/pools")).json()
    assert PoolView.model_validate(listed[0]) == web
    assert listed[0]["idle_timeout"] == "5m"


async def test_vips(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/v1/vips")).json()
    assert [vip["name"] for vip in listed] == ["web", "dns"]
    assert (await api.get("/v1/vips/dns")).json() == listed[1]


async def test_drops(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/drops")).json()["no_service"] == {"packets": 7, "bytes": 420}


# What it shows, method, path, body, what the controller is asked, the path that differs afterwards
CHANGES: list[tuple[str, str, str, Any, tuple[str, str, bool], str]] = [
    (
        "a backend comes",
        "POST",
        "/v1/pools/web/backends",
        {"name": "b5", "address": "10.0.1.15", "port": 8080, "weight": 3},
        ("backend web/b5 added", "alice", True),
        "pools[web].backends[b5]",
    ),
    (
        "a backend goes when it has drained",
        "DELETE",
        "/v1/pools/web/backends/b1",
        None,
        ("backend web/b1 removed", "alice", True),
        "pools[web].backends[b1]",
    ),
    (
        "a backend goes at once",
        "DELETE",
        "/v1/pools/web/backends/b1?force=true",
        None,
        ("backend web/b1 removed by force", "alice", False),
        "pools[web].backends[b1]",
    ),
    (
        "a drain with a deadline",
        "PATCH",
        "/v1/pools/web/backends/b3",
        {"deadline": {"at": "2030-01-01T12:00:00Z", "then": "cut"}},
        ("backend web/b3: deadline 2030-01-01T12:00:00Z, then cut", "alice", True),
        "pools[web].backends[b3].deadline",
    ),
    (
        "another weight",
        "PATCH",
        "/v1/pools/web/backends/b1",
        {"weight": 5},
        ("backend web/b1: weight 5", "alice", True),
        "pools[web].backends[b1].weight",
    ),
    (
        "another state",
        "PATCH",
        "/v1/pools/web/backends/b3",
        {"state": "active"},
        ("backend web/b3: state active", "alice", True),
        "pools[web].backends[b3].state",
    ),
    (
        "a VIP comes",
        "POST",
        "/v1/vips",
        {"name": "web6", "address": "fd00::101", "port": 53, "protocol": "tcp", "pool": "dns"},
        ("VIP web6 added", "alice", True),
        "vips[web6]",
    ),
    ("a VIP goes", "DELETE", "/v1/vips/dns", None, ("VIP dns removed", "alice", True), "vips[dns]"),
]


@pytest.mark.parametrize(("shows", "method", "path", "body", "asked", "differs"), CHANGES)
async def test_changes(
    api: httpx.AsyncClient,
    controller: FakeController,
    shows: str,
    method: str,
    path: str,
    body: Any,
    asked: tuple[str, str, bool],
    differs: str,
) -> None:
    answer = await api.request(method, path, json=body)
    assert answer.status_code == (201 if method == "POST" else 200), shows
    assert [difference["path"] for difference in answer.json()["differences"]] == [differs]
    assert controller.changes == [asked]
    assert answer.json()["revision"] == controller.revision.number == 2


async def test_a_change_that_the_switch_does_not_have_yet(
    api: httpx.AsyncClient, controller: FakeController
) -> None:
    controller.answer = ChangeResult(0, False, 17, "no connection to 127.0.0.1:9559")
    answer = (await api.patch("/v1/pools/web/backends/b1", json={"weight": 5})).json()
    assert (answer["applied"], answer["moved_buckets"], answer["detail"]) == (
        False,
        17,
        "no connection to 127.0.0.1:9559",
    )


async def test_the_configuration_comes_and_goes_as_json_and_yaml(
    api: httpx.AsyncClient, controller: FakeController
) -> None:
    before = controller.config
    view = ConfigView.model_validate((await api.get("/v1/config")).json())
    assert (view.revision.number, view.config) == (1, before)

    text = (await api.get("/v1/config", params={"format": "yaml"})).text
    assert parse(text) == before
    for document in (text, json.dumps(view.config.model_dump(mode="json"))):
        answer = (await api.put("/v1/config", content=document)).json()
        assert answer["differences"] == []
        assert answer["revision"] == 1

    answer = await api.put(
        "/v1/config", content=DOCUMENT.replace("weight: 2", "weight: 9"), params={"source": "new.yaml"}
    )
    assert answer.json()["differences"] == [
        {"path": "pools[web].backends[b2].weight", "before": 2, "after": 9}
    ]
    assert controller.changes[-1] == ("new.yaml applied", "alice", True)


async def test_a_dry_run_changes_nothing(api: httpx.AsyncClient, controller: FakeController) -> None:
    controller.answer = ChangeResult(0, False, 56, "")
    before = controller.config
    document = DOCUMENT.replace("weight: 2", "weight: 9")
    answer = (await api.put("/v1/config", content=document, params={"dry_run": "true"})).json()
    assert answer["moved_buckets"] == 56
    assert [difference["path"] for difference in answer["differences"]] == ["pools[web].backends[b2].weight"]
    assert controller.config is before
    assert controller.changes == []


async def test_a_document_for_another_revision_is_refused(
    api: httpx.AsyncClient, controller: FakeController
) -> None:
    params = {"expected_revision": 1}
    first = DOCUMENT.replace("weight: 2", "weight: 3")
    assert (await api.put("/v1/config", content=first, params=params)).status_code == 200
    answer = await api.put("/v1/config", content=DOCUMENT, params=params)
    assert answer.status_code == 409
    assert "at revision 2" in Refusal.model_validate(answer.json()).error
    assert controller.config == parse(first)


BACKENDS = "/v1/pools/web/backends"

# What it shows, method, path, body, status, error begins, where, hint
REFUSALS: list[tuple[str, str, str, Any, int, str, str, str]] = [
    (
        "an unknown pool that is like a known one",
        "GET",
        "/v1/pools/wbe",
        None,
        404,
        "no pool named 'wbe'; there is: dns, web",
        "",
        "did you mean web?",
    ),
    ("an unknown pool", "GET", "/v1/pools/zzz", None, 404, "no pool named 'zzz'", "", ""),
    (
        "an unknown backend",
        "PATCH",
        BACKENDS + "/bb1",
        {"weight": 1},
        404,
        "no backend of pool web named 'bb1'",
        "",
        "did you mean b1?",
    ),
    ("an unknown VIP", "DELETE", "/v1/vips/wep", None, 404, "no VIP named 'wep'", "", "did you mean web?"),
    (
        "a weight too large",
        "PATCH",
        BACKENDS + "/b1",
        {"weight": 1001},
        422,
        "is 1001, must be at most 1000",
        "pools[web].backends[b1].weight",
        "",
    ),
    (
        "a weight that is none",
        "PATCH",
        BACKENDS + "/b1",
        {"weight": "heavy"},
        422,
        "is 'heavy', must be a whole number",
        "weight",
        "",
    ),
    (
        "an unknown key",
        "PATCH",
        BACKENDS + "/b1",
        {"wieght": 3},
        422,
        "is not a known key; did you mean weight?",
        "wieght",
        "",
    ),
    (
        "nothing to change",
        "PATCH",
        BACKENDS + "/b1",
        {},
        422,
        "has nothing to change: give weight, state or deadline",
        "body",
        "",
    ),
    (
        "no address",
        "POST",
        BACKENDS,
        {"name": "b5"},
        422,
        "is missing",
        "address",
        "",
    ),
    (
        "an address out of reach",
        "POST",
        BACKENDS,
        {"name": "b5", "address": "192.0.2.1"},
        422,
        "there is no route to 192.0.2.1",
        "pools[web].backends[b5].address",
        "",
    ),
    (
        "a name that is taken",
        "POST",
        BACKENDS,
        {"name": "b1", "address": "10.0.1.15"},
        422,
        "there is a backend named b1 already",
        "pools[web].backends[b1].name",
        "",
    ),
    (
        "the other family",
        "POST",
        BACKENDS,
        {"name": "b5", "address": "fd00:1::15"},
        422,
        "fd00:1::15 is IPv6, but VIP web of this pool is IPv4",
        "pools[web].backends[b5].address",
        "",
    ),
    (
        "a VIP to no pool",
        "POST",
        "/v1/vips",
        {"name": "x", "address": "10.0.0.101", "port": 1, "pool": "wb"},
        422,
        "there is no pool named wb",
        "vips[x].pool",
        "",
    ),
    (
        "a path that is none",
        "GET",
        "/v1/wombats",
        None,
        404,
        "Not Found",
        "GET /v1/wombats",
        "see /v1/openapi.json for what there is",
    ),
    (
        "a method that is none",
        "PUT",
        "/v1/pools",
        None,
        405,
        "Method Not Allowed",
        "PUT /v1/pools",
        "see /v1/openapi.json for what there is",
    ),
    ("a number that is none", "GET", "/v1/events?after=x", None, 422, "", "after", ""),
]


@pytest.mark.parametrize(("shows", "method", "path", "body", "status", "error", "where", "hint"), REFUSALS)
async def test_refusals(
    api: httpx.AsyncClient,
    controller: FakeController,
    shows: str,
    method: str,
    path: str,
    body: Any,
    status: int,
    error: str,
    where: str,
    hint: str,
) -> None:
    before = controller.config
    answer = await api.request(method, path, json=body)
    refusal = Refusal.model_validate(answer.json())
    assert answer.status_code == status, shows
    assert refusal.error.startswith(error)
    assert (refusal.where, refusal.hint) == (where, hint)
    assert controller.config is before


async def test_every_mistake_of_a_document_with_its_line(api: httpx.AsyncClient) -> None:
    document = DOCUMENT.replace("weight: 2", "weight: -2").replace("udp: move", "udp: jump")
    answer = await api.put("/v1/config", content=document, params={"source": "new.yaml"})
    refusal = Refusal.model_validate(answer.json())
    assert answer.status_code == 422
    assert refusal.error == "2 mistakes in new.yaml"
    assert [(m.path, m.line) for m in refusal.mistakes] == [
        ("pools[web].backends[b2].weight", 10),
        ("pools[dns].udp", 13),
    ]


@pytest.mark.parametrize("document", ["", "pools: [", "just text", "\x00"])
async def test_what_is_no_document(api: httpx.AsyncClient, document: str) -> None:
    answer = await api.put("/v1/config", content=document)
    assert answer.status_code == 422
    assert Refusal.model_validate(answer.json()).error


async def test_a_store_that_fails_is_told(api: httpx.AsyncClient, controller: FakeController) -> None:
    controller.failure = StoreError("the disk is full")
    answer = await api.delete("/v1/vips/web")
    assert answer.status_code == 503
    assert Refusal.model_validate(answer.json()).error == "the disk is full"


async def test_a_mistake_of_ours_has_the_same_shape_and_tells_no_secrets(
    api: httpx.AsyncClient, controller: FakeController
) -> None:
    controller.failure = ZeroDivisionError("the password is 1234")
    answer = await api.get("/v1/status", headers={"X-Request-Id": "mine-7"})
    refusal = Refusal.model_validate(answer.json())
    assert answer.status_code == 500
    assert refusal == Refusal(
        error="the daemon made a mistake",
        where="GET /v1/status",
        hint="its log has the details under [mine-7]",
    )
    assert answer.headers["x-request-id"] == "mine-7"


async def test_a_copy_of_the_store_is_for_who_knows_all_of_it(
    api: httpx.AsyncClient, controller: FakeController
) -> None:
    assert (await api.get("/v1/replica")).status_code == 404
    store = SqliteStore(":memory:")
    store.commit("a document", who="root", what="a change")
    controller.pair = Pair(ApiPeer(Path("peer.sock")), store, controller.events, lambda: None)
    answer = await api.get(f"/v1/replica?format={FORMAT}")
    assert Replica.model_validate_json(answer.content).latest == 1
    answer = await api.get("/v1/replica")
    assert answer.status_code == 409
    said = Refusal.model_validate(answer.json()).error
    assert said == f"the asker is of an older version (it copies format 1, this is {FORMAT}): update it"


async def test_events(api: httpx.AsyncClient, controller: FakeController) -> None:
    controller.events.record(Kind.HEALTH, "web/b1", "down", "connection refused", Severity.WARNING)
    controller.events.record(Kind.HEALTH, "web/b1", "healthy", "status 200")
    listed = (await api.get("/v1/events")).json()
    assert listed[0] == {
        "number": 1,
        "time": NOW,
        "kind": "health",
        "severity": "warning",
        "subject": "web/b1",
        "text": "down",
        "cause": "connection refused",
    }
    assert [event["number"] for event in (await api.get("/v1/events?after=1")).json()] == [2]

    controller.events.close()  # so that the stream ends
    stream = (await api.get("/v1/events/stream")).text
    blocks = [block.split("\n") for block in stream.strip().split("\n\n")]
    assert [json.loads(next(line for line in b if line.startswith("data: "))[6:]) for b in blocks] == listed
    assert "id: 2" in blocks[1]
