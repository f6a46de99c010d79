"""What commands print: tables for people (80 columns, colours on a terminal only), data for programs."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from controller.cli.options import Format
from controller.values import format_duration

T = TypeVar("T")

PIPE_WIDTH = 1000
"""Columns where no terminal sets a bound: nothing is cut for a program that reads lines."""

LEVELS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def console(error: bool = False) -> Console:
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False)


def show(value: T, form: Format, table: Callable[[T], None]) -> None:
    """Prints `value` for programs, or hands it to `table`."""
    if form is Format.TABLE:
        table(value)
    else:
        print_data(value, form)


def print_data(value: Any, form: Format, *, one_of_many: bool = False) -> None:
    """A value for programs. `one_of_many` makes it one line (JSON), or a document with its mark (YAML)."""
    data = TypeAdapter(type(value)).dump_python(value, mode="json")
    if form is Format.JSON:
        print(json.dumps(data, indent=None if one_of_many else 2, ensure_ascii=False))
        return
    import yaml  # only those who ask for it wait for it

    print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, explicit_start=one_of_many), end="")


def line(text: str, style: str = "", error: bool = False) -> None:
    """A line of text, wrapped by the terminal if need be."""
    console(error).print(Text(text, style), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, header: bool = True) -> None:
    """Columns whose title begins with `>` are aligned to the right, and never broken."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=header)
    for title in columns:
        right = title.startswith(">")
        table.add_column(
            title.removeprefix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    printer = console()
    with printer.capture() as printed:
        printer.print(table)
    print("\n".join(filled.rstrip() for filled in printed.get().splitlines()))


def count(number: int) -> str:
    """A number in at most five characters: 12345, 123k, 1.2M."""
    if number < 100_000:
        return str(number)
    return _scaled(number)


def size(number: int) -> str:
    """Bytes: 512 B, 1.2 kB, 98.8 MB."""
    return f"{number} B" if number < 1000 else f"{_scaled(number, ' ')}B"


def _scaled(number: float, gap: str = "") -> str:
    for level, letter in LEVELS:
        if number >= level * 0.9995:  # what would be rounded to 1000 of the next
            scaled = number / level
            return f"{scaled:.0f}{gap}{letter}" if scaled >= 99.95 else f"{scaled:.1f}{gap}{letter}"
    return str(number)


def percent(share: float) -> str:
    return f"{share * 100:.1f}%"


def roughly(seconds: float) -> str:
    """How long, in whole minutes, or in tens of seconds when it is short."""
    step = 60 if seconds >= 120 else 10
    return format_duration(max(step, round(seconds / step) * step))


def moment(seconds: float, short: bool = False) -> str:
    """A time in the reader's time zone; `short` leaves out the year."""
    form = "%m-%d %H:%M:%S" if short else "%Y-%m-%d %H:%M:%S"
    return datetime.fromtimestamp(seconds).astimezone().strftime(form)
