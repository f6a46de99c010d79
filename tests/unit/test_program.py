"""The names, widths and enumerations that the controller uses are those of the compiled program."""

from pathlib import Path

import pytest
from finsy.proto import p4i, p4r

from controller import program
from controller.codec import Codec, decode, parse_p4info
from controller.encoding import embedded, tag_of
from controller.errors import PipelineRefused
from controller.program import Change, Do, Field, Kind, Table
from controller.values import LAST_BACKEND

P4INFO = Path(__file__).parents[2] / "p4src" / "compiled" / "sluice.p4info.txtpb"


@pytest.fixture(scope="module")
def p4info() -> p4i.P4Info:
    return parse_p4info(P4INFO.read_text())


def table_of(p4info: p4i.P4Info, name: str) -> p4i.Table:
    (table,) = (table for table in p4info.tables if table.preamble.alias == name)
    return table


ENTRIES = [table for table in program.TABLES if table.form in (program.Form.ENTRIES, program.Form.DEFAULT)]
METERS = [table for table in program.TABLES if table.form is program.Form.METER]


@pytest.mark.parametrize("table", [*ENTRIES, *program.CONST_TABLES], ids=repr)
def test_tables_have_these_keys(p4info: p4i.P4Info, table: Table) -> None:
    match_types = p4i.MatchField.MatchType
    compiled = table_of(p4info, table.name)
    assert [
        Field(field.name, field.bitwidth, program.Match(match_types.Name(field.match_type)))
        for field in compiled.match_fields
    ] == list(table.key)
    assert compiled.is_const_table == table.const


@pytest.mark.parametrize("table", ENTRIES, ids=repr)
def test_tables_have_these_actions(p4info: p4i.P4Info, table: Table) -> None:
    by_id = {action.preamble.id: action for action in p4info.actions}
    offered = {
        by_id[ref.id].preamble.alias: by_id[ref.id] for ref in table_of(p4info, table.name).action_refs
    }
    offered.pop("NoAction", None)
    assert {
        name: tuple(Field(p.name, p.bitwidth) for p in action.params) for name, action in offered.items()
    } == table.actions


def test_every_table_of_the_program_is_known(p4info: p4i.P4Info) -> None:
    known = {table.name for table in (*ENTRIES, *program.CONST_TABLES)}
    assert {table.preamble.alias for table in p4info.tables} == known


def test_direct_counters_belong_to_these_tables(p4info: p4i.P4Info) -> None:
    names = {table.preamble.id: table.preamble.alias for table in p4info.tables}
    compiled = {names[counter.direct_table_id]: counter.preamble.alias for counter in p4info.direct_counters}
    tables = (*program.TABLES, *program.CONST_TABLES)
    assert compiled == {table.name: table.counter for table in tables if table.counter}


def test_meters_have_these_names(p4info: p4i.P4Info) -> None:
    assert {meter.preamble.alias for meter in p4info.meters} >= {table.name for table in METERS}


def test_indirect_counters_have_these_sizes(p4info: p4i.P4Info) -> None:
    assert {counter.preamble.alias: counter.size for counter in p4info.counters} == program.COUNTERS


@pytest.mark.parametrize(
    ("header", "fields"), [("packet_in", program.PACKET_IN), ("packet_out", program.PACKET_OUT)]
)
def test_controller_headers_have_these_fields(
    p4info: p4i.P4Info, header: str, fields: tuple[Field, ...]
) -> None:
    (compiled,) = (h for h in p4info.controller_packet_metadata if h.preamble.alias == header)
    assert tuple(Field(item.name, item.bitwidth) for item in compiled.metadata) == fields


def test_modes_have_these_numbers(p4info: p4i.P4Info) -> None:
    members = p4info.type_info.serializable_enums["mode_t"].members
    compiled = {member.name.lower(): decode(member.value) for member in members}
    assert compiled == {"none": 0} | {mode.value: number for mode, number in program.MODES.items()}


def test_punt_reasons_have_these_names(p4info: p4i.P4Info) -> None:
    by_id = {action.preamble.id: action.preamble.alias for action in p4info.actions}
    compiled = {by_id[ref.id] for ref in table_of(p4info, "punts").action_refs} - {"NoAction"}
    assert compiled == {reason.value for reason in program.Punt}


def test_pools_fit_their_table(p4info: p4i.P4Info) -> None:
    assert table_of(p4info, "pools").size == program.LAST_POOL + 1


