"""`sluice vip ...`"""

from collections.abc import Sequence
from typing import Annotated

import typer

from controller.cli import completion
from controller.cli.changes import report
from controller.cli.options import (
    Format,
    NewName,
    Output,
    Socket,
    VipName,
    Watch,
    address_and_port,
    group,
    session,
)
from controller.cli.output import count, line, print_table, size
from controller.cli.place import DEFAULT_SOCKET
from controller.cli.watch import present
from controller.model import Protocol
from controller.report import VipReport
from controller.values import format_service

app = group("The addresses that clients use.")


@app.command("list", epilog="Example: sluice vip list")
def list_(output: Output = Format.TABLE, watch: Watch = False, socket: Socket = DEFAULT_SOCKET) -> None:
    """List the VIPs with their traffic."""
    with session(socket) as daemon:
        present(lambda: daemon.get(list[VipReport], "vips"), output, print_vips, watch)


@app.command("show", epilog="Example: sluice vip show web -o json")
def show_(
    name: VipName, output: Output = Format.TABLE, watch: Watch = False, socket: Socket = DEFAULT_SOCKET
) -> None:
    """Show one VIP."""
    with session(socket) as daemon:
        present(lambda: daemon.get(VipReport, "vips", name), output, _print_vip, watch)


@app.command(epilog="Example: sluice vip add shop 10.0.0.101:443 web")
def add(
    name: NewName,
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS:PORT", show_default=False, help="What clients use.")
    ],
    pool: Annotated[
        str,
        typer.Argument(
            metavar="POOL", show_default=False, help="Who serves it.", autocompletion=completion.pools
        ),
    ],
    protocol: Annotated[Protocol, typer.Option(help="Transport protocol.")] = Protocol.TCP,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Add a VIP."""
    host, port = address_and_port(address)
    if port is None:
        raise typer.BadParameter(f"{address!r} has no port, write it as in 10.0.0.100:80 or [fd00::100]:80")
    body = {"name": name, "address": host, "port": port, "protocol": protocol, "pool": pool}
    with session(socket) as daemon:
        report(daemon.post("vips", body=body), f"VIP {name} added", output)


@app.command(epilog="Example: sluice vip remove shop")
def remove(name: VipName, output: Output = Format.TABLE, socket: Socket = DEFAULT_SOCKET) -> None:
    """Remove a VIP. Its pool stays; its clients get no answer any more."""
    with session(socket) as daemon:
        report(daemon.delete("vips", name), f"VIP {name} removed", output)


def service(vip: VipReport) -> str:
    """`10.0.0.100:80/tcp`, `[fd00::100]:53/udp`."""
    return f"{format_service(vip.address, vip.port)}/{vip.protocol}"


def print_vips(vips: Sequence[VipReport]) -> None:
    print_table(
        ("VIP", "SERVICE", "POOL", ">PACKETS", ">BYTES"),
        [(vip.name, service(vip), vip.pool, count(vip.packets), size(vip.bytes)) for vip in vips],
    )


def _print_vip(vip: VipReport) -> None:
    line(f"VIP {vip.name}: {service(vip)}, served by pool {vip.pool}")
    line(f"{count(vip.packets)} packets, {size(vip.bytes)} from clients")
