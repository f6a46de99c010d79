"""The ports as OpenConfig's tree of interfaces, for gNMI: which leaves there are, and which a path selects.

    interfaces/interface[name=s1-eth1]/state/oper-status

A path may leave off its end (everything below), leave out a key or give "*" for it or for a name (any), and
have "..." for any number of levels (gNMI specification, "Wildcards in Paths").
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from finsy.proto import gnmi

from switch.ports import Port

Value = str | int
ANY, ANY_LEVELS = "*", "..."

Counts = Mapping[str, int]
"""What the data plane counts at a port (PortCounters); what it does not count is not there."""


COUNTERS = {
    "in-pkts": ("rx_packets",),
    "in-octets": ("rx_bytes",),
    "in-discards": ("rx_dropped", "rx_too_long"),
    "out-pkts": ("tx_packets",),
    "out-octets": ("tx_bytes",),
    "out-discards": ("tx_dropped", "tx_too_long"),
}
"""openconfig-interfaces' names, and what each is the sum of."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """below: the names under interfaces/interface[name=...]. changes: with the state of the port."""

    below: tuple[str, ...]
    value: Callable[[Port, Counts], Value]
    changes: bool = False

    @property
    def is_config(self) -> bool:
        return self.below[0] in ("name", "config")


# ifindex and id (of openconfig-p4rt) are P4Runtime's port number: what a controller writes into its entries.
LEAVES = (
    Leaf(("name",), lambda port, _: port.name),
    Leaf(("config", "name"), lambda port, _: port.name),
    Leaf(("config", "id"), lambda port, _: port.number),
    Leaf(("state", "name"), lambda port, _: port.name),
    Leaf(("state", "ifindex"), lambda port, _: port.number),
    Leaf(("state", "id"), lambda port, _: port.number),
    Leaf(("state", "oper-status"), lambda port, _: "UP" if port.up else "DOWN", changes=True),
    Leaf(("state", "last-change"), lambda port, _: port.changed_at, changes=True),
    Leaf(("state", "counters", "carrier-transitions"), lambda port, _: port.changes, changes=True),
    *(
        Leaf(
            ("state", "counters", name),
            lambda _, counts, summed=summed: sum(counts.get(n, 0) for n in summed),
        )
        for name, summed in COUNTERS.items()
    ),
)


@dataclass(frozen=True, slots=True)
class Element:
    """A step of a path: a name, and the interface's name if it has one as its key."""

    name: str
    key: str = ANY


def elements(prefix: gnmi.Path, path: gnmi.Path) -> tuple[Element, ...]:
    """A request's path as a whole. Raises ValueError when it has keys that there are none of."""
    found: list[Element] = []
    for element in (*prefix.elem, *path.elem):
        keys: Mapping[str, str] = element.key
        if keys.keys() - {"name"}:
            raise ValueError(f"interfaces have one key, name; not {', '.join(keys)}")
        found.append(Element(element.name, keys.get("name", ANY)))
    return tuple(found)


def selects(wanted: Sequence[Element], port: Port, leaf: Leaf) -> bool:
    """Whether a path selects this leaf of this port."""
    place = (Element("interfaces"), Element("interface", port.name), *map(Element, leaf.below))
    return _begins(wanted, place)


def _begins(wanted: Sequence[Element], place: Sequence[Element]) -> bool:
    if not wanted:
        return True
    first, rest = wanted[0], wanted[1:]
    if first.name == ANY_LEVELS:
        return any(_begins(rest, place[skipped:]) for skipped in range(len(place) + 1))
    return (
        bool(place)
        and first.name in (ANY, place[0].name)
        and (first.key == ANY or first.key == place[0].key)
        and _begins(rest, place[1:])
    )


def exists(wanted: Sequence[Element]) -> bool:
    """Whether a path can select anything, if there are interfaces of the names in it."""
    names = {element.key for element in wanted} or {ANY}
    return any(selects(wanted, Port(0, name), leaf) for name in names for leaf in LEAVES)


def path_of(port: Port, leaf: Leaf) -> gnmi.Path:
    """The whole path of a leaf."""
    steps = [
        gnmi.PathElem(name="interfaces"),
        gnmi.PathElem(name="interface", key={"name": port.name}),
        *(gnmi.PathElem(name=name) for name in leaf.below),
    ]
    return gnmi.Path(elem=steps)