def test_vips_fit_their_meter(p4info: p4i.P4Info) -> None:
    (rate,) = (meter for meter in p4info.meters if meter.preamble.alias == program.VIP_RATE.name)
    assert rate.size == program.LAST_VIP + 1


def test_a_program_without_our_names_is_refused(p4info: p4i.P4Info) -> None:
    other = p4i.P4Info()
    other.CopyFrom(p4info)
    table_of(other, "vips").preamble.alias = "services"
    with pytest.raises(PipelineRefused, match="no table named vips"):
        Codec(other)


ROWS = [
    (program.VIPS, (0xFFFF0A000064, 6, 80), program.serve(1, 2)),
    (program.VIP_RANGES, (0xFFFF0A000064, 6, 8000, 8099), program.serve(3, 4, refusal=1)),
    (program.VIP_RANGES, (0xFFFF0A000064, 17, 0, 65535), program.serve(3, 4, port_mask=0)),
    (program.SOURCES, (3, 0xFFFF00000000, 96), Do("deny")),
    (program.SOURCES, (3, 0, 0), Do("allow")),
    (program.LIVENESS_SETTINGS, (), Do("settings", (3, 5000, 8191))),
    (program.CURRENT_PROBED, (7,), Do("current.is_probed")),
    (program.VIP_RATE, (8191,), Do("rate", (1000, 100))),
    (program.BUCKETS, (1, 0), Do("owners", (LAST_BACKEND, 0, 65536, 0, 65535))),
    (program.ROUTES, (0, 0), Do("via", (1 << 127,))),
    (program.ROUTES, (0xFFFF0A000000, 104), Do("connected")),
    (program.HEALTH_CHECKERS, (0, 0, 5, 2**128 - 1), Do("untranslated")),
    (program.NEIGHBORS, (1,), Do("forward", (510, 2**48 - 1, 0, 4094))),
]


@pytest.mark.parametrize(("table", "key", "do"), ROWS)
def test_rows_survive_the_way_to_a_message_and_back(
    p4info: p4i.P4Info, table: Table, key: program.Key, do: Do
) -> None:
    codec = Codec(p4info)
    assert codec.read(codec.entry(table, key, do)) == (table, key, do)


def test_the_cell_of_a_meter_is_set_back_by_a_deletion(p4info: p4i.P4Info) -> None:
    codec = Codec(p4info)
    (update,) = updates_in(codec.update(Change(Kind.DELETE, program.VIP_RATE, (5,), None)))
    assert update.type == update.MODIFY
    assert codec.read(update.entity) is None


def updates_in(request: bytes) -> list[p4r.Update]:
    return [*p4r.WriteRequest.FromString(request).updates]


@pytest.mark.parametrize(("table", "key", "do"), ROWS)
@pytest.mark.parametrize("kind", [Kind.INSERT, Kind.MODIFY])
def test_bytes_of_the_wire_are_the_message_that_protobuf_makes(
    p4info: p4i.P4Info, table: Table, key: program.Key, do: Do, kind: Kind
) -> None:
    """Twice: parts that were made before are used again."""
    codec = Codec(p4info)
    changes = [Change(kind, table, key, do), Change(Kind.DELETE, table, key, None)]
    made, deleted, *again = updates_in(b"".join(map(codec.update, [*changes, *changes])))
    assert made.entity == codec.entry(table, key, do)
    assert deleted.entity == codec.entry(table, key)
    assert again == [made, deleted]
    if table not in (program.LIVENESS_SETTINGS, program.VIP_RATE):
        assert (made.type, deleted.type) == (p4r.Update.Type.Value(kind.upper()), p4r.Update.DELETE)


def test_lengths_of_any_size_are_encoded() -> None:
    for length in (0, 127, 128, 1023, 1024, 70_000):
        request = embedded(tag_of(p4r.WriteRequest, "role"), b"x" * length)
        assert p4r.WriteRequest.FromString(request) == p4r.WriteRequest(role="x" * length)


def test_of_two_ranges_the_narrower_goes_before(p4info: p4i.P4Info) -> None:
    codec = Codec(p4info)
    spans = ((80, 80), (80, 81), (0, 65535))
    priorities = [codec.entry(program.VIP_RANGES, (1, 6, *span)).table_entry.priority for span in spans]
    assert priorities == sorted(priorities, reverse=True)
    assert len({*priorities}) == 3
    assert priorities[-1] == 1


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.262144, 1), (0.262145, 2), (1, 4), (300, 1145), (2147, 8191)]
)
def test_an_idle_timeout_is_never_shortened(seconds: float, expected: int) -> None:
    assert program.ticks(seconds) == expected
