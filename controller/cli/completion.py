"""What a shell offers behind Tab: the names that the running daemon knows.

The scripts themselves are Typer's (`sluice --install-completion`). A daemon that is not there, that is slow,
or that does not let us in offers nothing: completion must neither wait nor complain.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import typer

from controller.api.client import Client, Remote
from controller.api.schemas import PoolView, Status
from controller.cli.place import DEFAULT_SOCKET, SOCKET_VARIABLE, remote_of
from controller.report import BackendReport, VipReport
from controller.values import format_service

PATIENCE = 2.0
"""Seconds that a person waits for Tab."""

T = TypeVar("T")
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
    return [
        (vip.name, f"{format_service(vip.address, vip.port)}/{vip.protocol}")
        for vip in _ask(context, VipReport, "vips")
        if vip.name.startswith(incomplete)
    ]


def switches(context: typer.Context, incomplete: str) -> list[Offer]:
    found = [one for status in _answers(context, Status, "status") for one in status.switches]
    return [(one.name, one.address) for one in found if one.name.startswith(incomplete)]


def _backends_of(context: typer.Context) -> Iterator[BackendReport]:
    wanted = context.params.get("pool") or context.params.get("name")
    for pool in _pools(context):
        if pool.name == wanted:
            yield from pool.backends


def _pools(context: typer.Context) -> list[PoolView]:
    return _ask(context, PoolView, "pools")


def _ask(context: typer.Context, kind: type[T], what: str) -> list[T]:
    """All there are of a kind; none when that takes too long, or when anything at all is wrong."""
    return [one for all_of_them in _answers(context, list[kind], what) for one in all_of_them]


def _answers(context: typer.Context, kind: type[T], what: str) -> list[T]:
    """One, or none when that takes too long, or when anything at all is wrong.

    In a thread that may be left behind: looking a name up, for one, has no time limit of its own.
    """
    found: list[T] = []

    def ask() -> None:
        try:
            with Client(_place(context)) as daemon:
                found.append(daemon.get(kind, what))
        except Exception:
            pass  # what is wrong is told by the command itself; here it would stand in the middle of its line

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return [*found]


def _place(context: typer.Context) -> Path | Remote:
    """What the line so far names: behind the command, before it, or by the environment. Raises BadParameter
    for a server without a token."""
    before = context.find_root().params
    if is_on_the_line(context, "socket"):
        return context.params["socket"]
    if before.get("socket"):
        return before["socket"]
    if before.get("server"):
        return remote_of(before["server"], before.get("token_file"), before.get("ca_file"))
    return Path(os.environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET)


def is_on_the_line(context: typer.Context, parameter: str | None) -> bool:
    """Whether it was given there, and not by the environment or by default."""
    source = context.get_parameter_source(parameter) if parameter else None
    return source is not None and source.name == "COMMANDLINE"


def subjects(context: typer.Context, incomplete: str) -> list[Offer]:
    """Pools, and their backends as `pool/backend`."""
    found = [
        offer
        for pool in _pools(context)
        for offer in [(pool.name, "pool")]
        + [(f"{pool.name}/{backend.name}", backend.state) for backend in pool.backends]
    ]
    return [offer for offer in found if offer[0].startswith(incomplete)]
