"""`sluice pool ...`"""

from collections.abc import Sequence
from time import time

from rich.text import Text

from controller.api.schemas import PoolView
from controller.cli.options import Format, Output, PoolName, Socket, Watch, group, session
from controller.cli.output import count, line, moment, percent, print_table, roughly
from controller.cli.place import DEFAULT_SOCKET
from controller.cli.watch import present
from controller.health.settings import ExecCheck, HttpCheck, HttpsCheck, NoCheck, Reaction
from controller.model import AtDeadline
from controller.report import BackendReport, PoolReport
from controller.values import format_duration, format_service, format_share

app = group("The sets of backends behind VIPs.")

STYLES = {
    "healthy": "green",
    "down": "red",
    "unknown": "yellow",
    "active": "",
    "drain": "yellow",
    "removing": "yellow",
    "disabled": "dim",
}


THEN = {AtDeadline.KEEP: "kept", AtDeadline.CUT: "cut", None: ""}
"""What becomes of the flows that are left at a deadline."""


@app.command("list", epilog="Example: sluice pool list")
def list_(output: Output = Format.TABLE, watch: Watch = False, socket: Socket = DEFAULT_SOCKET) -> None:
    """List the pools."""
    with session(socket) as daemon:
        present(lambda: daemon.get(list[PoolView], "pools"), output, _print_pools, watch)


@app.command("show", epilog="Example: sluice pool show web")
def show_(
    name: PoolName, output: Output = Format.TABLE, watch: Watch = False, socket: Socket = DEFAULT_SOCKET
) -> None:
    """Show a pool's backends: health, weight, share of the buckets, traffic.

    A backend's share is the part of the pool's buckets that it has, which is the part of new connections that
    it gets. OLD counts buckets that it only still has for connections that began before they moved.
    CONNS counts connections (TCP SYNs) sent to it. A suspect backend does not answer the switch's probes: new
    connections go to others until it does, or until its checks fail. A silent or refusing one accepts none of
    its clients' connections; if the pool says so, it is ejected: it gets no new ones for a while.
    """
    with session(socket) as daemon:
        present(lambda: daemon.get(PoolView, "pools", name), output, _print_pool, watch)


def _print_pools(pools: Sequence[PoolView]) -> None:
    print_table(
        ("POOL", "MODE", "VIPS", ">BUCKETS", ">MOVING", ">HEALTHY", "CHECK"),
        [
            (
                pool.name,
                pool.mode,
                ", ".join(pool.vips) or "none",
                str(pool.buckets),
                str(pool.moving),
                healthy(pool),
                _check(pool),
            )
            for pool in pools
        ],
    )


def _print_pool(pool: PoolView) -> None:
    line(f"pool {pool.name}: {pool.mode}, {pool.buckets} buckets, {pool.moving} of them moving", "bold")
    line(f"VIPs {', '.join(pool.vips) or 'none'}; {_check(pool, full=True)}")
    if policy := _policy(pool):
        line(policy)
    if pool.panic:
        line("in panic: too few are healthy to believe the checks, all backends serve", "red")
    if pool.standing_in:
        line(pool.standing_in, "yellow")
    if pool.unmoved:
        line(f"{count(pool.unmoved)} connections found no room to move", "yellow")
    if not pool.backends:
        line("no backends; add one with `sluice backend add`")
        return
    line("")
    tiers = any(backend.tier for backend in pool.backends)
    print_table(
        ("BACKEND", "ADDRESS", *["TIER"] * tiers, "STATE", "HEALTH", ">WEIGHT", ">CONNS", ">PACKETS"),
        [
            (
                backend.name,
                format_service(backend.address, backend.port),
                *[_tier(backend, pool)] * tiers,
                state_of(backend),
                health_of(backend),
                str(backend.weight),
                count(backend.syns),
                count(backend.packets),
            )
            for backend in pool.backends
        ],
    )
    line("")
    print_table(
        ("BACKEND", ">SHARE", ">WANTED", ">BUCKETS", ">WANTED", ">OLD"),
        [
            (
                backend.name,
                percent(backend.share),
                percent(backend.share_wanted),
                str(backend.buckets),
                str(backend.buckets_wanted),
                str(backend.previous_buckets),
            )
            for backend in pool.backends
        ],
    )
    remarks = [
        (f"{backend.name} is {backend.health}: {backend.reason}", STYLES[backend.health])
        for backend in pool.backends
        if backend.health != "healthy" and backend.reason
    ] + [
        (
            f"the underlay says: the tunnel to {backend.name} carries {backend.path_mtu} bytes",
            "yellow",
        )
        for backend in pool.backends
        if backend.path_mtu is not None
    ]
    remarks += [
        (f"{one.name} drains until {moment(one.deadline)}; what is left then is {THEN[one.at_deadline]}", "")
        for one in pool.backends
        if one.deadline is not None
    ]
    remarks += [
        (f"{one.name} goes up and down, and is held back: its penalty is {one.penalty:.1f}", "yellow")
        for one in pool.backends
        if one.held_back
    ]
    remarks += [(text, "yellow") for one in pool.backends if (text := _failing(one))]
    if remarks:
        line("")
    for text, style in remarks:
        line(text, style)


