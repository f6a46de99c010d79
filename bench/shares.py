"""Shares and moves: Sluice's apportionment beside Maglev's table, for 1 to 200 backends.

    python -m bench.shares [--buckets N]

For every n: n equal backends, one of them removed, and added again; then n backends of weights 1 to 4.
Deviation is the most that any backend's share is off its quota (weight by sum of weights), in places of the
table. Excess moves are those beyond the fewest that lead to the new shares, in points (hundredths of the
table). Maglev's table is made for the numbers of backends that are shown; it takes half a second.

Exit status 1 when ours is off by a bucket or moves one too many.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.rivals import MAGLEV_SIZE, maglev_table
from controller.apportion import NOBODY, apportion

MOST = 200
SHOWN = (1, 2, 3, 8, 16, 32, 64, 128, 200)

Owners = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Figures:
    """Deviations in places; excess moves as a share of the table."""

    deviation: float
    weighted: float
    removal: float
    addition: float


def deviation(owners: Owners, weights: dict[int, int]) -> float:
    total = sum(weights.values())
    return max(abs(int((owners == b).sum()) - len(owners) * w / total) for b, w in weights.items())


def excess(before: Owners, after: Owners) -> float:
    """Moves beyond those that the change of everybody's share demands."""
    least = 0
    for backend in {*np.unique(before).tolist(), *np.unique(after).tolist()}:
        least += max(0, int((after == backend).sum()) - int((before == backend).sum()))
    return (int((before != after).sum()) - least) / len(before)


def ours(before: Owners, weights: dict[int, int]) -> Owners:
    serving = np.array([*weights], dtype=np.uint32)
    shares = np.array([*weights.values()], dtype=np.int64)
    held = before.astype(np.uint32)
    return apportion(held, held, held, serving, shares)


def maglev(before: Owners, weights: dict[int, int]) -> Owners:
    """`before` does not matter to it. A backend of weight w takes w turns, as w names."""
    names = [(backend, turn) for backend, weight in weights.items() for turn in range(weight)]
    table = maglev_table([f"{backend}.{turn}" for backend, turn in names])
    return np.array([backend for backend, _ in names])[table]


def measure(choose: Callable[[Owners, dict[int, int]], Owners], size: int, n: int) -> Figures:
    nobody = np.full(size, NOBODY, dtype=np.uint32)
    everybody = {backend: 1 for backend in range(1, n + 1)}
    full = choose(nobody, everybody)
    removal = addition = 0.0
    if n > 1:
        rest = {backend: 1 for backend in everybody if backend != (n + 1) // 2}
        less = choose(full, rest)
        removal, addition = excess(full, less), excess(less, choose(less, everybody))
    weights = {backend: 1 + backend % 4 for backend in everybody}
    weighted = deviation(choose(full, weights), weights)
    return Figures(deviation(full, everybody), weighted, removal, addition)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--buckets", type=int, default=65536, help="of ours, a power of two")
    arguments = parser.parse_args()
    table = Table(title=f"{arguments.buckets} buckets of ours, {MAGLEV_SIZE} places of Maglev's table")
    for column in ("backends", "", "off quota, equal", "weights 1 to 4", "excess: one removed", "one added"):
        table.add_column(column, justify="right")
    worst: dict[str, list[Figures]] = {"Sluice": [], "Maglev": []}
    for n in range(1, MOST + 1):
        contestants = [("Sluice", ours, arguments.buckets)]
        if n in SHOWN:
            contestants.append(("Maglev", maglev, MAGLEV_SIZE))
        for name, choose, size in contestants:
            figures = measure(choose, size, n)
            worst[name].append(figures)
            if n in SHOWN:
                table.add_row(str(n), name, *_cells(figures))
        if n % 20 == 0:
            print(f"{n} backends", file=sys.stderr)
    table.add_section()
    for name, all_of_them in worst.items():
        most = Figures(
            max(f.deviation for f in all_of_them),
            max(f.weighted for f in all_of_them),
            max(f.removal for f in all_of_them),
            max(f.addition for f in all_of_them),
        )
        table.add_row(f"worst of {len(all_of_them)}", name, *_cells(most))
    Console(width=120).print(table)
    return int(any(max(f.deviation, f.weighted) >= 1 or f.removal or f.addition for f in worst["Sluice"]))


def _cells(figures: Figures) -> list[str]:
    off = [f"{places:.2f}" for places in (figures.deviation, figures.weighted)]
    return [*off, *(f"{100 * share:.2f} points" for share in (figures.removal, figures.addition))]


if __name__ == "__main__":
    sys.exit(main())
