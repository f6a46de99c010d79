"""What distinguishes one configuration from another, value by value.

    for difference in differences(before, after):
        print(difference.path, difference.before, difference.after)     # pools[web].backends[b1].weight 1 3

Paths are those of error messages: items of a list are found by their name (or what else identifies them), so
their order makes no difference. Something that came or went as a whole is one difference.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from controller.config import document_of
from controller.model import Config
from controller.problems import join

# What identifies the items of these lists; the items of all others are plain values, compared in their order.
IDENTITIES = {
    "interfaces": "name",
    "routes": "destination",
    "neighbors": "address",
    "pools": "name",
    "backends": "name",
    "vips": "name",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not the same: plain data as in a document; None on the side that lacks it."""

    path: str
    before: Any
    after: Any


def differences(before: Config, after: Config) -> tuple[Difference, ...]:
    """All of them, in the order of the document."""
    return tuple(_compare("", document_of(before), document_of(after)))


def _compare(path: str, before: Any, after: Any, key: str = "") -> Iterator[Difference]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for inner in _keys(before, after):
            yield from _compare(join(path, inner), before.get(inner), after.get(inner), inner)
    elif isinstance(before, list) and isinstance(after, list) and key in IDENTITIES:
        old, new = ({item[IDENTITIES[key]]: item for item in items} for items in (before, after))
        for name in _keys(old, new):
            yield from _compare(f"{path}[{name}]", old.get(name), new.get(name))
    else:
        yield Difference(path, before, after)


def _keys(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The keys of both, each once."""
    return list(before | after)
