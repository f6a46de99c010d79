"""Match fields between P4Runtime's FieldMatch and the engine's Match (specification, "Match Format").

"Don't care" is an omitted field in P4Runtime and an explicit match in the engine.
"""

from finsy.proto import p4r

from switch.entries import Exact, Key, Lpm, Match, MatchKind, Range, Ternary
from switch.p4info import MatchField
from switch.server.status import RequestError, invalid
from switch.server.values import decode, encode


class Column:
    """One match field of one table.

    omitted: what it means to leave the field out; None when that is not allowed.
    """

    omitted: Match | None = None
    kind_name: str  # the field's name in FieldMatch

    def __init__(self, table: str, field: MatchField, key: Key) -> None:
        self.id = field.id
        self.bits = key.bits
        self.ones = (1 << key.bits) - 1
        self.what = f"{table}: match field {field.name}"

    def decode(self, field: p4r.FieldMatch) -> Match:
        raise NotImplementedError

    def encode(self, match: Match) -> p4r.FieldMatch | None:
        raise NotImplementedError

    def _number(self, octets: bytes, field: p4r.FieldMatch) -> int:
        # A part of the oneof that is not set reads as empty: only then is its kind worth asking for.
        if not octets:
            self._check_kind(field)
        return decode(octets, self.bits, self.what)

    def _check_kind(self, field: p4r.FieldMatch) -> None:
        kind = field.WhichOneof("field_match_type")
        if kind != self.kind_name:
            raise invalid(f"{self.what} is {self.kind_name}, not {kind or 'empty'}")

    def _must_be_omitted(self) -> RequestError:
        return invalid(f"{self.what} matches everything, and must be left out then")


class _ExactColumn(Column):
    kind_name = "exact"

    def decode(self, field: p4r.FieldMatch) -> Exact:
        return Exact(self._number(field.exact.value, field))

    def encode(self, match: Match) -> p4r.FieldMatch:
        assert isinstance(match, Exact)
        return p4r.FieldMatch(field_id=self.id, exact=p4r.FieldMatch.Exact(value=encode(match.value)))


class _LpmColumn(Column):
    kind_name = "lpm"
    omitted = Lpm(0, 0)

    def decode(self, field: p4r.FieldMatch) -> Lpm:
        lpm = field.lpm
        value = self._number(lpm.value, field)
        length = lpm.prefix_len
        if length == 0:
            raise self._must_be_omitted()
        if not 0 < length <= self.bits:
            raise invalid(f"{self.what}: prefix length {length} is not in 1..{self.bits}")
        if value & (self.ones >> length):
            raise invalid(f"{self.what}: 0x{value:x}/{length} has bits beyond the prefix, which must be 0")
        return Lpm(value, length)

    def encode(self, match: Match) -> p4r.FieldMatch | None:
        assert isinstance(match, Lpm)
        if match.prefix_len == 0:
            return None
        lpm = p4r.FieldMatch.LPM(value=encode(match.value), prefix_len=match.prefix_len)
        return p4r.FieldMatch(field_id=self.id, lpm=lpm)


class _TernaryColumn(Column):
    kind_name = "ternary"
    omitted = Ternary(0, 0)

    def decode(self, field: p4r.FieldMatch) -> Ternary:
        ternary = field.ternary
        value = self._number(ternary.value, field)
        mask = self._number(ternary.mask, field)
        if mask == 0:
            raise self._must_be_omitted()
        if value & ~mask:
            raise invalid(f"{self.what}: 0x{value:x} has bits outside the mask 0x{mask:x}, which must be 0")
        return Ternary(value, mask)

    def encode(self, match: Match) -> p4r.FieldMatch | None:
        assert isinstance(match, Ternary)
        if match.mask == 0:
            return None
        ternary = p4r.FieldMatch.Ternary(value=encode(match.value), mask=encode(match.mask))
        return p4r.FieldMatch(field_id=self.id, ternary=ternary)


class _OptionalColumn(Column):
    kind_name = "optional"
    omitted = Ternary(0, 0)

    def decode(self, field: p4r.FieldMatch) -> Ternary:
        return Ternary(self._number(field.optional.value, field), self.ones)

    def encode(self, match: Match) -> p4r.FieldMatch | None:
        assert isinstance(match, Ternary)
        if match.mask == 0:
            return None
        return p4r.FieldMatch(field_id=self.id, optional=p4r.FieldMatch.Optional(value=encode(match.value)))


class _RangeColumn(Column):
    kind_name = "range"

    def __init__(self, table: str, field: MatchField, key: Key) -> None:
        super().__init__(table, field, key)
        self.omitted = Range(0, self.ones)

    def decode(self, field: p4r.FieldMatch) -> Range:
        low = self._number(field.range.low, field)
        high = self._number(field.range.high, field)
        if low > high:
            raise invalid(f"{self.what}: the range begins at {low}, above its end {high}")
        if low == 0 and high == self.ones:
            raise self._must_be_omitted()
        return Range(low, high)

    def encode(self, match: Match) -> p4r.FieldMatch | None:
        assert isinstance(match, Range)
        if match == self.omitted:
            return None
        bounds = p4r.FieldMatch.Range(low=encode(match.low), high=encode(match.high))
        return p4r.FieldMatch(field_id=self.id, range=bounds)


def column_of(table: str, field: MatchField, key: Key) -> Column:
    """The codec of a match field."""
    return _OptionalColumn(table, field, key) if field.optional else _COLUMNS[field.kind](table, field, key)


_COLUMNS: dict[MatchKind, type[Column]] = {
    MatchKind.EXACT: _ExactColumn,
    MatchKind.LPM: _LpmColumn,
    MatchKind.TERNARY: _TernaryColumn,
    MatchKind.RANGE: _RangeColumn,
}
