"""The API's resources: status, configuration, pools and their backends, VIPs, drops, events.

Reading answers with what is. Changing (POST, PUT, PATCH, DELETE) waits for the switch, then answers a Change.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from controller import config as documents
from controller import model
from controller.api.schemas import USER_HEADER, BackendChange, Change, ConfigView, PoolView, Refusal, Status
from controller.controller import Controller
from controller.difference import Difference, differences
from controller.errors import InvalidConfig, Problem
from controller.events import Event
from controller.explanation import Explanation
from controller.model import Backend, Config, Vip
from controller.report import PoolReport, Traffic, VipReport
from controller.revision import Revision
from controller.trace import Flow
from controller.values import HostAddress

YAML = "application/yaml"

router = APIRouter(
    prefix="/v1",
    responses={"4XX": {"model": Refusal}, "5XX": {"model": Refusal}},
)


def _controller(request: Request) -> Controller:
    return request.app.state.controller


TheController = Annotated[Controller, Depends(_controller)]


def _user(quoted: Annotated[str, Header(alias=USER_HEADER, max_length=200)] = "api") -> str:
    return unquote(quoted)


Port = Annotated[int, Query(ge=1, le=65535)]
User = Annotated[str, Depends(_user)]


@router.get("/status")
async def status(controller: TheController) -> Status:
    """Everything that the controller knows about the present."""
    return Status(**_fields(controller.report()), changed=controller.revision)


@router.get("/drops")
async def drops(controller: TheController) -> dict[str, Traffic]:
    """Packets that the switch dropped, by reason."""
    return controller.report().drops


@router.get("/explain")
async def explain(
    controller: TheController,
    client: HostAddress,
    client_port: Port,
    address: HostAddress,
    port: Port,
    protocol: model.Protocol = model.Protocol.TCP,
    syn: bool = True,
    in_port: Annotated[int | None, Query(ge=1, le=model.LAST_SWITCH_PORT)] = None,
) -> Explanation:
    """Where a packet would go, and why: by the model, and by the switch. Nobody gets it."""
    if client.version != address.version:
        raise InvalidConfig([Problem("client", "and address must be of one IP version")])
    return await controller.explain(Flow(client, client_port, address, port, protocol, syn), in_port)


# The configuration


@router.get("/config", response_model=ConfigView, response_model_exclude_none=True)
async def get_config(
    controller: TheController, form: Annotated[Literal["json", "yaml"], Query(alias="format")] = "json"
) -> Any:
    """The configuration with its revision, or as a YAML document that can be put back."""
    if form == "yaml":
        return Response(documents.dump(controller.config), media_type=YAML)
    return ConfigView(revision=controller.revision, config=controller.config)


@router.put(
    "/config",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                YAML: {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": "object"}},
            },
        }
    },
)
async def put_config(
    request: Request,
    controller: TheController,
    user: User,
    source: Annotated[str, Query(max_length=1000)] = "",
    dry_run: bool = False,
    expected_revision: int | None = None,
) -> Change:
    """Replaces the whole configuration by a document: YAML, of which JSON is a part.

    `source` names the document in messages and in the history. A dry run stores and changes nothing.
    """
    body = await request.body()
    wanted = await asyncio.to_thread(documents.parse, body, source)
    what = f"{source or 'a document'} applied"
    return await _replace(controller, what, wanted, user, dry_run, expected_revision)


# What it was before


@router.get("/revisions")
async def revisions(controller: TheController) -> list[Revision]:
    """Every change of the configuration, oldest first."""
    return await controller.revisions()


@router.get("/revisions/{number}", response_class=Response)
async def revision(controller: TheController, number: int) -> Response:
    """The configuration of a revision, as a YAML document."""
    return Response(documents.dump(await controller.config_of(number)), media_type=YAML)


@router.get("/revisions/{number}/differences")
async def differences_since(
    controller: TheController, number: int, until: int | None = None
) -> list[Difference]:
    """What has changed since revision `number`, until the present or another revision."""
    before = await controller.config_of(number)
    after = controller.config if until is None else await controller.config_of(until)
    return list(differences(before, after))


@router.post("/revisions/{number}/restore")
async def restore(
    controller: TheController,
    number: int,
    user: User,
    dry_run: bool = False,
    expected_revision: int | None = None,
) -> Change:
    """Makes the configuration what it was at a revision: a new one, with the same contents."""
    wanted = await controller.config_of(number)
    return await _replace(controller, f"back to revision {number}", wanted, user, dry_run, expected_revision)


# Pools and backends


@router.get("/pools")
async def pools(controller: TheController) -> list[PoolView]:
    """All pools."""
    return [_view(controller, pool) for pool in controller.report().pools]


@router.get("/pools/{pool}")
async def pool(controller: TheController, pool: str) -> PoolView:
    """One pool with its backends: health, shares, counters."""
    controller.config.pool(pool)
    return next(_view(controller, report) for report in controller.report().pools if report.name == pool)


@router.post("/pools/{pool}/backends", status_code=201)
async def add_backend(controller: TheController, pool: str, backend: Backend, user: User) -> Change:
    """Adds a backend."""
    return await _change(
        controller,
        f"backend {pool}/{backend.name} added",
        lambda config: model.add_backend(config, pool, backend),
        who=user,
    )


@router.patch("/pools/{pool}/backends/{backend}")
async def change_backend(
    controller: TheController, pool: str, backend: str, values: BackendChange, user: User
) -> Change:
    """Changes a backend's weight or administrative state."""
    changed = values.model_dump(exclude_none=True)
    what = ", ".join(f"{key} {value}" for key, value in changed.items())
    return await _change(
        controller,
        f"backend {pool}/{backend}: {what}",
        lambda config: model.change_backend(config, pool, backend, **changed),
        who=user,
    )


