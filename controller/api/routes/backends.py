"""`/v1/pools` and the backends in them."""

from time import time
from typing import Annotated

from fastapi import APIRouter, Body, Query

from controller import model
from controller.api.bodies import StrictRoute
from controller.api.conditions import Expected
from controller.api.document import CHANGE, refused
from controller.api.routes import changes
from controller.api.routes.present import fields
from controller.api.routes.requests import BackendName, DryRun, PoolName, TheController, User
from controller.api.schemas import BackendChange, Change, PoolView
from controller.controller import Controller
from controller.errors import InvalidConfig, Problem, UnknownName
from controller.model import Backend, Config
from controller.report import PoolReport

router = APIRouter(tags=["pools"], route_class=StrictRoute)

NEW = {
    "a backend with a port of its own": {
        "value": {"name": "b5", "address": "10.0.1.15", "port": 8080, "weight": 2}
    },
    "one that keeps the VIP's port": {"value": {"name": "b6", "address": "10.0.1.16"}},
}
VALUES = {
    "another weight": {"value": {"weight": 3}},
    "no new connections": {"value": {"state": "drain"}},
    "no new connections, and out in ten minutes": {
        "value": {"state": "drain", "deadline": {"after": "10m", "then": "cut"}}
    },
    "out at once, whatever breaks": {"value": {"state": "disabled"}},
}


@router.get("/pools", summary="List the pools")
async def list_pools(controller: TheController) -> list[PoolView]:
    """All pools with their backends."""
    return [_view(controller, pool) for pool in controller.report().pools]


@router.get("/pools/{pool}", summary="Show a pool", responses=refused(404, 422))
async def get_pool(controller: TheController, pool: PoolName) -> PoolView:
    """One pool with its backends: health, shares, counters."""
    controller.config.pool(pool)
    return next(_view(controller, report) for report in controller.report().pools if report.name == pool)


@router.post(
    "/pools/{pool}/backends", summary="Add a backend", status_code=201, responses=CHANGE | refused(404)
)
async def add_backend(
    controller: TheController,
    pool: PoolName,
    backend: Annotated[Backend, Body(openapi_examples=NEW)],  # type: ignore[arg-type]
    user: User,
    expected: Expected,
) -> Change:
    """Adds a backend. It gets connections once its health checks have passed."""
    return await changes.change(
        controller,
        f"backend {pool}/{backend.name} added",
        lambda config: model.add_backend(config, pool, backend),
        who=user,
        expected=expected,
    )


@router.patch("/pools/{pool}/backends/{backend}", summary="Change a backend", responses=CHANGE | refused(404))
async def change_backend(
    controller: TheController,
    pool: PoolName,
    backend: BackendName,
    values: Annotated[BackendChange, Body(openapi_examples=VALUES)],  # type: ignore[arg-type]
    user: User,
    expected: Expected,
) -> Change:
    """Changes a backend's weight or administrative state, or the deadline of its drain.

    A deadline is kept by the daemon: what it asks for is done whoever is there to see it. It goes when the
    drain is called off, or by `"deadline": null`.
    """
    changed = values.changed(time())
    what = ", ".join(f"{key} {'none' if value is None else value}" for key, value in changed.items())
    return await changes.change(
        controller,
        f"backend {pool}/{backend}: {what}",
        lambda config: model.change_backend(config, pool, backend, **changed),
        who=user,
        expected=expected,
    )


@router.delete(
    "/pools/{pool}/backends/{backend}", summary="Remove a backend", responses=CHANGE | refused(404)
)
async def remove_backend(
    controller: TheController,
    pool: PoolName,
    backend: BackendName,
    user: User,
    expected: Expected,
    force: Annotated[bool, Query(description="At once; this breaks its connections.")] = False,
) -> Change:
    """Removes a backend once its connections have ended; with `force` at once, which breaks them."""

    def edit(config: Config) -> Config:
        try:
            return model.remove_backend(config, pool, backend)
        except UnknownName:
            if not _is_leaving(controller, pool, backend):
                raise
            text = "is removed already, and still has connections: `sluice backend cut` breaks them"
            raise InvalidConfig([Problem(f"pools[{pool}].backends[{backend}]", text)]) from None

    return await changes.change(
        controller,
        f"backend {pool}/{backend} removed{' by force' if force else ''}",
        edit,
        who=user,
        expected=expected,
        drain=not force,
    )


@router.post(
    "/pools/{pool}/backends/{backend}/cut",
    summary="Cut off a removed backend",
    responses=CHANGE | refused(404),
)
async def cut_backend(
    controller: TheController,
    pool: PoolName,
    backend: BackendName,
    user: User,
    expected: Expected,
    dry_run: DryRun = False,
) -> Change:
    """Takes a backend out at once that was removed, and still has connections; they break.

    If nobody else of the pool is up, new connections are refused until somebody is. A backend that is
    configured is refused: it is disabled, or removed with `force`. A dry run changes nothing.
    """
    return await changes.cut_off(controller, pool, backend, who=user, expected=expected, dry_run=dry_run)


def _is_leaving(controller: Controller, pool: str, backend: str) -> bool:
    try:
        return bool(controller.leaving(pool, backend))
    except UnknownName:
        return False


def _view(controller: Controller, report: PoolReport) -> PoolView:
    pool = controller.config.pool(report.name)
    return PoolView(
        **fields(report),
        idle_timeout=pool.idle_timeout,
        drain_deadline=pool.drain_deadline,
        udp=pool.udp,
        slow_start=pool.slow_start,
        panic_below=pool.panic,
        tier_minimum=pool.tier_minimum,
        damping=pool.damping,
        passive=pool.passive,
        check=pool.health,
        vips=tuple(vip.name for vip in controller.config.vips_of(pool.name)),
    )
