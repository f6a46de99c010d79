"""Changes for one revision only, and many writers at once: nothing of what one did is lost by another."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from controller.api.app import create_app
from controller.api.schemas import Refusal
from controller.config import parse
from controller.controller import Controller
from controller.daemon import P4INFO, PIPELINE
from controller.store import SqliteStore
from controller.wire import SwitchTarget
from tests.fakes.controller import DOCUMENT, FakeController

WRITERS, TURNS = 8, 5

BACKEND = "/v1/pools/web/backends/b1"
CHANGES = [
    ("PUT", "/v1/config", {"content": DOCUMENT}),
    ("POST", "/v1/revisions/1/restore", {}),
    ("POST", "/v1/pools/web/backends", {"json": {"name": "b5", "address": "10.0.1.15"}}),
    ("PATCH", BACKEND, {"json": {"weight": 7}}),
    ("DELETE", BACKEND, {}),
    ("POST", "/v1/vips", {"json": {"name": "x", "address": "fd00::101", "port": 53, "pool": "dns"}}),
    ("DELETE", "/v1/vips/dns", {}),
]


@pytest.fixture
async def real() -> AsyncIterator[httpx.AsyncClient]:
    """With the real controller and store, and no switch."""
    store = SqliteStore(":memory:")
    target = SwitchTarget("127.0.0.1:1")
    controller = Controller(parse(DOCUMENT), store, target=target, p4info=P4INFO, pipeline=PIPELINE)
    transport = httpx.ASGITransport(create_app(controller))
    async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as client:
        yield client
    store.close()


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_every_change_may_be_for_one_revision(
    api: httpx.AsyncClient, controller: FakeController, method: str, path: str, body: dict
) -> None:
    await api.patch("/v1/pools/web/backends/b2", json={"weight": 8})  # somebody was quicker
    before = controller.config
    late = await api.request(method, path, headers={"If-Match": '"1"'}, **body)
    assert late.status_code == 412
    refusal = Refusal.model_validate(late.json())
    assert refusal.where == "If-Match"
    assert "at revision 2" in refusal.error and "for revision 1" in refusal.error
    late = await api.request(method, path, params={"expected_revision": 1}, **body)
    assert (late.status_code, late.json()["where"]) == (409, "expected_revision")
    assert controller.config is before
    tag = (await api.get("/v1/config")).headers["etag"]
    assert tag == '"2"'
    assert (await api.request(method, path, headers={"If-Match": tag}, **body)).is_success


@pytest.mark.parametrize("given", ["2", 'W/"1"', '"1", "2"', '""', '"x"', "", '"99999999999999999999"'])
async def test_what_is_no_condition(api: httpx.AsyncClient, controller: FakeController, given: str) -> None:
    answer = await api.patch(BACKEND, json={"weight": 7}, headers={"If-Match": given})
    assert answer.status_code == 422
    refusal = Refusal.model_validate(answer.json())
    assert (refusal.where, refusal.error) == (
        "If-Match",
        f'is {given!r}, must be one revision in quotes, such as "7", or *',
    )
    assert controller.changes == []


async def test_two_conditions_must_agree(api: httpx.AsyncClient, controller: FakeController) -> None:
    answer = await api.patch(
        BACKEND, json={"weight": 7}, headers={"If-Match": '"1"'}, params={"expected_revision": 2}
    )
    assert (answer.status_code, answer.json()["where"]) == (422, "expected_revision")
    answer = await api.patch(
        BACKEND, json={"weight": 7}, headers={"If-Match": "*"}, params={"expected_revision": 1}
    )
    assert answer.status_code == 200


async def test_no_update_is_lost_among_many_writers(real: httpx.AsyncClient) -> None:
    """Each adds one to a weight, many times: reads it, and writes it for the revision that it has read."""
    conflicts = 0

    async def writer() -> None:
        nonlocal conflicts
        done = 0
        while done < TURNS:
            view = await real.get("/v1/config")
            weight = view.json()["config"]["pools"][0]["backends"][0]["weight"]
            await asyncio.sleep(0)
            answer = await real.patch(
                BACKEND, json={"weight": weight + 1}, headers={"If-Match": view.headers["etag"]}
            )
            done += answer.is_success
            conflicts += answer.status_code == 412

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    pool = (await real.get("/v1/pools/web")).json()
    assert pool["backends"][0]["weight"] == 1 + WRITERS * TURNS
    assert len((await real.get("/v1/revisions")).json()) == 1 + WRITERS * TURNS
    assert conflicts > 0
