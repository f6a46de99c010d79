"""Changes of tables as bytes of the wire, put together from parts that were made before.

A message's serialisation is the concatenation of its fields', and that of a message with one field only is
that field's (https://protobuf.dev/programming-guides/encoding/). So each match and each parameter that occurs
again and again (buckets, ports, identities) is serialised once, by protobuf itself, and an entry is a few
look-ups and joins: several times as fast as building it as an object.
"""

from collections.abc import Callable
from typing import Any

from finsy.proto import p4r
from google.protobuf.message import Message

from controller.program import Do, Key, Kind
from controller.values import LAST_BACKEND

SHORT = LAST_BACKEND + 1
"""Parts with values below are kept: most are buckets, ports and identities."""

_DELIMITED = 2
"""The wire type of embedded messages."""


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


_LENGTHS = tuple(varint(length) for length in range(1024))


def embedded(tag: bytes, body: bytes) -> bytes:
    """A field that is a message; `tag` is the field's."""
    length = len(body)
    return b"".join((tag, _LENGTHS[length] if length < 1024 else varint(length), body))


def tag_of(message: type[Message], field: str) -> bytes:
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | _DELIMITED)


_UPDATES = tag_of(p4r.WriteRequest, "updates")
_ENTITY = tag_of(p4r.Update, "entity")
_TABLE_ENTRY = tag_of(p4r.Entity, "table_entry")
_TABLE_ACTION = tag_of(p4r.TableEntry, "action")
_ACTION = tag_of(p4r.TableAction, "action")

_TYPES = {Kind.INSERT: p4r.Update.INSERT, Kind.MODIFY: p4r.Update.MODIFY, Kind.DELETE: p4r.Update.DELETE}
_KINDS = {kind: p4r.Update(type=number).SerializeToString() for kind, number in _TYPES.items()}


class Parts(dict[int, bytes]):
    """The serialised fields for values that were asked for; `make` says what the message is."""

    def __init__(self, make: Callable[[int], Message]) -> None:
        self._make = make

    def __missing__(self, value: int) -> bytes:
        part = self._make(value).SerializeToString()
        if value < SHORT:
            self[value] = part
        return part


class ExactEntries:
    """The entries of one table of which all fields match exactly.

    `fields` are the numbers of the key's, `actions` by name the number of each with those of its parameters;
    `octets` makes the byte string of a value.
    """

    def __init__(
        self,
        table: int,
        fields: tuple[int, ...],
        actions: dict[str, tuple[int, tuple[int, ...]]],
        octets: Callable[[int], bytes],
    ) -> None:
        self._table = p4r.TableEntry(table_id=table).SerializeToString()
        self._matches = tuple(Parts(_match_maker(field, octets)) for field in fields)
        self._actions = {
            name: (
                p4r.Action(action_id=number).SerializeToString(),
                tuple(Parts(_parameter_maker(parameter, octets)) for parameter in parameters),
            )
            for name, (number, parameters) in actions.items()
        }

    def entity(self, key: Key, do: Do | None) -> bytes:
        """A serialised Entity; without `do` only its key, as a deletion needs it."""
        entry = [self._table]
        entry += [part[value] for part, value in zip(self._matches, key, strict=True)]
        if do is not None:
            number, parts = self._actions[do.action]
            action = [part[value] for part, value in zip(parts, do.values, strict=True)]
            entry.append(embedded(_TABLE_ACTION, embedded(_ACTION, b"".join((number, *action)))))
        return embedded(_TABLE_ENTRY, b"".join(entry))


def update(kind: Kind, entity: bytes) -> bytes:
    """A field of a WriteRequest; `entity` is serialised."""
    return embedded(_UPDATES, _KINDS[kind] + embedded(_ENTITY, entity))


def _match_maker(field: int, octets: Callable[[int], bytes]) -> Callable[[int], Message]:
    def make(value: int) -> Any:
        exact = p4r.FieldMatch.Exact(value=octets(value))
        return p4r.TableEntry(match=[p4r.FieldMatch(field_id=field, exact=exact)])

    return make


def _parameter_maker(parameter: int, octets: Callable[[int], bytes]) -> Callable[[int], Message]:
    def make(value: int) -> Any:
        return p4r.Action(params=[p4r.Action.Param(param_id=parameter, value=octets(value))])

    return make
