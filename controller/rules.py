"""What must hold between the parts of a configuration, beyond each value by itself.

`check` raises pydantic's ValidationError with one entry, with its location, for every rule that is broken.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from controller.health.settings import NoCheck, Portless, Reaction
from controller.values import LAST_BACKEND, Address, Network, PortRange, refuse, span

if TYPE_CHECKING:
    from controller.model import Config, Pool

K = TypeVar("K")
Location = tuple[int | str, ...]
Breach = tuple[Location, str]
Places = list[tuple[Location, "Pool"]]
"""The pools to look at, and where they are."""

DEFAULT_TARGET = "127.0.0.1:9559"

BUCKETS_PER_BACKEND = 4


def check(config: "Config", sound: "Config | None" = None) -> None:
    """What `config` has in common with a `sound` one is not looked at again: see `breaches`."""
    if found := [*breaches(config, sound)]:
        raise ValidationError.from_exception_data(
            "Config", [InitErrorDetails(type=refuse(text), loc=where, input=None) for where, text in found]
        )


def breaches(config: "Config", sound: "Config | None" = None) -> Iterator[Breach]:
    """What is broken.

    Where only pools are not as in a `sound` configuration, only these are looked at, and what they have to do
    with others. What no rule reads of a pool may be another without any look.

    Of several switches each has to be sound; what is wrong with all of them is told once.
    """
    if config.switches is None:
        yield from _of_one_switch(config, sound)
        return
    together = [*switches_are_told_apart(config)]
    yield from together
    if together:
        return
    alike = sound is not None and config.switches == sound.switches
    found: dict[Breach, list[str]] = defaultdict(list)
    for s, one in enumerate(config.switches):
        known = sound.for_switch(one.name) if sound is not None and alike else None
        for where, text in _of_one_switch(config.for_switch(one.name), known):
            own = getattr(one, str(where[0]), None) is not None
            found[("switches", s, *where) if own else where, text].append(one.name)
    for (where, text), names in found.items():
        everywhere = len(names) == len(config.switches) or where[0] == "switches"
        yield where, text if everywhere else f"{text} (switch {', '.join(names)})"


def _of_one_switch(config: "Config", sound: "Config | None") -> Iterator[Breach]:
    if sound is None or not _same_around_pools(config, sound):
        places, rules = _places(config), (*RULES_AROUND_POOLS, *RULES_OF_POOLS)
    else:
        before = {pool.name: pool for pool in sound.pools}
        places = [
            (where, pool)
            for where, pool in _places(config)
            if pool.name not in before or not _pools_alike(pool, before[pool.name])
        ]
        if not places and [pool.name for pool in config.pools] == [*before]:
            return
        rules = RULES_OF_POOLS
    for rule in rules:
        yield from rule(config, places)


def switches_are_told_apart(config: "Config") -> Iterator[Breach]:
    switches = config.switches or ()
    yield from _repeated(
        ((("switches", s, "name"), one.name) for s, one in enumerate(switches)),
        lambda name: f"there are two switches named {name}",
    )
    yield from _repeated(
        (
            (("switches", s, "address"), (one.address, one.device_id or config.switch.device_id))
            for s, one in enumerate(switches)
        ),
        lambda target: f"{target[0]}, device {target[1]}, is another switch already",
    )
    if config.switch.address != DEFAULT_TARGET:
        yield ("switch", "address"), "is not used beside `switches`, each of which has its own: leave it out"


def _places(config: "Config") -> Places:
    return [(("pools", p), pool) for p, pool in enumerate(config.pools)]


def _same_around_pools(one: "Config", other: "Config") -> bool:
    return all(
        getattr(one, part) == getattr(other, part) for part in type(one).model_fields if part != "pools"
    )


def _pools_alike(one: "Pool", other: "Pool") -> bool:
    """Whether they are the same for the rules: they do not read a backend's weight, state, tier, deadline."""
    if one is other:
        return True
    parts = [name for name in type(one).model_fields if name != "backends"]
    return (
        len(one.backends) == len(other.backends)
        and all(getattr(one, part) == getattr(other, part) for part in parts)
        and all(
            (a.name, a.address, a.port) == (b.name, b.address, b.port)
            for a, b in zip(one.backends, other.backends, strict=True)
        )
    )


