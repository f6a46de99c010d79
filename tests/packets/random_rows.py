"""Random table contents that are valid: rows that make sense, with others that need not.

Which tables, keys, actions and parameters there are, the P4Info says. A value is, mostly, one that a field or
parameter of that name and width has elsewhere, so that what a row refers to is often there: a backend of
another mode, a bucket of another pool, a neighbor behind another port.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from finsy.proto import p4i

from tests.packets.p4runtime import Names
from tests.packets.rows import ANY, Masked, Prefix, Row, Span, Value
from tests.packets.runner import WRITE_ORDER
from tests.packets.world import PORTS

DROP_PORT = 511
EGRESS_BITS = 9
"""Ports of the switch: those that the tests listen at, and the one that drops."""

MOST_PRIORITY = 3
KNOWN = 0.9  # of the values
FEWEST, MOST = 2, 40  # rows that are changed

Domains = dict[tuple[str, int], list[int]]
"""What values there are, by name and bits."""

FieldKind = p4i.MatchField.MatchType


def changed(rng: random.Random, names: Names, sound: Iterable[Row]) -> list[Row]:
    """The sound rows with some gone, some other than they were, and some more."""
    held = {row.key: row for row in sound}
    random_rows = _Rows(rng, names, held.values())
    for _ in range(rng.randint(FEWEST, MOST)):
        row = rng.choice(list(held.values()))
        match rng.choices(("gone", "other", "another", "new"), (2, 4, 2, 2))[0]:
            case "gone":
                if not row.default:
                    del held[row.key]
            case "other":
                held[row.key] = random_rows.other(row)
            case "another":
                if not row.default:
                    beside = random_rows.beside(row)
                    held.setdefault(beside.key, beside)
            case _:
                new = random_rows.new()
                held.setdefault(new.key, new)
    return list(held.values())


class _Rows:
    """Rows by the P4Info. like: what values are taken from."""

    def __init__(self, rng: random.Random, names: Names, like: Iterable[Row]) -> None:
        self._rng = rng
        self._names = names
        self._actions = names.actions_by_id()
        self._known: Domains = defaultdict(list)
        for row in like:
            fields = {field.name: field for field in names.tables[row.table].match_fields}
            for name, value in row.match:
                self._known[name, fields[name].bitwidth] += _numbers(value)
            params = {param.name: param for param in names.actions[row.action].params}
            for name, value in row.params:
                self._known[name, params[name].bitwidth].append(value)
        everywhere: dict[int, list[int]] = defaultdict(list)
        for (_, bits), values in self._known.items():
            everywhere[bits] += values
        self._by_width = everywhere

    def _value(self, name: str, bits: int) -> int:
        if bits == EGRESS_BITS:
            return self._rng.choice((*PORTS, *PORTS, DROP_PORT))
        chance = self._rng.random()
        if chance < KNOWN and self._known[name, bits]:
            return self._rng.choice(self._known[name, bits])
        if chance < (1 + KNOWN) / 2 and self._by_width[bits]:
            return self._rng.choice(self._by_width[bits])
        return self._rng.getrandbits(bits)

    def other(self, row: Row) -> Row:
        """The same key with another action, or another parameter."""
        if self._rng.random() < 0.3 or not row.params:
            return self._doing(row)
        place = self._rng.randrange(len(row.params))
        name, _ = row.params[place]
        params = {param.name: param for param in self._names.actions[row.action].params}
        changed = (name, self._value(name, params[name].bitwidth))
        return replace(row, params=(*row.params[:place], changed, *row.params[place + 1 :]))

    def beside(self, row: Row) -> Row:
        """The same with another key."""
        fields = self._names.tables[row.table].match_fields
        place = self._rng.randrange(len(fields))
        matches = list(row.match)
        matches[place] = (fields[place].name, self._match(fields[place]))
        return replace(row, match=tuple(matches))

    def new(self) -> Row:
        table = self._names.tables[self._rng.choice([name for name in WRITE_ORDER if self._has_key(name)])]
        kinds = {field.match_type for field in table.match_fields}
        ranked = kinds & {FieldKind.TERNARY, FieldKind.RANGE, FieldKind.OPTIONAL}
        priority = self._rng.randint(1, MOST_PRIORITY) if ranked else 0
        match = tuple((field.name, self._match(field)) for field in table.match_fields)
        return self._doing(Row(table.preamble.alias, match, "", priority=priority))

    def _has_key(self, table: str) -> bool:
        return bool(self._names.tables[table].match_fields)

    def _doing(self, row: Row) -> Row:
        unwanted = p4i.ActionRef.TABLE_ONLY if row.default else p4i.ActionRef.DEFAULT_ONLY
        references = [ref.id for ref in self._names.tables[row.table].action_refs if ref.scope != unwanted]
        action = self._actions[self._rng.choice(references)]
        params = self._names.actions[action].params
        values = tuple((param.name, self._value(param.name, param.bitwidth)) for param in params)
        return replace(row, action=action, params=values)

    def _match(self, field: p4i.MatchField) -> Value:
        bits, value = field.bitwidth, self._value(field.name, field.bitwidth)
        match field.match_type:
            case FieldKind.LPM:
                length = self._rng.choice((0, 8, 96, 104, 120, 127, bits))
                return Prefix(value & ~_ones(bits - length), length)
            case FieldKind.TERNARY:
                mask = self._rng.choice((0, _ones(bits), _ones(bits) ^ 0xFF, self._rng.getrandbits(bits)))
                return Masked(value & mask, mask) if mask else ANY
            case FieldKind.RANGE:
                return Span(*sorted((value, self._value(field.name, bits))))
            case _:
                return value


def _ones(bits: int) -> int:
    return (1 << bits) - 1


def _numbers(value: Value) -> Sequence[int]:
    match value:
        case Prefix(number, _) | Masked(number, _):
            return (number,)
        case Span(low, high):
            return (low, high)
        case _:
            return (value,)
