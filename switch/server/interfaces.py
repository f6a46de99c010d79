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

OPER_STATUS = ("state", "oper-status")


@dataclass(frozen=True, slots=True)
class Leaf:
    """below: the names under interfaces/interface[name=...]."""

    below: tuple[str, ...]
    value: Callable[[Port], Value]

    @property
    def is_config(self) -> bool:
        return self.below[0] in ("name", "config")


# ifindex and id (of openconfig-p4rt) are P4Runtime's port number: what a controller writes into its entries.
LEAVES = (
    Leaf(("name",), lambda port: port.name),
    Leaf(("config", "name"), lambda port: port.name),
    Leaf(("config", "id"), lambda port: port.number),
    Leaf(("state", "name"), lambda port: port.name),
    Leaf(("state", "ifindex"), lambda port: port.number),
    Leaf(("state", "id"), lambda port: port.number),
    Leaf(OPER_STATUS, lambda port: "UP" if port.up else "DOWN"),
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
