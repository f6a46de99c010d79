"""Table entries between P4Runtime and the engine: one codec for each table, made when the pipeline is loaded.

Everything that depends only on the table is worked out once, because a controller writes tens of thousands of
entries a second through here. Rules: P4Runtime specification, "TableEntry".
"""

from collections.abc import Iterable, Sequence

from finsy.proto import p4r

from switch.entries import Entry, Match, Table
from switch.p4info import TableInfo
from switch.server.actions import ActionCodec
from switch.server.match_fields import column_of
from switch.server.profiles import Profile
from switch.server.status import denied, invalid


class TableCodec:
    """Translates the entries of one table. profile: what they refer to instead of having actions."""

    def __init__(self, info: TableInfo, table: Table, profile: Profile | None) -> None:
        self.profile = profile
        self.info = info
        self.name = info.name
        self.needs_priority = info.needs_priority
        columns = [
            column_of(self.name, field, key) for field, key in zip(info.fields, table.keys, strict=True)
        ]
        self._decoders = {
            field.id: (position, column.decode)
            for position, (field, column) in enumerate(zip(info.fields, columns, strict=True))
        }
        self._encoders = [column.encode for column in columns]
        self._omitted = [column.omitted for column in columns]
        self._actions = {id: ActionCodec(choice, table) for id, choice in info.actions.items()}
        self._by_name = {codec.name: codec for codec in self._actions.values()}

    # ---- From P4Runtime ----

    def match(self, fields: Iterable[p4r.FieldMatch]) -> tuple[Match, ...]:
        """The engine's match; fields left out are "don't care". Raises RequestError."""
        matches = self._omitted.copy()
        seen = 0
        for field in fields:
            known = self._decoders.get(field.field_id)
            if known is None:
                raise invalid(f"{self.name} has no match field with id {field.field_id}")
            position, decoder = known
            if seen >> position & 1:
                raise invalid(f"{self.name}: match field {self._field_name(position)} is given twice")
            seen |= 1 << position
            matches[position] = decoder(field)
        if None in matches:
            raise invalid(
                f"{self.name}: exact match field {self._field_name(matches.index(None))} is missing"
            )
        return tuple(matches)  # type: ignore[arg-type]  # no None is left

    def key(self, entry: p4r.TableEntry) -> tuple[tuple[Match, ...], int]:
        """What identifies an entry: its match and priority. Raises RequestError."""
        priority = entry.priority
        if self.needs_priority:
            if priority <= 0:
                raise invalid(
                    f"{self.name}: a priority above 0 is needed with ternary, optional and range fields"
                )
        elif priority:
            raise invalid(f"{self.name}: priority must be 0, this table has only exact and lpm fields")
        return self.match(entry.match), priority

    def action(self, action: p4r.TableAction, *, default: bool) -> tuple[str, tuple[int, ...]]:
        """The engine's action name and parameters. Raises RequestError."""
        if action.WhichOneof("type") != "action":
            raise invalid(f"{self.name} takes an action, not {action.WhichOneof('type') or 'an empty one'}")
        codec = self._actions.get(action.action.action_id)
        if codec is None:
            raise invalid(f"{self.name} has no action with id {action.action.action_id}")
        if not (codec.choice.for_default if default else codec.choice.for_entries):
            where = "as the default action" if default else "in entries"
            raise denied(f"{self.name}: action {codec.name} may not be used {where}")
        return codec.name, codec.decode(action.action.params)

    def entry(self, entry: p4r.TableEntry) -> Entry:
        """A whole entry, with its action. Raises RequestError."""
        match, priority = self.key(entry)
        timeout = self.idle_timeout(entry)
        if self.profile is not None:
            target = self.profile.decode_target(self.name, entry.action)
            return Entry(match, priority, "", (), target, timeout)
        action, data = self.action(entry.action, default=False)
        return Entry(match, priority, action, data, None, timeout)

    def idle_timeout(self, entry: p4r.TableEntry) -> int:
        """In nanoseconds. Raises RequestError."""
        if entry.idle_timeout_ns and not self.info.idle_timeouts:
            raise invalid(f"{self.name} does not support idle timeouts")
        if entry.idle_timeout_ns < 0:
            raise invalid(f"{self.name}: the idle timeout {entry.idle_timeout_ns} is negative")
        return entry.idle_timeout_ns

    def action_name(self, action_id: int) -> str:
        """Raises RequestError."""
        if self.profile is not None:
            raise invalid(f"{self.name}: entries that refer to an action profile have no action to filter by")
        if action_id not in self._actions:
            raise invalid(f"{self.name} has no action with id {action_id}")
        return self._actions[action_id].name

    def _field_name(self, position: int) -> str:
        return self.info.fields[position].name

    # ---- To P4Runtime ----

    def encode_key(self, match: Sequence[Match], priority: int) -> p4r.TableEntry:
        """A TableEntry with table, match and priority."""
        fields = [encoder(part) for encoder, part in zip(self._encoders, match, strict=True)]
        return p4r.TableEntry(
            table_id=self.info.id,
            match=[field for field in fields if field is not None],
            priority=priority if self.needs_priority else 0,
        )

    def encode_action(self, name: str, data: Sequence[int]) -> p4r.TableAction:
        return p4r.TableAction(action=self._by_name[name].encode(data))

    def encode_entry(self, entry: Entry) -> p4r.TableEntry:
        """A TableEntry with table, match, priority, action and idle timeout."""
        encoded = self.encode_key(entry.match, entry.priority)
        if self.profile is not None and entry.target is not None:
            encoded.action.CopyFrom(self.profile.encode_target(entry.target))
        else:
            encoded.action.CopyFrom(self.encode_action(entry.action, entry.data))
        encoded.idle_timeout_ns = entry.idle_timeout_ns
        return encoded
