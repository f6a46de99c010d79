"""What the program should do with a packet, by the entries that the switch should hold.

The steps are those of p4src/sluice.p4, for a packet that is whole, has hops left and fits every link. Who is
suspect is decided by the switch; what the controller has seen of that is taken into account. What only the
switch knows is not: recorded flows, a VIP's rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.apportion import NOBODY
from controller.hashing import bucket_of
from controller.model import Mode, Protocol
from controller.program import (
    ADDRESS_BITS,
    ADDRESSES,
    BACKENDS,
    IPV4_MAPPED_BITS,
    MODES,
    NEIGHBORS,
    OWN_SOURCES,
    POOLS,
    PROTOCOLS,
    ROUTES,
    SOURCES,
    TUNNELS,
    VIP_RANGES,
    VIPS,
    Do,
    Rows,
    Table,
    wide,
)
from controller.trace import Decision, Fate, Flow, Reply
from controller.wanted import Owners, Wanted

FIRST_TUNNEL = MODES[Mode.IPIP]
REFUSE_BY_RESET = 1


@dataclass(frozen=True, slots=True)
class Predicted:
    """As `trace.Traced`, with `why` a reason by name; and the bucket's backends that explain the decision.

    `fate` is None for what the model does not follow: packets to addresses that are not ours.
    """

    fate: Fate | None
    why: str = ""
    reply: Reply = Reply.NONE
    egress_port: int = 0
    vip: int = 0
    pool: int = 0
    bucket: int = 0
    owner: int = NOBODY
    decision: Decision = Decision.NONE
    current: int = NOBODY
    previous: int = NOBODY
    standby: int = NOBODY
    announced: bool = False
    suspects: frozenset[int] = frozenset()
    """Those of the bucket's backends that do not answer probes."""


def predict(wanted: Wanted, flow: Flow, in_port: int, suspects: frozenset[int] = frozenset()) -> Predicted:
    """What becomes of a packet of `flow` that comes from `in_port`; `suspects` do not answer probes."""
    rows = wanted.rows
    source, destination = wide(flow.client), wide(flow.address)
    if (destination,) not in rows[ADDRESSES]:
        return Predicted(None)
    if (source,) in rows[OWN_SOURCES]:
        return Predicted(Fate.DROPPED, "own_source")
    serve = _serve(rows, destination, PROTOCOLS[flow.protocol], flow.port)
    if serve is None:
        return Predicted(Fate.DROPPED, "no_service")
    vip, pool, source_mask, port_mask, refusal = serve.values
    settings = rows[POOLS].get((pool,))
    if settings is None:
        return Predicted(Fate.DROPPED, vip=vip, pool=pool, why="no_pool")
    verdict = longest_prefix({key[1:]: do for key, do in rows[SOURCES].items() if key[0] == vip}, source)
    if verdict and verdict.action == "deny":
        return Predicted(Fate.DROPPED, vip=vip, pool=pool, why="source_denied")
    mode, mask, _, udp_move = settings.values
    bucket = bucket_of(
        source,
        flow.client_port,
        destination,
        flow.port,
        PROTOCOLS[flow.protocol],
        bucket_mask=mask,
        source_mask=source_mask,
        port_mask=port_mask,
    )
    service = _owned(vip, pool, bucket, wanted.buckets[pool], flow, bool(udp_move), suspects)
    if service.owner == NOBODY:
        return _refused(service, refusal, flow, in_port)
    return _reached(service, rows, mode, flow)


def _serve(rows: Mapping[Table, Rows], address: int, protocol: int, port: int) -> Do | None:
    """A VIP of that port alone goes before one of a range."""
    exact = rows[VIPS].get((address, protocol, port))
    if exact is not None:
        return exact
    for (its_address, its_protocol, low, high), do in rows[VIP_RANGES].items():
        if (its_address, its_protocol) == (address, protocol) and low <= port <= high:
            return do
    return None


def longest_prefix(rows: Rows, address: int) -> Do | None:
    """The entry whose prefix (value, length) is the longest that has the address."""
    fitting = [
        (length, do)
        for (value, length), do in rows.items()
        if (value ^ address) >> (ADDRESS_BITS - length) == 0
    ]
    return max(fitting, key=lambda one: one[0])[1] if fitting else None


def _owned(
    vip: int,
    pool: int,
    bucket: int,
    owners: Owners,
    flow: Flow,
    udp_move: bool,
    suspects: frozenset[int],
) -> Predicted:
    """FindOwner of p4src/exceptions.p4, with nothing recorded."""
    current, previous, standby, announced, _ = owners[bucket].tolist()
    opens = flow.protocol is Protocol.TCP and flow.opening
    avoided = current in suspects and standby != NOBODY and standby not in suspects
    pick = standby if avoided else current
    if flow.protocol is Protocol.UDP and udp_move:
        owner, decision = pick, Decision.MOVES
    elif opens and pick == NOBODY:
        owner, decision = NOBODY, Decision.REFUSED
    elif opens and (pick != previous or announced):
        owner, decision = pick, Decision.CURRENT if pick == current else Decision.STANDBY
    else:
        owner, decision = previous, Decision.SETTLED if current == previous else Decision.PREVIOUS
    return Predicted(
        None,
        vip=vip,
        pool=pool,
        bucket=bucket,
        owner=owner,
        decision=decision,
        current=current,
        previous=previous,
        standby=standby,
        announced=bool(announced),
        suspects=frozenset({current, previous, standby}) & suspects,
    )


def _refused(service: Predicted, refusal: int, flow: Flow, in_port: int) -> Predicted:
    """Nobody serves: what the VIP says then."""
    if refusal == 0:
        return replace(service, fate=Fate.DROPPED, why="no_backend")
    reset = refusal == REFUSE_BY_RESET and flow.protocol is Protocol.TCP
    reply = Reply.RESET if reset else Reply.UNREACHABLE
    return replace(service, fate=Fate.REPLIED, reply=reply, egress_port=in_port)


def _reached(service: Predicted, rows: Mapping[Table, Rows], mode: int, flow: Flow) -> Predicted:
    """From the backend to a port."""
    backend = rows[BACKENDS].get((service.owner,))
    if backend is None:
        return replace(service, fate=Fate.DROPPED, why="no_backend")
    target = backend.values[0]
    tunnelled = mode >= FIRST_TUNNEL
    mapped = target >> (ADDRESS_BITS - IPV4_MAPPED_BITS) == 0xFFFF
    if mapped != (flow.address.version == 4) and not tunnelled:
        return replace(service, fate=Fate.DROPPED, why="family_mismatch")
    if mode == MODES[Mode.NAT] and target == wide(flow.client):
        return replace(service, fate=Fate.DROPPED, why="hairpin")
    if tunnelled and (service.owner,) not in rows[TUNNELS]:
        return replace(service, fate=Fate.DROPPED, why="no_tunnel")
    route = longest_prefix(rows[ROUTES], target)
    if route is None:
        return replace(service, fate=Fate.DROPPED, why="no_route")
    hop = route.values[0] if route.action == "via" else target
    neighbor = rows[NEIGHBORS].get((hop,))
    if neighbor is None:
        return replace(service, fate=Fate.PUNTED, why="glean")
    return replace(service, fate=Fate.SENT, egress_port=neighbor.values[0])
