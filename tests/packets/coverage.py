"""Which tables and actions of the program packets have reached, by their traces."""

from collections.abc import Iterable

import pytest

from switch.engine import Engine
from switch.trace import Event

REACHED = pytest.StashKey[list[str]]()
"""What is told at the end of a run."""


class Coverage:
    """What an engine's program has, and what of it was seen."""

    def __init__(self, engine: Engine) -> None:
        self._all = {
            "tables hit": {name for name, table in engine.tables.items() if table.keys},
            "tables missed": {
                name for name, table in engine.tables.items() if table.keys and not table.immutable
            },
            "actions of tables": {
                f"{name}: {action}"
                for name, table in engine.tables.items()
                if table.keys
                for action in table.actions
                if action != "NoAction"
            },
        }
        self._seen: dict[str, set[str]] = {kind: set() for kind in self._all}

    def add(self, events: Iterable[Event]) -> None:
        table = ""
        for event in events:
            if event.kind == "table":
                table = event.name
                hit = dict(event.values)["hit"]
                self._seen["tables hit" if hit else "tables missed"].add(table)
            elif event.kind == "action":
                self._seen["actions of tables"].add(f"{table}: {event.name}")
                table = ""  # an action that is called otherwise belongs to no table

    def lines(self) -> list[str]:
        """For people."""
        found = []
        for kind, names in self._all.items():
            missing = sorted(names - self._seen[kind])
            found.append(f"{kind}: {len(names) - len(missing)} of {len(names)}")
            found += [f"    not {name}" for name in missing]
        return found
