"""Ternary tables by themselves: lookups and changes beside an array by priority, at 10 to 100 000 entries.

    python -m bench.tables

Three kinds of entries: of an access list (addresses by prefix, protocol or none, a range of ports: few
masks), of a routing table with prefixes of 30 lengths, and the worst case, in which each entry has a mask
of its own. No packets; the time is that of the processor, so that others may share it.
"""

import argparse
import ctypes
import sys
from enum import IntEnum
from pathlib import Path

from rich.console import Console
from rich.table import Table

from switch.build import RUNTIME, build

BUILD = Path(__file__).resolve().parents[1] / "build" / "bench"
SOURCES = [
    Path(__file__).with_suffix(".c"),
    *(RUNTIME / name for name in ("tables.c", "reclaim.c", "blocks.c", "meters.c")),
]

SIZES = (10, 1_000, 10_000, 100_000)
LOOKUPS = 200_000
CHANGES = 2_000
MOST_OWN_MASKS = 10_000
"""Of the worst case: an insertion compares masks with all that there are."""


class Masks(IntEnum):
    """Of tables.c."""

    FEW = 0
    PREFIXES = 1
    OWN = 2


NAMES = {Masks.FEW: "access list", Masks.PREFIXES: "30 prefix lengths", Masks.OWN: "a mask each"}


class Result(ctypes.Structure):
    """struct result: nanoseconds."""

    _fields_ = (
        ("lookup", ctypes.c_double),
        ("change", ctypes.c_double),
        ("linear_lookup", ctypes.c_double),
        ("linear_change", ctypes.c_double),
        ("masks", ctypes.c_uint64),
        ("different", ctypes.c_uint64),
    )


def measure(masks: Masks, entries: int) -> Result:
    """Raises BuildError, or RuntimeError when a table and the array do not agree."""
    library = ctypes.CDLL(str(build("tables", SOURCES, cache=BUILD)))
    result = Result()
    number = ctypes.c_uint64
    arguments = (int(masks), number(entries), number(LOOKUPS), number(CHANGES), ctypes.byref(result))
    if library.tables_measure(*arguments) != 0:
        raise MemoryError("no memory for the tables")
    if result.different:
        raise RuntimeError(f"{result.different} lookups gave another answer than the array")
    return result


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m bench.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m bench.tables",
    ).parse_args()
    table = Table(title="nanoseconds: tuple space (array by priority)")
    for column in ("entries", "of", "masks", "lookup", "change"):
        table.add_column(column, justify="left" if column == "of" else "right")
    for masks, name in NAMES.items():
        for entries in SIZES:
            if masks is Masks.OWN and entries > MOST_OWN_MASKS:
                continue
            one = measure(masks, entries)
            table.add_row(
                f"{entries:,}",
                name,
                f"{one.masks:,}",
                f"{one.lookup:,.0f} ({one.linear_lookup:,.0f})",
                f"{one.change:,.0f} ({one.linear_change:,.0f})",
            )
        table.add_section()
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