def names_are_unique(config: "Config", places: Places) -> Iterator[Breach]:
    for part in ("interfaces", "pools", "vips"):
        yield from _repeated(
            (((part, i, "name"), item.name) for i, item in enumerate(getattr(config, part))),
            lambda name, part=part: f"there are two {part} named {name}",
        )
    for where, pool in places:
        yield from _repeated(
            (((*where, "backends", b, "name"), backend.name) for b, backend in enumerate(pool.backends)),
            lambda name: f"there are two backends named {name} in this pool",
        )


def interfaces_are_apart(config: "Config", _: Places) -> Iterator[Breach]:
    yield from _repeated(
        (
            (("interfaces", i, "ports", p), (port, interface.vlan))
            for i, interface in enumerate(config.interfaces)
            for p, port in enumerate(interface.ports)
        ),
        lambda use: f"port {use[0]} with VLAN {use[1]} is used twice",
    )
    seen: list[Network] = []
    for i, interface in enumerate(config.interfaces):
        for a, address in enumerate(interface.addresses):
            where = ("interfaces", i, "addresses", a)
            network = address.network
            if other := next((n for n in seen if n.version == network.version and n.overlaps(network)), None):
                yield where, f"{network} overlaps {other} of another address; each network is attached once"
            seen.append(network)
            host_bits = network.max_prefixlen - network.prefixlen
            if address.ip == network.network_address and host_bits > 1:
                yield where, f"{address} is the network itself, give the switch's address in it"


def routes_lead_somewhere(config: "Config", _: Places) -> Iterator[Breach]:
    attached = attached_networks(config)
    for i, route in enumerate(config.routes):
        if route.destination.version != route.gateway.version:
            yield ("routes", i, "gateway"), "must be of the same family (IPv4 or IPv6) as the destination"
        elif not any(route.gateway in network for network in attached):
            yield ("routes", i, "gateway"), f"{route.gateway} is in no network of an interface"
        if route.destination in attached:
            yield ("routes", i, "destination"), f"{route.destination} is attached, it needs no route"
    yield from _repeated(
        ((("routes", i, "destination"), route.destination) for i, route in enumerate(config.routes)),
        lambda destination: f"there are two routes to {destination}",
    )


def neighbors_are_attached(config: "Config", _: Places) -> Iterator[Breach]:
    for i, neighbor in enumerate(config.neighbors):
        interface = next(
            (
                interface
                for interface in config.interfaces
                if any(neighbor.address in address.network for address in interface.addresses)
            ),
            None,
        )
        if interface is None:
            yield ("neighbors", i, "address"), f"{neighbor.address} is in no network of an interface"
        elif neighbor.port not in interface.ports:
            ports = ", ".join(map(str, interface.ports))
            yield ("neighbors", i, "port"), f"interface {interface.name} has the ports {ports}"
    yield from _repeated(
        ((("neighbors", i, "address"), neighbor.address) for i, neighbor in enumerate(config.neighbors)),
        lambda address: f"there are two neighbors {address}",
    )


def vips_have_addresses_of_their_own(config: "Config", _: Places) -> Iterator[Breach]:
    own, vips = _own_addresses(config), {vip.address for vip in config.vips}
    for i, vip in enumerate(config.vips):
        if vip.address in own:
            yield ("vips", i, "address"), f"{vip.address} is the address of interface {own[vip.address]}"
    for i, source in enumerate(config.health_sources):
        if source in own or source in vips:
            yield ("health_sources", i), f"{source} belongs to the switch, which answers for it itself"


def backends_have_addresses_of_their_own(config: "Config", places: Places) -> Iterator[Breach]:
    own, vips = _own_addresses(config), {vip.address: vip.name for vip in config.vips}
    for where, pool in places:
        for b, backend in enumerate(pool.backends):
            place = (*where, "backends", b, "address")
            if backend.address in own:
                yield place, f"{backend.address} is the address of interface {own[backend.address]}"
            if backend.address in vips:
                yield place, f"{backend.address} is the address of VIP {vips[backend.address]}"


def _own_addresses(config: "Config") -> dict[Address, str]:
    return {address.ip: interface.name for interface in config.interfaces for address in interface.addresses}


def vips_find_their_pool(config: "Config", _: Places) -> Iterator[Breach]:
    pools = {pool.name for pool in config.pools}
    for i, vip in enumerate(config.vips):
        if vip.pool not in pools:
            there_is = ", ".join(sorted(pools)) or "none"
            yield ("vips", i, "pool"), f"there is no pool named {vip.pool}; there is: {there_is}"


