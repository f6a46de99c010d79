"""STF: the script language of p4c's end-to-end tests, as its tools/stf/stf_parser.py and
backends/bmv2/bmv2stf.py have it. One command a line, `#` begins a comment.

    add TABLE [PRIORITY] KEY:VALUE ... ACTION(PARAMETER:VALUE, ...)
    setdefault TABLE ACTION(PARAMETER:VALUE, ...)
    packet PORT HEX...
    expect PORT [HEX, where * is any digit, a $ behind it forbids more bytes]
    mirroring_add SESSION PORT
    mc_mgrp_create GROUP | mc_node_create RID PORT... | mc_node_associate GROUP NODE
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass


class StfError(Exception):
    """A line that is not understood."""


@dataclass(frozen=True, slots=True)
class Call:
    """An action with its arguments by name."""

    action: str
    arguments: dict[str, int]


@dataclass(frozen=True, slots=True)
class Add:
    """keys: name to the text of the value, whose meaning the table's match kind tells."""

    table: str
    priority: int
    keys: dict[str, str]
    call: Call


@dataclass(frozen=True, slots=True)
class SetDefault:
    table: str
    call: Call


@dataclass(frozen=True, slots=True)
class Packet:
    port: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """digits: hexadecimal, * for any; None: any packet. exact: no bytes may follow."""

    port: int
    digits: str | None
    exact: bool

    def accepts(self, octets: bytes) -> bool:
        if self.digits is None:
            return True
        said = octets.hex()
        long_enough = len(said) == len(self.digits) if self.exact else len(said) >= len(self.digits)
        return long_enough and all(want in ("*", is_) for want, is_ in zip(self.digits, said, strict=False))


@dataclass(frozen=True, slots=True)
class Replication:
    """A command of simple_switch_CLI: mirroring_add, mc_mgrp_create, mc_node_create or mc_node_associate."""

    name: str
    numbers: tuple[int, ...]


Command = Add | SetDefault | Packet | Expect | Replication

WITHOUT_EFFECT = ("wait", "check_counter", "no_packet", "mirroring_get")
"""Nothing to do where packets are processed at once; the original runner does not check counters either."""

REPLICATION = ("mirroring_add", "mc_mgrp_create", "mc_node_create", "mc_node_associate")

ACTION = re.compile(r"(\S+?)\s*\((.*?)\)\s*$")


def parse(text: str) -> Iterator[Command]:
    """Raises StfError."""
    for place, line in enumerate(text.splitlines(), start=1):
        line = line.split("#")[0].strip()
        if line:
            try:
                command = _command(line)
            except (ValueError, IndexError) as error:
                raise StfError(f"line {place}: {line!r}: {error}") from error
            if command is not None:
                yield command


def number(text: str) -> int:
    return int(text, 0)


def _command(line: str) -> Command | None:
    name, *words = line.split()
    name = name.lower()
    if name in WITHOUT_EFFECT:
        return None
    if name == "packet":
        return Packet(int(words[0]), bytes.fromhex("".join(words[1:])))
    if name == "expect":
        digits = "".join(words[1:]).lower()
        return Expect(int(words[0]), digits.removesuffix("$") or None, digits.endswith("$"))
    if name == "add":
        return _add(line)
    if name == "setdefault":
        return SetDefault(words[0], _call(line.split(maxsplit=2)[2]))
    if name in REPLICATION:
        return Replication(name, tuple(map(number, words)))
    raise ValueError("unknown command")


def _add(line: str) -> Add:
    found = ACTION.search(line)
    if found is None:
        raise ValueError("there is no action")
    table, *words = line[: found.start()].split()[1:]
    priority = number(words.pop(0)) if words and ":" not in words[0] else 0
    keys = dict(word.rsplit(":", 1) for word in words)
    return Add(table, priority, keys, _call(found.group()))


def _call(text: str) -> Call:
    found = ACTION.match(text.strip())
    if found is None:
        raise ValueError("there is no action")
    pairs = [item.split(":") for item in found.group(2).split(",") if item.strip()]
    return Call(found.group(1), {name.strip(): number(value.strip()) for name, value in pairs})
