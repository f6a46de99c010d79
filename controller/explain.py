"""Why a packet goes where it goes: what the model says, what the switch says, and whether they agree."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.apportion import NOBODY
from controller.assignment import Assignment
from controller.explanation import Explanation, Side, ending
from controller.model import Config, Interface
from controller.prediction import Predicted, longest_prefix
from controller.program import Rows, narrow, wide
from controller.trace import Decision, Fate, Flow, Reply, Traced
from controller.values import Address, format_service

ASIDE = {
    Decision.EXCEPTION: "the switch has recorded this flow with {owner}",
    Decision.STANDBY: "the switch suspects {current} of being dead: new flows go to the standby",
    Decision.NO_ROOM: "the switch has no room to record another flow: this one stays at {owner}",
    Decision.GONE: "the switch has recorded this flow with a backend that is gone, and will decide afresh",
}
"""Decisions that rest on what only the switch knows. They are no contradiction to the model."""

SUSPICION = (Decision.STANDBY, Decision.MOVES)
"""Decisions that differ when the switch has heard of a backend and the controller not yet, or the reverse."""

REASONS = {
    Decision.STANDBY: "a new flow, which the switch records with the standby of a suspect",
    Decision.SETTLED: "the bucket has one backend",
    Decision.CURRENT: "a new flow, which the switch records with the bucket's current backend",
    Decision.PREVIOUS: "the bucket moves, and this flow is older than its move",
    Decision.MOVES: "UDP flows of this pool move with their bucket",
    Decision.REFUSED: "a new flow, and no backend serves",
}


@dataclass(frozen=True, slots=True)
class Names:
    """From the numbers in the tables to what the operator calls them."""

    config: Config
    assignment: Assignment
    ejected_for: Callable[[str, str], str] = lambda pool, backend: ""
    """Why a backend (pool and name) gets no new flows; "" for who is not ejected."""

    def vip(self, number: int) -> str | None:
        return next((name for name, one in self.assignment.vips.items() if one == number), None)

    def pool(self, number: int) -> str | None:
        return next((name for name, one in self.assignment.pools.items() if one.id == number), None)

    def backend(self, number: int) -> str | None:
        for pool in self.assignment.pools.values():
            if number in pool.backends:
                return pool.backends[number].name
        return None if number == NOBODY else f"number {number}"

    def side(self, seen: Predicted | Traced) -> Side:
        pool = self.pool(seen.pool)
        balanced = seen.decision is not Decision.NONE
        port = seen.egress_port if seen.fate in (Fate.SENT, Fate.REPLIED) else None
        reply = seen.reply.name.lower() if seen.reply is not Reply.NONE else ""
        return Side(
            vip=self.vip(seen.vip),
            pool=pool,
            bucket=seen.bucket if balanced else None,
            backend=self.backend(seen.owner),
            decision=seen.decision.name.lower() if balanced else "",
            fate=seen.fate.name.lower() if seen.fate is not None else "",
            reason=reply or seen.why,
            port=port,
        )


def arrival(config: Config, routes: Rows, client: Address) -> Interface | None:
    """Where a packet of `client` comes in, by the route back to it."""
    route = longest_prefix(routes, wide(client))
    hop = narrow(route.values[0]) if route and route.action == "via" else client
    networks = [(interface, own.network) for interface in config.interfaces for own in interface.addresses]
    return next((interface for interface, network in networks if hop in network), None)


def explain(
    flow: Flow, in_port: int, predicted: Predicted, traced: Traced | None, unconfirmed: str, names: Names
) -> Explanation:
    """Puts both sides next to each other."""
    model = names.side(predicted)
    switch = names.side(traced) if traced else None
    ends = f"{format_service(flow.client, flow.client_port)} -> {format_service(flow.address, flow.port)}"
    kind = "" if flow.protocol != "tcp" else ", a SYN" if flow.opening else ", established"
    return Explanation(
        packet=f"{flow.protocol} {ends}{kind}",
        in_port=in_port,
        steps=tuple(_steps(flow, predicted, model, names)),
        model=model,
        switch=switch,
        unconfirmed=unconfirmed,
        notes=tuple(_notes(flow, predicted, traced, names)),
        differences=tuple(_differences(predicted, traced, model, switch)) if traced and switch else (),
    )


def _steps(flow: Flow, predicted: Predicted, side: Side, names: Names) -> list[str]:
    """From the VIP to the port, as far as the packet comes."""
    service = format_service(flow.address, flow.port)
    if predicted.fate is None:
        return [f"{flow.address} is no address of the switch: no VIP, routed like any packet"]
    if side.vip is None:
        why = "its source is the switch's own" if side.reason == "own_source" else "no VIP has this service"
        return [f"{service}/{flow.protocol}: {why}", ending(side)]
    steps = [f"VIP {side.vip} {service}/{flow.protocol}"]
    if side.reason == "source_denied":
        return [*steps, f"{flow.client} may not use it, by its allow and deny", ending(side)]
    if side.pool and side.bucket is not None:
        pool = names.config.pool(side.pool)
        buckets = len(names.assignment.pools[side.pool].buckets)
        steps += [
            f"pool {side.pool} ({pool.mode}, {buckets} buckets)",
            f"bucket {side.bucket}: {_bucket(predicted, names)}",
        ]
        steps.append(f"{_server(predicted, names)}: {REASONS[predicted.decision]}")
    return [*steps, ending(side)]


def _bucket(predicted: Predicted, names: Names) -> str:
    """`settled on b2`, `moving from b1 to b2`."""
    current, previous = names.backend(predicted.current), names.backend(predicted.previous)
    state = f"settled on {current or 'nobody'}"
    if predicted.current != predicted.previous:
        state = f"moving from {previous or 'nobody'} to {current or 'nobody'}"
    standby = names.backend(predicted.standby)
    suspects = ", ".join(filter(None, (names.backend(number) for number in sorted(predicted.suspects))))
    return (
        f"{state}{f', standby {standby}' if standby else ''}{', a move is announced' * predicted.announced}"
        f"{f'; {suspects} suspect' if suspects else ''}"
    )


def _server(predicted: Predicted, names: Names) -> str:
    for pool in names.assignment.pools.values():
        if identity := pool.backends.get(predicted.owner):
            return f"backend {identity.name} {format_service(identity.address, identity.port)}"
    return "no backend"


def _notes(flow: Flow, predicted: Predicted, traced: Traced | None, names: Names) -> list[str]:
    notes: list[str] = []
    current = names.backend(predicted.current)
    if traced and traced.decision in ASIDE and traced.decision is not predicted.decision:
        notes.append(ASIDE[traced.decision].format(owner=names.backend(traced.owner), current=current))
    elif traced and _differ_in_suspicion(predicted, traced):
        notes.append(f"the controller has not yet heard of {current} what the switch has")
    elif traced is None and flow.protocol == "tcp" and predicted.decision is not Decision.NONE:
        notes.append("the switch may have recorded this flow with another backend; only it knows")
    if predicted.current in predicted.suspects:
        notes.append(_about_suspect(predicted, names))
    pool, previous = names.pool(predicted.pool), names.backend(predicted.previous)
    if pool and previous and (why := names.ejected_for(pool, previous)):
        notes.append(f"{previous} is ejected ({why}): new flows go to others, those that it has stay with it")
    vip = names.vip(predicted.vip)
    if vip and (rate := names.config.vip(vip).rate) is not None:
        notes.append(f"VIP {vip} takes {rate} packets a second; neither side looks at that")
    return notes


def _about_suspect(predicted: Predicted, names: Names) -> str:
    current, standby = names.backend(predicted.current), names.backend(predicted.standby)
    says = f"{current} is suspect, it does not answer the switch's probes"
    if predicted.standby in predicted.suspects or standby is None:
        return f"{says}; there is no better one, so new flows still go to it"
    return f"{says}: new flows go to {standby} until it does; those that it has stay with it"


def _differ_in_suspicion(predicted: Predicted, traced: Traced) -> bool:
    """One of both sides takes the bucket's current backend for suspect, and the other does not."""
    decisions = {predicted.decision, traced.decision}
    owners = {predicted.owner, traced.owner}
    return bool(decisions & {*SUSPICION}) and owners == {predicted.current, predicted.standby}


def _differences(predicted: Predicted, traced: Traced, model: Side, switch: Side) -> list[str]:
    """Where the switch does otherwise than the model, and not for what only the switch can know."""
    if predicted.fate is None:
        return [] if traced.vip == 0 else ["the model knows no VIP here, but the switch does"]
    fields = ["vip", "pool", "bucket", "backend", "decision", "fate", "reason", "port"]
    only_the_switch_knows = traced.decision in ASIDE and traced.decision is not predicted.decision
    if only_the_switch_knows or _differ_in_suspicion(predicted, traced):
        fields = fields[:3]
    told: Mapping[str, object] = switch.model_dump()
    return [
        f"{field}: the model says {said if said not in (None, '') else 'none'}, "
        f"the switch {told[field] if told[field] not in (None, '') else 'none'}"
        for field, said in model.model_dump(include=set(fields)).items()
        if said != told[field]
    ]