def vips_are_apart(config: "Config", _: Places) -> Iterator[Breach]:
    yield from _repeated(
        ((("vips", i), (vip.address, vip.protocol, vip.port)) for i, vip in enumerate(config.vips)),
        lambda service: f"there are two VIPs with address {service[0]}, {service[1]} port {service[2]}",
    )
    yield from _crossing_ranges(config)


def _crossing_ranges(config: "Config") -> Iterator[Breach]:
    """Of two ranges the narrower goes before, so one may lie within the other, but not across its end."""
    ranges = [(i, vip, vip.port) for i, vip in enumerate(config.vips) if isinstance(vip.port, PortRange)]
    for n, (i, vip, ports) in enumerate(ranges):
        for _, other, others in ranges[:n]:
            same = (vip.address, vip.protocol) == (other.address, other.protocol)
            if same and ports.overlaps(others) and ports not in others and others not in ports:
                yield ("vips", i, "port"), f"{ports} overlaps ports {others} of VIP {other.name}"


def vips_name_their_clients(config: "Config", _: Places) -> Iterator[Breach]:
    for i, vip in enumerate(config.vips):
        longest = vip.address.max_prefixlen
        if vip.affinity_prefix is not None and vip.affinity_prefix > longest:
            text = f"is {vip.affinity}, of an IPv{vip.address.version} address at most client/{longest}"
            yield ("vips", i, "affinity"), text
        for part, networks in (("allow", vip.allow), ("deny", vip.deny)):
            for n, network in enumerate(networks):
                if network.version != vip.address.version:
                    text = f"{network} is IPv{network.version}, but the VIP is IPv{vip.address.version}"
                    yield ("vips", i, part, n), text
                elif part == "deny" and network in vip.allow:
                    yield ("vips", i, part, n), f"{network} is allowed, too; say one or the other"


def pools_are_sound(config: "Config", places: Places) -> Iterator[Breach]:
    for where, pool in places:
        if pool.buckets < BUCKETS_PER_BACKEND * len(pool.backends):
            needed = 1 << (BUCKETS_PER_BACKEND * len(pool.backends) - 1).bit_length()
            yield (*where, "buckets"), f"{len(pool.backends)} backends need at least {needed} buckets"
        yield from _repeated(
            (
                ((*where, "backends", b, "address"), (backend.address, backend.port))
                for b, backend in enumerate(pool.backends)
            ),
            lambda service: f"there are two backends at {service[0]} port {service[1] or 'of the VIP'}",
        )
        if not pool.mode.is_tunnel:
            yield from _families(config, pool, where)
        yield from _kept_ports(config, pool, where)
        yield from _tunnel(config, pool, where)
        yield from _health_port(config, pool, where)
        yield from _passive(pool, where)
    if sum(len(pool.backends) for pool in config.pools) > LAST_BACKEND:
        yield ("pools",), f"there are more than {LAST_BACKEND} backends"


def _families(config: "Config", pool: "Pool", where: Location) -> Iterator[Breach]:
    for vip in config.vips_of(pool.name):
        for b, backend in enumerate(pool.backends):
            if backend.address.version != vip.address.version:
                yield (
                    (*where, "backends", b, "address"),
                    f"{backend.address} is IPv{backend.address.version}, but VIP {vip.name} of this pool is "
                    f"IPv{vip.address.version}; {pool.mode} does not translate between families",
                )


def _kept_ports(config: "Config", pool: "Pool", where: Location) -> Iterator[Breach]:
    for vip in config.vips_of(pool.name):
        for b, backend in enumerate(pool.backends):
            if backend.port in (None, vip.port):
                continue
            place = (*where, "backends", b, "port")
            if isinstance(vip.port, PortRange):
                yield place, f"leave it out: VIP {vip.name} has several ports, and each is kept"
            elif pool.mode != "nat":
                text = (
                    f"{pool.mode} rewrites no port: leave it out, or give {vip.port} as VIP {vip.name} has it"
                )
                yield place, text


def _tunnel(config: "Config", pool: "Pool", where: Location) -> Iterator[Breach]:
    tunnel = pool.tunnel
    if not pool.mode.is_tunnel:
        if tunnel != type(tunnel)():
            yield (*where, "tunnel"), f"means nothing in mode {pool.mode}, which has no tunnels; leave it out"
        return
    if pool.mode == "vxlan" and tunnel.inner_mac is None:
        text = "is missing: the MAC address of the backends' VXLAN interfaces, the same on all of them"
        yield (*where, "tunnel", "inner_mac"), text
    own = [address.ip for interface in config.interfaces for address in interface.addresses]
    if tunnel.source is not None and tunnel.source not in own:
        yield (*where, "tunnel", "source"), f"{tunnel.source} is the address of no interface of the switch"
        return
    for b, backend in enumerate(pool.backends):
        version = backend.address.version
        if not any(one.version == version for one in ([tunnel.source] if tunnel.source else own)):
            text = f"the tunnel to {backend.address} needs an address of the switch that is IPv{version}"
            yield (*where, "backends", b, "address"), text