@router.delete("/pools/{pool}/backends/{backend}")
async def remove_backend(
    controller: TheController, pool: str, backend: str, user: User, force: bool = False
) -> Change:
    """Removes a backend once its flows have ended; with `force` at once, which breaks them."""
    return await _change(
        controller,
        f"backend {pool}/{backend} removed{' by force' if force else ''}",
        lambda config: model.remove_backend(config, pool, backend),
        who=user,
        drain=not force,
    )


# VIPs


@router.get("/vips")
async def vips(controller: TheController) -> list[VipReport]:
    """All VIPs."""
    return list(controller.report().vips)


@router.get("/vips/{vip}")
async def vip(controller: TheController, vip: str) -> VipReport:
    """One VIP."""
    controller.config.vip(vip)
    return next(report for report in controller.report().vips if report.name == vip)


@router.post("/vips", status_code=201)
async def add_vip(controller: TheController, vip: Vip, user: User) -> Change:
    """Adds a VIP."""
    return await _change(
        controller, f"VIP {vip.name} added", lambda config: model.add_vip(config, vip), who=user
    )


@router.delete("/vips/{vip}")
async def remove_vip(controller: TheController, vip: str, user: User) -> Change:
    """Removes a VIP; its pool stays."""
    return await _change(
        controller, f"VIP {vip} removed", lambda config: model.remove_vip(config, vip), who=user
    )


# Events

After = Annotated[int, Query(ge=0, description="Only events with a larger number.")]


@router.get("/events")
async def events(controller: TheController, after: After = 0) -> list[Event]:
    """What happened, oldest first."""
    return controller.events.since(after)


@router.get("/events/stream", response_class=EventSourceResponse)
async def follow_events(controller: TheController, after: After = 0) -> AsyncIterator[ServerSentEvent]:
    """What happened and what happens from now on, as server-sent events."""
    async for event in controller.events.follow(after):
        yield ServerSentEvent(data=asdict(event), id=str(event.number), event=event.kind)


def _view(controller: Controller, report: PoolReport) -> PoolView:
    pool = controller.config.pool(report.name)
    return PoolView(
        **_fields(report),
        idle_timeout=pool.idle_timeout,
        drain_deadline=pool.drain_deadline,
        udp=pool.udp,
        slow_start=pool.slow_start,
        panic_below=pool.panic,
        tier_minimum=pool.tier_minimum,
        damping=pool.damping,
        check=pool.health,
        vips=tuple(vip.name for vip in controller.config.vips_of(pool.name)),
    )


def _fields(report: BaseModel) -> dict[str, Any]:
    """The parts of a report as they are, to make a larger one of them."""
    return {name: getattr(report, name) for name in type(report).model_fields}


def _recorded(
    edit: Callable[[Config], Config],
) -> tuple[Callable[[Config], Config], list[Difference]]:
    """`edit`, and the list that will hold what it changes."""
    found: list[Difference] = []

    def recording(before: Config) -> Config:
        after = edit(before)
        found[:] = differences(before, after)
        return after

    return recording, found


async def _replace(
    controller: Controller,
    what: str,
    wanted: Config,
    user: str,
    dry_run: bool,
    expected_revision: int | None,
) -> Change:
    """Makes the whole configuration another one, or says what that would change."""
    edit, found = _recorded(lambda _: wanted)
    if dry_run:
        result = await controller.rehearse(edit, expected_revision=expected_revision)
    else:
        result = await controller.change(what, edit, who=user, expected_revision=expected_revision)
    return Change(**asdict(result), differences=tuple(found))


async def _change(
    controller: Controller, what: str, edit: Callable[[Config], Config], *, who: str, drain: bool = True
) -> Change:
    recording, found = _recorded(edit)
    result = await controller.change(what, recording, who=who, drain=drain)
    return Change(**asdict(result), differences=tuple(found))
