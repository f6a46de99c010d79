"""The end of the demonstration: what was counted, and whether the promises held."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from topo import preflight
from topo.demo.verdict import FALSE_ALARM, Death, PhaseResult, Share, Verdict


def print_summary(console: Console, verdicts: Mapping[str, Verdict], deaths: Sequence[Death]) -> None:
    """`verdicts` by pool."""
    console.print()
    console.rule(Text("Summary", style="bold"), align="left")
    console.print(_connections(verdicts))
    console.print()
    console.print(_shares(verdicts))
    console.print()
    console.print(
        f"Requests that a backend answered, in percent: measured (predicted by its buckets ± tolerance). "
        f"The tolerance is binomial: all comparisons together are wrong in {FALSE_ALARM:.2%} of good runs.",
        style="dim",
    )
    console.print()
    for death in deaths:
        _print_death(console, death)
    console.print()
    console.print(_promises(verdicts))
    if not all(verdict.held for verdict in verdicts.values()) and (busy := preflight.busy()):
        console.print(busy, style="yellow")


def _promises(verdicts: Mapping[str, Verdict]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for pool, verdict in verdicts.items():
        for promise in verdict.promises:
            mark = Text("held  ", style="green") if promise.held else Text("BROKEN", style="bold red")
            grid.add_row(mark, f"{pool}: {promise.text}: {promise.measured}")
        for example in verdict.examples:
            grid.add_row("", Text(example, style="red"))
    return grid


def _table(title: str) -> Table:
    """One that a terminal of 80 columns has room for."""
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def _connections(verdicts: Mapping[str, Verdict]) -> Table:
    """A row for each phase, of all pools together, and one for each pool, of all phases."""
    grid = _table("Connections")
    grid.add_column("phase")
    headings = (
        "seconds",
        "opened",
        "failed in\nswitch-\nover",
        "failed\notherwise",
        "ended with\ntheir\nserver",
        "long-lived\nbroken",
    )
    for heading in headings:
        grid.add_column(heading, justify="right")
    for results in zip(*(verdict.results for verdict in verdicts.values()), strict=True):
        phase = results[0].phase
        grid.add_row(phase.name, f"{phase.ended - phase.began:.1f}", *_sums(results))
    grid.add_section()
    for pool, verdict in verdicts.items():
        seconds = sum(result.phase.ended - result.phase.began for result in verdict.results)
        grid.add_row(f"all of {pool}", f"{seconds:.1f}", *_sums(verdict.results))
    return grid


def _sums(results: Sequence[PhaseResult]) -> list[str]:
    return [
        str(sum(counts))
        for counts in zip(
            *(
                (
                    result.opened,
                    result.failed_in_switch_over,
                    result.failed,
                    result.ended_with_server,
                    result.broken,
                )
                for result in results
            ),
            strict=True,
        )
    ]


def _shares(verdicts: Mapping[str, Verdict]) -> Table:
    results = [result for verdict in verdicts.values() for result in verdict.results]
    backends = sorted({backend for result in results for backend in result.shares})
    grid = _table("Shares")
    grid.add_column("phase")
    for backend in backends:
        grid.add_column(backend, justify="right")
    for pool, verdict in verdicts.items():
        grid.add_section()
        grid.add_row(Text(pool, style="bold"))
        for result in verdict.results:
            grid.add_row(result.phase.name, *(_share(result.shares.get(backend)) for backend in backends))
    return grid


def _share(share: Share | None) -> Text:
    if share is None:
        return Text("")
    text = f"{share.measured:.1%} ({share.predicted:.1%}±{share.tolerance:.1%})".replace("%", "")
    return Text(text, style="" if share.held else "bold red")


def _print_death(console: Console, death: Death) -> None:
    last = (
        "no new connection was sent to it any more"
        if death.last_syn is None
        else f"the last new connection was sent to it {death.last_syn - death.moment:.3f} s after its death"
    )
    console.print(
        f"{death.backend} was killed: {last}; "
        f"the controller had taken it out after {death.taken_out - death.moment:.2f} s at the latest. "
        f"Stated switch-over time: {death.allowance:.1f} s."
    )
