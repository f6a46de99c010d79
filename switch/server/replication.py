"""The packet replication engine: multicast groups and clone sessions (specification section of that name).

A replica goes to the first port that is up, of its own and those of its backups; if none is, there is none.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from finsy.proto import p4r, rpc_code

from switch.engine import Engine
from switch.ports import PORT_BITS, Port, Ports
from switch.replicas import ReplicaSets
from switch.server.status import RequestError, invalid, not_found, out_of_range, unimplemented
from switch.server.values import decode

MAX_MULTICAST_GROUP = 0xFFFF  # v1model: bit<16> mcast_grp
MAX_CLONE_SESSION = 0x7FFF  # what the reference switch has room for beside its "valid" bit
MAX_INSTANCE = 0xFFFF  # v1model: bit<16> egress_rid

Places = list[tuple[int, int]]
ReplicationEntry = p4r.PacketReplicationEngineEntry


@dataclass
class _Sets:
    """Numbered sets of replicas in the engine, and the entries that they were made of."""

    what: str
    highest: int
    running: ReplicaSets
    entries: dict[int, ReplicationEntry] = field(default_factory=dict)
    choices: dict[int, list[Places]] = field(default_factory=dict)
    """Of each set its replicas, of each replica its (port, instance) pairs, by preference."""


class Replication:
    """The groups and sessions of one pipeline. Methods raise RequestError; any thread may call them."""

    def __init__(self, engine: Engine, ports: Ports) -> None:
        self._ports = ports
        self._lock = threading.Lock()
        self._groups = _Sets("multicast group", MAX_MULTICAST_GROUP, engine.multicast_groups)
        self._sessions = _Sets("clone session", MAX_CLONE_SESSION, engine.clone_sessions)

    def write(self, kind: int, entry: ReplicationEntry) -> None:
        """Insert, modify or delete."""
        sets, number, replicas = self._parts(entry)
        name = f"{sets.what} {number}"
        if not 0 < number <= sets.highest:
            raise invalid(f"{name} is not in 1..{sets.highest}")
        with self._lock:
            if kind == p4r.Update.INSERT and number in sets.entries:
                raise RequestError(rpc_code.ALREADY_EXISTS, f"{name} exists already")
            if kind != p4r.Update.INSERT and number not in sets.entries:
                raise not_found(f"there is no {name}")
            if kind == p4r.Update.DELETE:
                sets.running.delete(number)
                del sets.entries[number], sets.choices[number]
                return
            session = entry.clone_session_entry
            if session.class_of_service or session.packet_length_bytes:
                raise unimplemented("a clone of this switch has no class of service, and is never shortened")
            sets.choices[number] = _checked(name, [_places(replica) for replica in replicas])
            sets.entries[number] = ReplicationEntry()
            sets.entries[number].CopyFrom(entry)  # a reference would keep the whole request
            self._set(sets, number)

    def port_changed(self, port: Port) -> None:
        """Replicas that have backups move to them, or back."""
        with self._lock:
            for sets in (self._groups, self._sessions):
                for number, choices in sets.choices.items():
                    if any(len(places) > 1 and port.number in dict(places) for places in choices):
                        self._set(sets, number)

    def _set(self, sets: _Sets, number: int) -> None:
        replicas = (self._first_up(places) for places in sets.choices[number])
        sets.running.set(number, [replica for replica in replicas if replica is not None])

    def _first_up(self, places: Places) -> tuple[int, int] | None:
        """Without backups nothing depends on the port's state: a packet to it is lost there, and counted."""
        if len(places) == 1:
            return places[0]
        return next((place for place in places if not self._ports.is_down(place[0])), None)

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


def _checked(name: str, replicas: list[Places]) -> list[Places]:
    """Raises RequestError."""
    pairs = [pair for places in replicas for pair in places]
    if len(set(pairs)) < len(pairs):
        raise invalid(f"{name}: two replicas have the same port and instance")
    for places in replicas:
        if len(dict(places)) < len(places):
            raise invalid(f"{name}: a replica and its backups must have different ports")
    return replicas


def _places(replica: p4r.Replica) -> Places:
    """(port, instance) by preference."""
    if replica.WhichOneof("port_kind") == "port":
        first = _port(replica.port)
    elif replica.egress_port >> PORT_BITS:
        raise out_of_range(f"a replica's port: {replica.egress_port} does not fit within {PORT_BITS} bits")
    else:
        first = replica.egress_port
    places = [(first, replica.instance)]
    places += [(_port(backup.port), backup.instance) for backup in replica.backup_replicas]
    for _, instance in places:
        if instance > MAX_INSTANCE:
            raise invalid(f"replica instance {instance} is above {MAX_INSTANCE}")
    return places


def _port(octets: bytes) -> int:
    return decode(octets, PORT_BITS, "a replica's port")