def _health_port(config: "Config", pool: "Pool", where: Location) -> Iterator[Breach]:
    if isinstance(pool.health, Portless) or pool.health.port is not None:
        return
    vip_ports = {vip.port for vip in config.vips_of(pool.name)}
    several = len(vip_ports) > 1 or any(isinstance(port, PortRange) for port in vip_ports)
    if several and any(backend.port is None for backend in pool.backends):
        ports = ", ".join(map(str, sorted(vip_ports, key=lambda port: (span(port).low, span(port).high))))
        yield (*where, "health", "port"), f"say which port to check: the VIPs of this pool have {ports}"


def _passive(pool: "Pool", where: Location) -> Iterator[Breach]:
    passive, where = pool.passive, (*where, "passive")
    if pool.mode != "nat" and passive != type(passive)():
        text = f"means nothing in mode {pool.mode}, whose answers do not pass the switch; leave it out"
        yield where, text
    elif isinstance(pool.health, NoCheck):
        for kind in ("silent", "refusing"):
            if getattr(passive, kind) is Reaction.CHECK:
                yield (*where, kind), "there are no checks that could hurry: say eject, or none"


def nat_answers_are_unambiguous(config: "Config", places: Places) -> Iterator[Breach]:
    """An answer is recognised by its source alone, so a service of a backend belongs to one VIP."""
    owners: dict[tuple[Address, str], list[tuple[PortRange, str]]] = defaultdict(list)
    first = {(vip.address, vip.protocol, vip.port): vip for vip in reversed(config.vips)}
    addresses = {backend.address for _, pool in places for backend in pool.backends}
    looked_at = {where for where, _ in places}
    for where, pool in _places(config):
        # Two that have nothing of `places` are as they were.
        elsewhere = where not in looked_at and addresses.isdisjoint(b.address for b in pool.backends)
        if pool.mode != "nat" or elsewhere:
            continue
        for vip in config.vips_of(pool.name):
            if first[vip.address, vip.protocol, vip.port] is not vip:
                continue  # two VIPs in one place are a mistake of their own
            for b, backend in enumerate(pool.backends):
                served = owners[backend.address, vip.protocol]
                port = backend.port or vip.port
                other = next((o for ports, o in served if o != vip.name and ports.overlaps(span(port))), None)
                served.append((span(port), vip.name))
                if other is not None:
                    yield (
                        (*where, "backends", b),
                        f"{vip.protocol} port {port} of {backend.address} serves both VIP {other} and "
                        f"VIP {vip.name}; in nat mode a service belongs to one VIP: use another port, or "
                        f"leave the backend's port out so that it keeps each VIP's",
                    )


def backends_are_reachable(config: "Config", places: Places) -> Iterator[Breach]:
    reachable = [*attached_networks(config), *(route.destination for route in config.routes)]
    for where, pool in places:
        for b, backend in enumerate(pool.backends):
            if not any(backend.address in network for network in reachable):
                yield (
                    (*where, "backends", b, "address"),
                    f"there is no route to {backend.address}: it is in no network of an interface or route",
                )


def attached_networks(config: "Config") -> list[Network]:
    return [address.network for interface in config.interfaces for address in interface.addresses]


def _repeated(items: Iterable[tuple[Location, K]], text: Callable[[K], str]) -> Iterator[Breach]:
    seen: dict[K, list[Location]] = defaultdict(list)
    for where, key in items:
        seen[key].append(where)
    for key, places in seen.items():
        for where in places[1:]:
            yield where, text(key)


RULES_AROUND_POOLS = (
    interfaces_are_apart,
    routes_lead_somewhere,
    neighbors_are_attached,
    vips_have_addresses_of_their_own,
    vips_are_apart,
    vips_name_their_clients,
)
"""These read no pool."""

RULES_OF_POOLS = (
    names_are_unique,
    backends_have_addresses_of_their_own,
    vips_find_their_pool,
    pools_are_sound,
    nat_answers_are_unambiguous,
    backends_are_reachable,
)
