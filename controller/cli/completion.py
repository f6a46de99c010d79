"""What a shell offers behind Tab: the names that the running daemon knows.

The scripts themselves are Typer's (`sluice --install-completion`). A daemon that is not there, or that is
slow, offers nothing: completion must neither wait nor complain.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import typer

from controller.api.client import Client, ClientError
from controller.api.schemas import PoolView
from controller.cli.place import DEFAULT_SOCKET, SOCKET_VARIABLE
from controller.report import BackendReport, VipReport
from controller.values import format_service

PATIENCE = httpx.Timeout(1.0)
"""Seconds that a person waits for Tab."""

Offer = tuple[str, str]
"""A name, and what is said beside it by shells that show that."""


def pools(context: typer.Context, incomplete: str) -> list[Offer]:
    return [
        (pool.name, f"{pool.mode}, {len(pool.backends)} backends")
        for pool in _pools(context)
        if pool.name.startswith(incomplete)
    ]


def backends(context: typer.Context, incomplete: str) -> list[Offer]:
    """Those of the pool that stands before."""
    return [
        (backend.name, f"{format_service(backend.address, backend.port)}, {backend.state}")
        for backend in _backends_of(context)
        if backend.name.startswith(incomplete)
    ]


def vips(context: typer.Context, incomplete: str) -> list[Offer]:
    with _daemon(context) as daemon:
        try:
            found = daemon.get(list[VipReport], "vips")
        except ClientError:
            return []
    return [
        (vip.name, f"{format_service(vip.address, vip.port)}/{vip.protocol}")
        for vip in found
        if vip.name.startswith(incomplete)
    ]


def _backends_of(context: typer.Context) -> Iterator[BackendReport]:
    wanted = context.params.get("pool") or context.params.get("name")
    for pool in _pools(context):
        if pool.name == wanted:
            yield from pool.backends


def _pools(context: typer.Context) -> list[PoolView]:
    with _daemon(context) as daemon:
        try:
            return daemon.get(list[PoolView], "pools")
        except ClientError:
            return []


def _daemon(context: typer.Context) -> Client:
    """At the socket that the line so far names: behind the command, before it, or by the environment."""
    behind, before = context.params.get("socket"), context.find_root().params.get("socket")
    if behind and str(behind) != os.environ.get(SOCKET_VARIABLE, str(DEFAULT_SOCKET)):
        return Client(Path(behind), timeout=PATIENCE)
    return Client(Path(before or os.environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET), timeout=PATIENCE)


def subjects(context: typer.Context, incomplete: str) -> list[Offer]:
    """Pools, and their backends as `pool/backend`."""
    found = [
        offer
        for pool in _pools(context)
        for offer in [(pool.name, "pool")]
        + [(f"{pool.name}/{backend.name}", backend.state) for backend in pool.backends]
    ]
    return [offer for offer in found if offer[0].startswith(incomplete)]
