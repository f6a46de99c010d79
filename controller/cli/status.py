"""`sluice status` and `sluice drops`: the whole at a glance, and what was thrown away."""

from collections import Counter

import typer
from rich.text import Text

from controller.api.schemas import Status
from controller.cli.options import Format, Output, Socket, Watch, session
from controller.cli.output import count, line, moment, print_table, size
from controller.cli.place import DEFAULT_SOCKET
from controller.cli.pools import healthy
from controller.cli.vips import service
from controller.cli.watch import present
from controller.report import NeighborReport, Report, Role, SwitchReport, Traffic, is_overdue, way_out


def status(output: Output = Format.TABLE, watch: Watch = False, socket: Socket = DEFAULT_SOCKET) -> None:
    """Show the switch, the VIPs, and what needs attention."""
    with session(socket) as daemon:
        present(lambda: daemon.get(Status, "status"), output, _print_status, watch)


def drops(output: Output = Format.TABLE, watch: Watch = False, socket: Socket = DEFAULT_SOCKET) -> None:
    """Show how many packets were dropped, and why.

    The reasons are those of the P4 program, see p4src/fates.p4. Those that never occurred are left out.
    """
    with session(socket) as daemon:
        present(lambda: daemon.get(dict[str, Traffic], "drops"), output, _print_drops, watch)


def _print_status(status: Status) -> None:
    switches = status.switches or (status.switch,)
    print_table(
        ("", ""),
        [
            *((f"switch {one.name}".rstrip(), _switch(one)) for one in switches),
            (
                "revision",
                f"{status.revision}, {moment(status.changed.time)}, "
                f"by {status.changed.who}: {status.changed.what}",
            ),
            ("neighbors", _neighbors(status)),
        ],
        header=False,
    )
    if status.vips:
        line("")
        _print_vips(status)
    attention = _attention(status)
    if attention:
        line("")
        line("needs attention", "bold")
        for text in attention:
            line(f"  {text}", "yellow")


def _switch(switch: SwitchReport) -> Text:
    place = f"{switch.address}, device {switch.device_id}: "
    if not switch.connected:
        return Text(place).append("not connected", "red")
    if switch.role is Role.STANDBY:
        return Text(place).append("this controller stands by, its peer is active", "green")
    words = [
        "connected",
        "primary" if switch.primary else "another controller is primary",
        "in step" if switch.synchronized else "not yet in step",
    ]
    well = switch.primary and switch.synchronized
    return Text(place).append(", ".join(words), "green" if well else "yellow")


def _print_vips(status: Status) -> None:
    pools = {pool.name: pool for pool in status.pools}
    print_table(
        ("VIP", "SERVICE", "POOL", ">HEALTHY", ">MOVING", ">PACKETS", ">BYTES"),
        [
            (
                vip.name,
                service(vip),
                vip.pool,
                healthy(pools[vip.pool]),
                str(pools[vip.pool].moving),
                count(vip.packets),
                size(vip.bytes),
            )
            for vip in status.vips
        ],
    )


def _neighbors(status: Report) -> str:
    states = Counter(neighbor.state for neighbor in status.neighbors)
    return ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "none"


def _attention(status: Status) -> list[str]:
    switches = status.switches or (status.switch,)
    found = [f"{f'switch {one.name}'.rstrip()}: {one.error}" for one in switches if one.error]
    if status.held_up:
        found.append(f"switch {', '.join(status.away)}: {status.held_up}: {way_out(status.away)}")
    used = {vip.pool for vip in status.vips}
    for pool in status.pools:
        if pool.name in used and not any(backend.buckets for backend in pool.backends):
            found.append(f"{pool.name}: nobody serves, new connections are refused")
        for backend in pool.backends:
            if backend.health == "down":
                found.append(f"{pool.name}/{backend.name} is down: {backend.reason}")
            elif backend.held_back:
                found.append(f"{pool.name}/{backend.name} goes up and down, and is held back")
            elif backend.ejected is not None:
                found.append(f"{pool.name}/{backend.name} is ejected: {backend.ejected_for}")
            elif backend.signal:
                found.append(f"{pool.name}/{backend.name} is {backend.signal} to its clients")
            if is_overdue(backend, status.time):
                found.append(f"{pool.name}/{backend.name} still has flows at the deadline of its drain")
        if pool.standing_in:
            found.append(f"{pool.name}: {pool.standing_in}")
        if pool.panic:
            found.append(f"{pool.name} is in panic: too few are healthy, all backends serve")
        elif pool.tier > min((backend.tier for backend in pool.backends), default=0):
            found.append(
                f"{pool.name}: backends of tier {pool.tier} serve, too few of the lower ones are healthy"
            )
        if pool.unmoved:
            found.append(f"{pool.name}: {pool.unmoved} connections found no room to move")
    for neighbor in status.neighbors:
        if neighbor.state == "failed":
            found.append(f"neighbor {neighbor.address} ({_where(neighbor)}) does not answer")
    return found


def _where(neighbor: NeighborReport) -> str:
    return f"{neighbor.interface} of switch {neighbor.switch}" if neighbor.switch else neighbor.interface


def _print_drops(drops: dict[str, Traffic]) -> None:
    seen = sorted(drops.items(), key=lambda item: -item[1].packets)
    rows = [(reason, count(t.packets), size(t.bytes)) for reason, t in seen if t.packets]
    if rows:
        print_table(("REASON", ">PACKETS", ">BYTES"), rows)
    else:
        line("no packet was dropped")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice status -o json")(status)
    app.command(epilog="Example: sluice drops")(drops)
