"""What is refused in a P4Info, and what is understood of it."""

from collections.abc import Callable

import pytest
from finsy.proto import p4i
from google.protobuf import text_format

from switch.entries import MatchKind
from switch.p4info import CounterUnit, P4InfoError, Schema
from tests.switch import service


def changed(change: Callable[[p4i.P4Info], object]) -> p4i.P4Info:
    """That of service.p4, with something wrong in it."""
    p4info = p4i.P4Info()
    p4info.CopyFrom(service.P4INFO)
    change(p4info)
    return p4info


def of(p4info: p4i.P4Info, alias: str) -> p4i.Table:
    return next(table for table in p4info.tables if table.preamble.alias == alias)


def header(p4info: p4i.P4Info, name: str) -> p4i.ControllerPacketMetadata:
    return next(one for one in p4info.controller_packet_metadata if one.preamble.name == name)


def translate_to_string(p4info: p4i.P4Info) -> None:
    p4info.type_info.new_types["port_t"].translated_type.sdn_string.SetInParent()
    of(p4info, "bridge").match_fields[0].type_name.name = "port_t"


def varbit_in_digest(p4info: p4i.P4Info) -> None:
    source = p4info.type_info.structs["learned_t"].members[0]
    source.type_spec.bitstring.varbit.max_bitwidth = 8


WRONG = {
    "two objects with one id": (
        lambda p: setattr(p.tables[1].preamble, "id", p.tables[0].preamble.id),
        "have the same id",
    ),
    "id 0": (lambda p: setattr(p.actions[0].preamble, "id", 0), "has id 0"),
    "unknown action": (
        lambda p: of(p, "bridge").action_refs.add(id=99),
        "table ServiceIngress.bridge: there is no action with id 99",
    ),
    "unknown kind of match": (
        lambda p: setattr(of(p, "bridge").match_fields[0], "other_match_type", "selector"),
        "does not know the match type of destination: selector",
    ),
    "no width": (
        lambda p: setattr(header(p, "packet_out").metadata[0], "bitwidth", 0),
        "packet_out: unused has no bit width",
    ),
    "translation to a string": (translate_to_string, "destination is translated to a string"),
    "an unknown type": (
        lambda p: setattr(of(p, "bridge").match_fields[0].type_name, "name", "nothing_t"),
        "a type nothing_t that it does not describe",
    ),
    "a header of broken bytes": (
        lambda p: setattr(header(p, "packet_in").metadata[0], "bitwidth", 8),
        "the packet_in header has 15 bits",
    ),
    "a digest of something else": (varbit_in_digest, "digest learned_t: source is a varbit"),
    "a digest of an unknown type": (
        lambda p: setattr(p.digests[0].type_spec.struct, "name", "nothing_t"),
        "does not describe its type nothing_t",
    ),
}


@pytest.mark.parametrize(("change", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_p4info_is_refused(change: Callable[[p4i.P4Info], object], says: str) -> None:
    with pytest.raises(P4InfoError, match=says):
        Schema.parse(changed(change))


def test_parsing_changes_nothing() -> None:
    """Protobuf maps grow when asked for what they lack, and clients get the P4Info back as it was."""
    before = service.P4INFO.SerializeToString(deterministic=True)
    Schema.parse(service.P4INFO)
    assert service.P4INFO.SerializeToString(deterministic=True) == before


def test_what_is_understood() -> None:
    schema = Schema.parse(service.P4INFO)
    acl = schema.tables[service.id_of("acl")]
    assert [(field.name, field.kind, field.bits, field.optional) for field in acl.fields] == [
        ("source", MatchKind.TERNARY, 48, False),
        ("type", MatchKind.TERNARY, 16, True),
        ("port", MatchKind.RANGE, 9, False),
    ]
    assert acl.direct_counter == CounterUnit(packets=False, octets=True)
    assert acl.needs_priority
    scoped = schema.tables[service.id_of("scoped")]
    assert {c.action.name: (c.for_entries, c.for_default) for c in scoped.actions.values()} == {
        "ServiceIngress.mark": (True, False),
        "ServiceIngress.drop": (False, True),
        "NoAction": (True, True),
    }
    assert schema.tables[service.id_of("constant_default")].const_default
    assert schema.tables[service.id_of("fixed")].const_entries
    assert schema.packet_in.octets == 2
    (digest,) = schema.digests.values()
    assert [(field.name, field.bits) for field in digest.fields] == [("source", 48), ("port", 9)]


def test_types_under_other_names_are_numbers_too() -> None:
    p4info = text_format.Parse(
        """
        registers {
          preamble { id: 1 name: "r" }
          type_spec { new_type { name: "outer_t" } }
          size: 4
        }
        registers {
          preamble { id: 2 name: "s" }
          type_spec { bitstring { int { bitwidth: 8 } } }
          size: 4
        }
        type_info {
          new_types { key: "outer_t" value { original_type { new_type { name: "inner_t" } } } }
          new_types { key: "inner_t" value { original_type { bitstring { bit { bitwidth: 12 } } } } }
        }
        """,
        p4i.P4Info(),
    )
    registers = Schema.parse(p4info).registers
    assert registers[1].bits == 12
    assert registers[2].bits is None
