"""Header types, headers and metadata, stacks and unions: JSON to model."""

from typing import Any

from switch.compiler.jsonin import anything, integers, member, members, pair, refuse
from switch.compiler.model import MAX_BITS, Field, Header, HeaderType, Stack, Union, UnionStack
from switch.compiler.read_expressions import Names

BITS_PER_BYTE = 8

MAX_STACK = 255
"""Headers: the fill of a stack is counted in a byte."""


def read_headers(names: Names, document: dict[str, Any]) -> None:
    for what, obj in members(document, "header_types", "header type"):
        type_ = _header_type(what, obj)
        names.types[type_.name] = type_
    by_id = {member(obj, "id", int, what): obj for what, obj in members(document, "headers", "header")}
    for what, obj in members(document, "header_stacks", "header stack"):
        _read_stack(names, what, obj, by_id)
    in_unions = _union_members(document)
    _read_union_stacks(names, document, by_id)
    in_stacks = _stack_members(names)
    for what, obj in members(document, "headers", "header"):
        name = member(obj, "name", str, what)
        type_ = names.find(names.types, obj.get("header_type"), "header type", what)
        own = Header(
            name, type_, bool(obj.get("metadata")), union=in_unions.get(member(obj, "id", int, what))
        )
        names.headers[name] = in_stacks.get(name, own)
        if names.headers[name].type is not type_:
            raise refuse(what, "is of another type than its stack")
        if not obj.get("metadata") and type_.fixed_bits % BITS_PER_BYTE:
            raise refuse(what, f"its {type_.fixed_bits} bits are no whole bytes")
    for what, obj in members(document, "header_unions", "header union"):
        name = member(obj, "name", str, what)
        own = tuple(header for header in names.headers.values() if header.union == name)
        names.unions[name] = Union(name, own)
    for what, obj in members(document, "header_union_stacks", "stack of header unions"):
        name = member(obj, "name", str, what)
        parts = {
            part.name.removeprefix(f"{name}."): part for part in names.stacks.values() if part.counter == name
        }
        unions = tuple(names.unions[u] for u in _stacked_unions(document, what, obj))
        names.union_stacks[name] = UnionStack(name, parts, unions)
    for item in anything(document, "field_aliases", "the program"):
        alias, target = pair(item, "field_aliases")
        names.aliases[str(alias)] = names.plain_field(target, f"field alias '{alias}'")


def _read_stack(names: Names, what: str, obj: dict[str, Any], by_id: dict[int, dict[str, Any]]) -> None:
    name = member(obj, "name", str, what)
    type_ = names.find(names.types, obj.get("header_type"), "header type", what)
    ids = integers(obj, "header_ids", what)
    if any(i not in by_id for i in ids):
        raise refuse(what, f"names a header that there is not, of {ids}")
    titles = [member(by_id[i], "name", str, what) for i in ids]
    own = tuple(Header(title, type_, False, name, place) for place, title in enumerate(titles))
    names.stacks[name] = Stack(name, type_, own, counter=name)


def _stack_members(names: Names) -> dict[str, Header]:
    """The headers of all stacks by name. A header is in one stack, once."""
    found: dict[str, Header] = {}
    for stack in names.stacks.values():
        if not 0 < len(stack.headers) <= MAX_STACK:
            raise refuse(
                f"header stack '{stack.name}'",
                f"has {len(stack.headers)} headers; this switch does 1 to {MAX_STACK}",
            )
        for header in stack.headers:
            if header.name in found:
                raise refuse(f"header stack '{stack.name}'", f"header '{header.name}' is in a stack already")
            found[header.name] = header
    return found


def _stacked_unions(document: dict[str, Any], what: str, obj: dict[str, Any]) -> dict[str, list[int]]:
    """The unions of a stack in order: name to the headers' ids."""
    unions = {
        member(union, "id", int, within): (
            member(union, "name", str, within),
            integers(union, "header_ids", within),
        )
        for within, union in members(document, "header_unions", "header union")
    }
    ids = integers(obj, "header_union_ids", what)
    if any(i not in unions for i in ids):
        raise refuse(what, f"names a header union that there is not, of {ids}")
    return dict(unions[i] for i in ids)


def _read_union_stacks(names: Names, document: dict[str, Any], by_id: dict[int, dict[str, Any]]) -> None:
    """The stacks of their members; the unions themselves follow when all headers are known."""
    types = {
        member(obj, "name", str, what): [pair(item, what) for item in member(obj, "headers", list, what)]
        for what, obj in members(document, "header_union_types", "header union type")
    }
    for what, obj in members(document, "header_union_stacks", "stack of header unions"):
        name = member(obj, "name", str, what)
        union_type = names.find(types, obj.get("union_type"), "header union type", what)
        unions = _stacked_unions(document, what, obj)
        for place, (part, type_name) in enumerate(union_type):
            type_ = names.find(names.types, type_name, "header type", what)
            own: list[Header] = []
            for index, (union, ids) in enumerate(unions.items()):
                if len(ids) != len(union_type) or ids[place] not in by_id:
                    raise refuse(what, f"its header union '{union}' is not of the type")
                header = member(by_id[ids[place]], "name", str, what)
                own.append(Header(header, type_, False, f"{name}.{part}", index, union))
            names.stacks[f"{name}.{part}"] = Stack(f"{name}.{part}", type_, tuple(own), counter=name)


def _union_members(document: dict[str, Any]) -> dict[int, str]:
    """The union of each header that is in one, by the header's id."""
    return {
        header: member(obj, "name", str, what)
        for what, obj in members(document, "header_unions", "header union")
        for header in integers(obj, "header_ids", what)
    }


def _header_type(what: str, obj: dict[str, Any]) -> HeaderType:
    fields: list[Field] = []
    for item in member(obj, "fields", list, what):
        if not isinstance(item, list) or not 2 <= len(item) <= 4:
            raise refuse(what, f"{item!r} is no field")
        name, bits, *flags = item
        if not isinstance(name, str):
            raise refuse(what, f"{item!r} is no field")
        if len(flags) == 2 and flags[1]:
            raise refuse(what, f"field '{name}' is saturating, which this switch cannot do")
        if bits == "*":
            if "max_length" not in obj or obj.get("length_exp") is not None:
                raise refuse(what, f"the length of varbit '{name}' must come from the parser's extract")
            fields.append(Field(name, 0, varbit=True))
        elif isinstance(bits, int) and bits > 0:
            fields.append(Field(name, bits, signed=bool(flags and flags[0])))
        else:
            raise refuse(what, f"field '{name}' has the width {bits!r}")
    fixed = sum(f.bits for f in fields)
    wide = next((f for f in fields if f.bits > MAX_BITS), None)
    if wide:
        raise refuse(what, f"field '{wide.name}' has {wide.bits} bits; this switch does {MAX_BITS}")
    if "max_length" in obj and any(f.varbit for f in fields):
        room = member(obj, "max_length", int, what) * BITS_PER_BYTE - fixed
        fields = [Field(f.name, room, varbit=True) if f.varbit else f for f in fields]
    return HeaderType(member(obj, "name", str, what), tuple(fields))
