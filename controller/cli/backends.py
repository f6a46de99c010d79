"""`sluice backend ...`"""

from typing import Annotated, Any

import typer

from controller.cli import drain
from controller.cli.changes import report, report_deed, report_trial
from controller.cli.options import (
    BackendName,
    DryRun,
    Format,
    NewName,
    Output,
    PoolName,
    Socket,
    address_and_port,
    group,
    session,
)
from controller.cli.place import DEFAULT_SOCKET
from controller.model import LAST_TIER, MAX_WEIGHT, State

app = group("The servers of a pool.")

Weight = Annotated[
    int, typer.Option(min=0, max=MAX_WEIGHT, help="New connections in relation to the others.")
]


@app.command(epilog="Example: sluice backend add web b5 10.0.1.15:8080 --weight 2")
def add(
    pool: PoolName,
    name: NewName,
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS[:PORT]",
            show_default=False,
            help="Where it serves; without a port, on the VIP's.",
        ),
    ],
    weight: Weight = 1,
    tier: Annotated[
        int, typer.Option(min=0, max=LAST_TIER, help="Above 0: it serves when too few of the lower ones can.")
    ] = 0,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Add a backend to a pool. It gets connections once its health checks have passed."""
    host, port = address_and_port(address)
    body = {"name": name, "address": host, "port": port, "weight": weight, "tier": tier}
    with session(socket) as daemon:
        change = daemon.post("pools", pool, "backends", body=body)
    waits = "" if change.moved_buckets else " yet: it gets connections once its health checks have passed"
    report(change, f"{pool}/{name} added", output, waits)


@app.command(epilog="Example: sluice backend remove web b5")
def remove(
    pool: PoolName,
    name: BackendName,
    force: Annotated[bool, typer.Option("--force", help="At once; this breaks its connections.")] = False,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Remove a backend from a pool.

    It gets no new connections from now on, or from when another one is up that is to get them. Those that it
    has go on; when they have ended, it goes. Until then its state is `removing`, and `cut` takes it out at
    once.
    """
    with session(socket) as daemon:
        change = daemon.delete("pools", pool, "backends", name, force=force)
    report(change, f"{pool}/{name} removed" + (" by force" if force else ""), output)


@app.command(epilog="Example: sluice backend cut web b5 --dry-run")
def cut(
    pool: PoolName,
    name: BackendName,
    dry_run: DryRun = False,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Cut off a backend that was removed, and is still `removing`. This breaks its connections.

    It leaves at once, also while it serves in the place of others (`removing, still serves`): if none of
    those is up, new connections are refused until one is. This is for a server that must not serve any
    longer, such as one that was broken into. One that is configured is taken out by `disable`, or by
    `remove --force`.
    """
    with session(socket) as daemon:
        change = daemon.post("pools", pool, "backends", name, "cut", dry_run=dry_run)
    if dry_run:
        report_trial(change, output)
    else:
        report_deed(change, f"{pool}/{name} cut off", output)


drain.register(app)


@app.command(epilog="Example: sluice backend enable web b5")
def enable(
    pool: PoolName, name: BackendName, output: Output = Format.TABLE, socket: Socket = DEFAULT_SOCKET
) -> None:
    """Give a backend that was drained or disabled its share again."""
    _set(pool, name, socket, output, f"{pool}/{name} enabled", state=State.ACTIVE)


@app.command(epilog="Example: sluice backend disable web b5")
def disable(
    pool: PoolName, name: BackendName, output: Output = Format.TABLE, socket: Socket = DEFAULT_SOCKET
) -> None:
    """Take a backend out at once. This breaks its connections; `drain` does not."""
    _set(pool, name, socket, output, f"{pool}/{name} disabled", state=State.DISABLED)


@app.command(epilog="Example: sluice backend weight web b5 3")
def weight(
    pool: PoolName,
    name: BackendName,
    number: Annotated[
        int,
        typer.Argument(
            metavar="N",
            min=0,
            max=MAX_WEIGHT,
            show_default=False,
            help="Its new connections in relation to the others'; 0 for none.",
        ),
    ],
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Set a backend's weight. Connections that exist stay where they are."""
    _set(pool, name, socket, output, f"weight of {pool}/{name} is {number}", weight=number)


def _set(pool: str, name: str, socket: Any, output: Format, what: str, **values: Any) -> None:
    with session(socket) as daemon:
        report(daemon.patch("pools", pool, "backends", name, body=values), what, output)
