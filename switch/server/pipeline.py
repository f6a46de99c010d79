"""A forwarding pipeline: one P4Runtime config, its program in an engine, and what P4Runtime keeps about it.

A pipeline outlives its replacement for as long as some request is still at work on it (`lease`).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from finsy.proto import p4r

from switch.engine import Engine
from switch.entries import Match
from switch.errors import EngineError
from switch.p4info import P4InfoError, ProfileInfo, Schema
from switch.p4info_check import check_schema
from switch.ports import Port, Ports
from switch.server.actions import ActionCodec
from switch.server.digests import DigestLists
from switch.server.native_reads import NativeReads
from switch.server.native_tables import NativeTables, TableInC
from switch.server.native_writes import NativeWrites
from switch.server.packets import HeaderCodec
from switch.server.profiles import Profile
from switch.server.replication import Replication
from switch.server.status import invalid
from switch.server.tables import TableCodec
from switch.server.value_sets import ValueSetCodec

LoadEngine = Callable[[bytes], Engine]

EntryKey = tuple[tuple[Match, ...], int]


@dataclass(frozen=True, slots=True)
class Annotations:
    """What a controller attached to a table entry: means nothing to the switch, is given back on read.

    modes: action_selection_mode and size_semantics of a one-shot entry, which can be said in two ways.
    """

    metadata: bytes
    controller_metadata: int
    modes: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, entry: p4r.TableEntry) -> "Annotations | None":
        """None when there are none, as for nearly all entries."""
        modes = (0, 0)
        if entry.action.HasField("action_profile_action_set"):
            chosen = entry.action.action_profile_action_set
            modes = (chosen.action_selection_mode, chosen.size_semantics)
        if not entry.metadata and not entry.controller_metadata and modes == (0, 0):
            return None
        return cls(entry.metadata, entry.controller_metadata, modes)


def show(annotations: Annotations | None, message: p4r.TableEntry) -> None:
    """In the entry's message."""
    if annotations is None:
        return
    message.metadata = annotations.metadata
    message.controller_metadata = annotations.controller_metadata
    if message.action.HasField("action_profile_action_set"):
        chosen = message.action.action_profile_action_set
        chosen.action_selection_mode, chosen.size_semantics = annotations.modes  # type: ignore[assignment]


@dataclass(slots=True)
class TableState:
    """A table's codec, and the annotations of its entries; None stands for the default entry.

    default_written: whether the default action is a controller's rather than the program's.
    in_c: how C writes and reads entries, which knows nothing of annotations; None: it does not.
    """

    codec: TableCodec
    annotations: dict[EntryKey | None, Annotations] = field(default_factory=dict)
    default_written: bool = False
    in_c: TableInC | None = None

    def annotate(self, key: EntryKey | None, annotations: Annotations | None) -> None:
        if annotations is not None:
            self.annotations[key] = annotations
        elif self.annotations:
            self.annotations.pop(key, None)
        if self.in_c is not None:
            self.in_c.annotated(any_=bool(self.annotations))


def _actions(schema: Schema, profile: ProfileInfo, engine: Engine) -> Iterator[ActionCodec]:
    """All that the profile's tables can do."""
    for table in schema.tables.values():
        if table.action_profile == profile.id:
            for choice in table.actions.values():
                yield ActionCodec(choice, engine.tables[table.name])


class Pipeline:
    """Any thread may use it, but `tables`, `profiles` and `value_sets` only under the device's lock.

    ports: those of the switch, which members of groups and replicas may depend on.
    """

    def __init__(
        self, config: p4r.ForwardingPipelineConfig, schema: Schema, engine: Engine, ports: Ports
    ) -> None:
        self.config = config
        self.schema = schema
        self.engine = engine
        for info in schema.tables.values():
            if info.initial_entries:
                engine.release_entries(info.name)
        self.profiles = {
            info.id: Profile(info, engine.action_profiles[info.name], _actions(schema, info, engine), ports)
            for info in schema.profiles.values()
        }
        self.tables = {
            info.id: TableState(
                TableCodec(info, engine.tables[info.name], self.profiles.get(info.action_profile or 0))
            )
            for info in schema.tables.values()
        }
        described = NativeTables(self.tables.values(), engine)
        self.writes = NativeWrites(described, engine)
        self.reads = NativeReads(described, engine)
        self.aging = {
            state.codec.name: state for state in self.tables.values() if state.codec.info.idle_timeouts
        }
        self.value_sets = {
            info.id: ValueSetCodec(info, engine.value_sets[info.name]) for info in schema.value_sets.values()
        }
        self.replication = Replication(engine, ports)
        self.digests = DigestLists(schema.digests)
        self.packet_in = HeaderCodec(schema.packet_in)
        self.packet_out = HeaderCodec(schema.packet_out)
        self._leases = 0
        self._retired = False
        self._lock = threading.Lock()

    @classmethod
    def load(cls, config: p4r.ForwardingPipelineConfig, load_engine: LoadEngine, ports: Ports) -> "Pipeline":
        """Raises RequestError (INVALID_ARGUMENT) when the config cannot be realised."""
        if not config.HasField("p4info") or not config.p4_device_config:
            raise invalid("the config needs both p4info and p4_device_config (p4c's BMv2 JSON)")
        try:
            schema = Schema.parse(config.p4info)
            engine = load_engine(config.p4_device_config)
        except (P4InfoError, EngineError) as error:
            raise invalid(str(error)) from error
        try:
            check_schema(schema, engine)
        except P4InfoError as error:
            engine.close()
            raise invalid(str(error)) from error
        return cls(config, schema, engine, ports)

    def expired(self) -> list[p4r.TableEntry]:
        """The entries whose idle timeout is over since they were last named, with what a notification says
        of them.
        """
        found: list[p4r.TableEntry] = []
        for name, entry in self.engine.expired() if self.aging else ():
            if name in self.aging:
                state = self.aging[name]
                message = state.codec.encode_key(entry.match, entry.priority)
                message.idle_timeout_ns = entry.idle_timeout_ns
                show(state.annotations.get((entry.match, entry.priority)), message)
                found.append(message)
        return found

    def port_changed(self, port: Port) -> None:
        """The port is up or down now. The caller has a lease; any thread may call."""
        self.engine.set_port_up(port.number, up=port.up)
        self.replication.port_changed(port)

    @contextmanager
    def lease(self) -> Iterator["Pipeline"]:
        """Keeps the engine open for the duration."""
        with self._lock:
            self._leases += 1
        try:
            yield self
        finally:
            with self._lock:
                self._leases -= 1
                last = self._retired and self._leases == 0
            if last:
                self.engine.close()

    def retire(self) -> None:
        """No longer the device's: close the engine as soon as nobody uses it. No worker may be running it."""
        with self._lock:
            self._retired = True
            unused = self._leases == 0
        if unused:
            self.engine.close()
