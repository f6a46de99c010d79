"""What `sluice top` draws: the switch, the VIPs, the backends, from two looks at the daemon's report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from controller.api.schemas import Status
from controller.cli.output import count, moment, percent, size
from controller.cli.pools import health_of, healthy, state_of
from controller.cli.vips import service
from controller.report import BackendReport, PoolReport, Recorded, SwitchReport, VipReport

NARROW = 72
"""Columns below which only what is asked first is shown."""


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to see at a moment."""

    status: Status
    recorded: Recorded | None


@dataclass(frozen=True, slots=True)
class Rates:
    """Of what was counted between two looks; `seconds` is 0 while there is one alone."""

    seconds: float

    def of(self, before: int | None, now: int) -> str:
        """A second; "" when that cannot be said, since counting has begun anew."""
        if before is None or before > now or self.seconds <= 0:
            return ""
        rate = (now - before) / self.seconds
        return f"{rate:.1f}" if 0 < rate < 10 else count(round(rate))

    def of_bytes(self, before: int | None, now: int) -> str:
        if before is None or before > now or self.seconds <= 0:
            return ""
        return size(round((now - before) / self.seconds))


def draw(looks: Sequence[Look], pool: str | None, width: int) -> RenderableType:
    """The whole screen; rates are those between the first and the last of `looks`."""
    first, last = looks[0].status, looks[-1].status
    rates = Rates(last.counted - first.counted)
    wide = width >= NARROW
    return Group(
        _head(looks, rates),
        *([Text(""), _switches(first, last, rates, wide)] if last.switches else []),
        Text(""),
        _vips(first, last, pool, rates, wide),
        Text(""),
        _backends(first, last, pool, rates, wide),
    )


def _head(looks: Sequence[Look], rates: Rates) -> Text:
    first, last, recorded = looks[0].status, looks[-1].status, looks[-1].recorded
    switch = last.switch
    well = switch.connected and switch.primary and switch.synchronized
    state = "in step" if well else switch.error or "not in step"
    text = Text(f"{moment(last.time)}  revision {last.revision}  switch ").append(
        state, "green" if well else "red"
    )
    dropped = [sum(traffic.packets for traffic in one.drops.values()) for one in (first, last)]
    moving = sum(pool.moving for pool in last.pools)
    suspects = sum(backend.suspect for pool in last.pools for backend in pool.backends)
    text.append(f"\nmoving {moving} buckets")
    text.append(f"  suspect {suspects}", "yellow" if suspects else "")
    text.append(f"  dropped {rates.of(*dropped) or '?'}/s")
    text.append(f"  recorded flows {f'{recorded.used} of {recorded.room}' if recorded else 'not told'}")
    return text


def _switches(first: Status, last: Status, rates: Rates, wide: bool) -> Table:
    """What upstream routers give to each."""
    before = {one.name: one for one in first.switches}
    titles = ["SWITCH", "STATE", ">SUSPECT", ">DROPPED/s", ">PACKETS/s", ">BYTES/s"]

    def cells(one: SwitchReport) -> list[str | Text]:
        was = before.get(one.name)
        well = one.connected and one.primary and one.synchronized
        state = "not in step" if one.connected else "not connected"
        return [
            one.name,
            Text("in step", "green") if well else Text(state, "red"),
            str(one.suspects),
            rates.of(was.dropped if was else None, one.dropped),
            rates.of(was.packets if was else None, one.packets),
            rates.of_bytes(was.bytes if was else None, one.bytes),
        ]

    return _table(titles, map(cells, last.switches), None if wide else {"SWITCH", "STATE", "PACKETS/s"})


def _vips(first: Status, last: Status, pool: str | None, rates: Rates, wide: bool) -> Table:
    before, pools = {vip.name: vip for vip in first.vips}, {one.name: one for one in last.pools}
    shown = [vip for vip in last.vips if pool in (None, vip.pool)]
    titles = ["VIP", "SERVICE", "HEALTHY", ">MOVING", ">PACKETS/s", ">BYTES/s"]

    def cells(vip: VipReport) -> list[str | Text]:
        was, of = before.get(vip.name), pools[vip.pool]
        return [
            vip.name,
            service(vip),
            healthy(of),
            str(of.moving),
            rates.of(was.packets if was else None, vip.packets),
            rates.of_bytes(was.bytes if was else None, vip.bytes),
        ]

    return _table(titles, map(cells, shown), None if wide else {"VIP", "HEALTHY", "PACKETS/s"})


def _backends(first: Status, last: Status, pool: str | None, rates: Rates, wide: bool) -> Table:
    """Who needs attention comes first, then who has most packets."""
    before = {(of.name, backend.name, backend.id): backend for of in first.pools for backend in of.backends}
    titles = ["BACKEND", "STATE", "HEALTH", ">SHARE", ">OLD", ">CONNS/s", ">PACKETS/s", ">BYTES/s"]

    def packets_since(pair: tuple[PoolReport, BackendReport]) -> tuple[bool, int]:
        of, backend = pair
        was = before.get((of.name, backend.name, backend.id))
        bad = backend.health == "down" or backend.suspect
        return not bad, -(backend.packets - was.packets if was else 0)

    def cells(pair: tuple[PoolReport, BackendReport]) -> list[str | Text]:
        of, backend = pair
        was = before.get((of.name, backend.name, backend.id))
        return [
            f"{of.name}/{backend.name}",
            state_of(backend),
            health_of(backend),
            percent(backend.share),
            str(backend.previous_buckets),
            rates.of(was.syns if was else None, backend.syns),
            rates.of(was.packets if was else None, backend.packets),
            rates.of_bytes(was.bytes if was else None, backend.bytes),
        ]

    shown = sorted(_pairs(last, pool), key=packets_since)
    return _table(titles, map(cells, shown), None if wide else {"BACKEND", "HEALTH", "CONNS/s", "PACKETS/s"})


def _pairs(status: Status, pool: str | None) -> Iterator[tuple[PoolReport, BackendReport]]:
    for of in status.pools:
        if pool in (None, of.name):
            yield from ((of, backend) for backend in of.backends)


def _table(titles: Sequence[str], rows: Iterator[list[str | Text]], only: set[str] | None) -> Table:
    """As `output.print_table`; `only` these columns where there is little room."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    shown = [n for n, title in enumerate(titles) if only is None or title.removeprefix(">") in only]
    for n in shown:
        title = titles[n]
        table.add_column(
            title.removeprefix(">"),
            justify="right" if title.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        cells = (row[n] for n in shown)
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    return table
