"""The whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from switch.compiler.model.actions import Action, FieldList, LearnList
from switch.compiler.model.arrays import Counter, Meter, Register
from switch.compiler.model.calculations import Calculation, Checksum
from switch.compiler.model.headers import FieldRef, Header, Stack, Union, UnionStack
from switch.compiler.model.parser import Parser, ValueSet
from switch.compiler.model.pipelines import ActionProfile, Deparser, Pipeline, TableNode


@dataclass(frozen=True, eq=False)
class Program:
    """Everything. Mappings go by name and keep the JSON's order."""

    name: str
    headers: Mapping[str, Header]
    stacks: Mapping[str, Stack]
    unions: Mapping[str, Union]
    union_stacks: Mapping[str, UnionStack]
    aliases: Mapping[str, FieldRef]
    errors: Mapping[str, int]
    parser: Parser
    deparser: Deparser
    ingress: Pipeline
    egress: Pipeline
    actions: tuple[Action, ...]
    counters: Mapping[str, Counter]
    registers: Mapping[str, Register]
    meters: Mapping[str, Meter]
    calculations: Mapping[str, Calculation]
    profiles: Mapping[str, ActionProfile]
    value_sets: Mapping[str, ValueSet]
    checksums: tuple[Checksum, ...]
    field_lists: Mapping[int, FieldList]
    learn_lists: Mapping[int, LearnList]
    tables: Mapping[str, TableNode] = field(init=False)
    """All but the wrappers, of both pipelines."""

    def __post_init__(self) -> None:
        tables = {t.name: t for p in (self.ingress, self.egress) for t in p.tables if not t.inline}
        object.__setattr__(self, "tables", tables)
