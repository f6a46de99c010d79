"""Parser value sets (specification, "ValueSetEntry").

The engine has all parts of a select key side by side, the first in the highest bits.
"""

from collections.abc import Callable

from finsy.proto import p4r, rpc_code

from switch.engine import ValueSet
from switch.entries import Exact, Key, Lpm, Match, MatchKind, Ternary
from switch.p4info import MatchField, ValueSetInfo
from switch.server.match_fields import Column, column_of
from switch.server.status import RequestError, exhausted, invalid


class ValueSetCodec:
    """One value set of a pipeline. Methods raise RequestError."""

    def __init__(self, info: ValueSetInfo, running: ValueSet) -> None:
        self.info = info
        self._running = running
        self._columns = [_column(info.name, field) for field in info.fields]
        self._places = {field.id: place for place, field in enumerate(info.fields)}

    def write(self, entry: p4r.ValueSetEntry) -> None:
        """Make these the members."""
        members = [self._decode(member) for member in entry.members]
        if len(set(members)) < len(members):
            raise RequestError(rpc_code.ALREADY_EXISTS, f"{self.info.name}: a member is given twice")
        if len(members) > self.info.size:
            raise exhausted(f"{self.info.name} has room for {self.info.size} members, not {len(members)}")
        self._running.replace(members)

    def read(self) -> p4r.ValueSetEntry:
        members = [self._encode(member) for member in self._running.members()]
        return p4r.ValueSetEntry(value_set_id=self.info.id, members=members)

    def _decode(self, member: p4r.ValueSetMember) -> Ternary:
        matches: list[Match | None] = [column.omitted for column in self._columns]
        given: set[int] = set()
        for field in member.match:
            place = self._places.get(field.field_id)
            if place is None:
                raise invalid(f"{self.info.name} has no match field with id {field.field_id}")
            if place in given:
                raise invalid(f"{self._columns[place].what} is given twice")
            given.add(place)
            matches[place] = self._columns[place].decode(field)
        value = mask = 0
        for column, match in zip(self._columns, matches, strict=True):
            if match is None:
                raise invalid(f"{column.what} is missing")
            part = _ternary(match, column.bits)
            value = value << column.bits | part.value
            mask = mask << column.bits | part.mask
        return Ternary(value, mask)

    def _encode(self, member: Ternary) -> p4r.ValueSetMember:
        fields: list[p4r.FieldMatch] = []
        shift = self._running.bits
        for column, info in zip(self._columns, self.info.fields, strict=True):
            shift -= column.bits
            part = Ternary(member.value >> shift & column.ones, member.mask >> shift & column.ones)
            field = column.encode(_AS_KIND[info.kind](part))
            if field is not None:
                fields.append(field)
        return p4r.ValueSetMember(match=fields)


def _column(owner: str, field: MatchField) -> Column:
    return column_of(owner, field, Key(field.name, field.kind, field.bits))


def _ternary(match: Match, bits: int) -> Ternary:
    ones = (1 << bits) - 1
    match match:
        case Exact(value):
            return Ternary(value, ones)
        case Lpm(value, length):
            return Ternary(value, ones ^ ones >> length)
        case Ternary():
            return match
        case _:
            raise AssertionError("P4Infos with ranges in value sets are refused")


_AS_KIND: dict[MatchKind, Callable[[Ternary], Match]] = {
    MatchKind.EXACT: lambda part: Exact(part.value),
    MatchKind.LPM: lambda part: Lpm(part.value, part.mask.bit_count()),
    MatchKind.TERNARY: lambda part: part,
}
