"""The packet replication engine: multicast groups and clone sessions (specification section of that name)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from finsy.proto import p4r, rpc_code

from switch.engine import Engine
from switch.server.status import RequestError, invalid, not_found, out_of_range, unimplemented
from switch.server.values import decode

MAX_MULTICAST_GROUP = 0xFFFF  # v1model: bit<16> mcast_grp
MAX_CLONE_SESSION = 0x7FFF  # what the reference switch has room for beside its "valid" bit
MAX_INSTANCE = 0xFFFF  # v1model: bit<16> egress_rid
PORT_BITS = 9  # v1model: PortId_t

ReplicationEntry = p4r.PacketReplicationEngineEntry


@dataclass
class _Sets:
    """Numbered sets of replicas in the engine, and the entries that they were made of."""

    what: str
    highest: int
    set: Callable[[int, Sequence[tuple[int, int]]], None]
    remove: Callable[[int], None]
    entries: dict[int, ReplicationEntry] = field(default_factory=dict)


class Replication:
    """The groups and sessions of one pipeline. All methods raise RequestError."""

    def __init__(self, engine: Engine) -> None:
        self._groups = _Sets(
            "multicast group", MAX_MULTICAST_GROUP, engine.set_multicast_group, engine.delete_multicast_group
        )
        self._sessions = _Sets(
            "clone session", MAX_CLONE_SESSION, engine.set_clone_session, engine.delete_clone_session
        )

    def write(self, kind: int, entry: ReplicationEntry) -> None:
        """Insert, modify or delete."""
        sets, number, replicas = self._parts(entry)
        name = f"{sets.what} {number}"
        if not 0 < number <= sets.highest:
            raise invalid(f"{name} is not in 1..{sets.highest}")
        if kind == p4r.Update.INSERT and number in sets.entries:
            raise RequestError(rpc_code.ALREADY_EXISTS, f"{name} exists already")
        if kind != p4r.Update.INSERT and number not in sets.entries:
            raise not_found(f"there is no {name}")
        if kind == p4r.Update.DELETE:
            sets.remove(number)
            del sets.entries[number]
            return
        session = entry.clone_session_entry
        if session.class_of_service or session.packet_length_bytes:
            raise unimplemented("a clone of this switch has no class of service, and is never shortened")
        pairs = [_replica(replica) for replica in replicas]
        if len(set(pairs)) < len(pairs):
            raise invalid(f"{name}: two replicas have the same port and instance")
        sets.set(number, pairs)
        sets.entries[number] = ReplicationEntry()
        sets.entries[number].CopyFrom(entry)  # a reference would keep the whole request

    def read(self, wanted: ReplicationEntry) -> list[ReplicationEntry]:
        """One group or session, or all of them for number 0."""
        sets, number, _ = self._parts(wanted)
        if number == 0:
            return list(sets.entries.values())
        if number not in sets.entries:
            raise not_found(f"there is no {sets.what} {number}")
        return [sets.entries[number]]

    def _parts(self, entry: ReplicationEntry) -> tuple[_Sets, int, Iterable[p4r.Replica]]:
        which = entry.WhichOneof("type")
        if which == "multicast_group_entry":
            group = entry.multicast_group_entry
            return self._groups, group.multicast_group_id, group.replicas
        if which == "clone_session_entry":
            session = entry.clone_session_entry
            return self._sessions, session.session_id, session.replicas
        raise invalid("the replication entry is neither a multicast group nor a clone session")


def _replica(replica: p4r.Replica) -> tuple[int, int]:
    """(port, instance)"""
    if replica.backup_replicas:
        raise unimplemented("this switch has no backup replicas")
    if replica.instance > MAX_INSTANCE:
        raise invalid(f"replica instance {replica.instance} is above {MAX_INSTANCE}")
    if replica.WhichOneof("port_kind") == "port":
        return decode(replica.port, PORT_BITS, "a replica's port"), replica.instance
    if replica.egress_port >> PORT_BITS:
        raise out_of_range(f"a replica's port: {replica.egress_port} does not fit within {PORT_BITS} bits")
    return replica.egress_port, replica.instance