def healthy(pool: PoolReport) -> Text:
    """How many of the backends are, `3 of 4`, without those that are on their way out."""
    staying = [backend for backend in pool.backends if backend.state != "removing"]
    fit = sum(backend.health == "healthy" for backend in staying)
    return Text(f"{fit} of {len(staying)}", "" if fit == len(staying) else "red")


def health_of(backend: BackendReport) -> Text:
    """`healthy`, or `healthy, suspect` while the switch hears no answers to its probes."""
    text = Text(backend.health, STYLES[backend.health])
    if backend.held_back:
        text.append(", held back", "yellow")
    if backend.ejected is not None:
        text.append(", ejected", "yellow")
    elif backend.signal:
        text.append(f", {backend.signal}", "yellow")
    return text.append(", suspect", "yellow") if backend.suspect else text


def _failing(backend: BackendReport) -> str:
    """How it fails its clients, "" if it does not."""
    if backend.ejected is not None:
        left = format_duration(max(0, round(backend.ejected - time())))
        return f"{backend.name} gets no new connections for {left} more: {backend.ejected_for}"
    return f"{backend.name} is {backend.signal} to its clients" if backend.signal else ""


def _tier(backend: BackendReport, pool: PoolView) -> str:
    """`1`, or `1, waits` while it is not needed."""
    waits = backend.tier > pool.tier and not pool.panic
    return f"{backend.tier}{', waits' if waits else ''}"


def state_of(backend: BackendReport) -> Text:
    """`active`, `drain, empty` when its connections have ended, `active, 40%` in its slow start.

    A drain that has a deadline: `drain, 9m` until then, `drain, overdue`. `drain, still serves` while nobody
    is up who is to.
    """
    text = Text(backend.state, STYLES[backend.state])
    if backend.stands_in:
        text.append(", still serves", "yellow")
    elif backend.drained and backend.state != "active":
        text.append(", empty")
    elif backend.deadline is not None:
        left = backend.deadline - time()
        text.append(f", {roughly(left)}" if left > 0 else ", overdue")
    return text if backend.slow_start == 1 else text.append(f", {format_share(backend.slow_start)}", "yellow")


def _policy(pool: PoolView) -> str:
    """How backends come and go, as far as it is not by their verdicts alone."""
    said = []
    if pool.slow_start:
        said.append(f"slow start {format_duration(pool.slow_start)}")
    if pool.panic_below:
        said.append(f"panic below {format_share(pool.panic_below)} healthy")
    if any(backend.tier for backend in pool.backends):
        said.append(f"tiers join below {pool.tier_minimum} healthy")
    if damping := pool.damping:
        half_life = format_duration(damping.half_life)
        said.append(f"damping from {damping.suppress:g} to {damping.reuse:g}, half-life {half_life}")
    said += [f"{kind} backends are ejected" for kind in ("silent", "refusing") if _ejects(pool, kind)]
    return "; ".join(said)


def _ejects(pool: PoolView, kind: str) -> bool:
    return getattr(pool.passive, kind) is Reaction.EJECT


def _check(pool: PoolView, full: bool = False) -> str:
    """`http /healthz every 1s`."""
    match pool.check:
        case NoCheck():
            return "no checks"
        case (HttpCheck() | HttpsCheck()) as check:
            method = f"{check.method} " if check.method != "GET" else ""
            what = f"{check.type} {method}{check.path}"
        case ExecCheck(command=command):
            what = f"exec {command[0]}"
        case check:
            what = check.type
    every = f"{what} every {format_duration(pool.check.interval)}"
    if not full:
        return every
    return f"checks: {every}, rise {pool.check.rise}, fall {pool.check.fall}"
