"""`sluice explain`: where a packet would go, and why."""

from typing import Annotated

import typer

from controller.cli import completion
from controller.cli.options import Format, Output, Socket, Watch, address_and_port, session
from controller.cli.output import line
from controller.cli.place import DEFAULT_SOCKET
from controller.cli.watch import present
from controller.explanation import Explanation, ending
from controller.model import Protocol


def explain(
    client: Annotated[
        str, typer.Argument(metavar="CLIENT:PORT", show_default=False, help="Where the packet comes from.")
    ],
    service: Annotated[
        str, typer.Argument(metavar="ADDRESS:PORT", show_default=False, help="Where it is addressed to.")
    ],
    protocol: Annotated[Protocol, typer.Option(help="Transport protocol.")] = Protocol.TCP,
    syn: Annotated[
        bool, typer.Option("--syn/--established", help="TCP: a flow's first packet, or a later one.")
    ] = True,
    in_port: Annotated[
        int | None,
        typer.Option(
            "--in-port", min=1, max=510, show_default=False, help="The switch's port, if not by the route."
        ),
    ] = None,
    switch: Annotated[
        str | None,
        typer.Option(
            "--switch",
            metavar="NAME",
            show_default=False,
            help="Which of several switches it comes to, if not the first.",
            autocompletion=completion.switches,
        ),
    ] = None,
    output: Output = Format.TABLE,
    watch: Watch = False,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show where a packet would go, and why.

    The controller says what should happen, by what it has decided. Then the switch is asked with a traced
    packet, which nobody gets and which changes nothing. Differences between the two are shown.
    """
    (source, source_port), (address, port) = _end(client), _end(service)
    query = {
        "client": source,
        "client_port": source_port,
        "address": address,
        "port": port,
        "protocol": protocol,
        "syn": syn,
    }
    if in_port is not None:
        query["in_port"] = in_port
    if switch is not None:
        query["switch"] = switch
    with session(socket) as daemon:
        present(lambda: daemon.get(Explanation, "explain", **query), output, _print, watch)


def _end(text: str) -> tuple[str, int]:
    host, port = address_and_port(text)
    if port is None:
        raise typer.BadParameter(f"{text!r} has no port, write it as in 10.0.0.100:80 or [fd00::100]:80")
    return host, port


def _print(found: Explanation) -> None:
    at = f" of switch {found.at}" if found.at else ""
    line(f"{found.packet}, into port {found.in_port}{at}", "bold")
    for number, step in enumerate(found.steps):
        line(f"  {'-> ' if number else '   '}{step}")
    for note in found.notes:
        line(f"note: {note}")
    if found.switch is None:
        line(f"not confirmed, this is the model alone: {found.unconfirmed}", "yellow")
    elif not found.differences:
        backend = f"{found.switch.backend}, " if found.switch.backend else ""
        line(f"the switch says: {backend}{ending(found.switch)}", "green")
    else:
        line(f"THE SWITCH DIFFERS: {ending(found.switch)}", "red")
        for difference in found.differences:
            line(f"  {difference}", "red")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice explain 10.0.0.11:40000 10.0.0.100:80 --established")(explain)
