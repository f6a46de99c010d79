"""Standard metadata: how the packet's life (runtime/v1model.h) reaches it, whatever the program calls it."""

from dataclasses import dataclass

from switch.compiler.model import FieldRef, Program
from switch.compiler.symbols import Symbols
from switch.compiler.widths import ones, storage
from switch.compiler.writer import Writer

STANDARD = "standard_metadata"


@dataclass(frozen=True, slots=True)
class Intrinsic:
    """A field that the switch itself reads or writes; older programs keep it in another header."""

    name: str
    read: bool = False
    elsewhere: str = ""


INTRINSICS = (
    Intrinsic("ingress_port"),
    Intrinsic("packet_length"),
    Intrinsic("instance_type"),
    Intrinsic("egress_spec", read=True),
    Intrinsic("egress_port"),
    Intrinsic("parser_error"),
    Intrinsic("checksum_error"),
    Intrinsic("mcast_grp", read=True, elsewhere="intrinsic_metadata"),
    Intrinsic("egress_rid", elsewhere="intrinsic_metadata"),
    Intrinsic("ingress_global_timestamp", elsewhere="intrinsic_metadata"),
    Intrinsic("egress_global_timestamp", elsewhere="intrinsic_metadata"),
    Intrinsic("enq_timestamp", elsewhere="queueing_metadata"),
)


def _find(program: Program, intrinsic: Intrinsic) -> FieldRef | None:
    alias = program.aliases.get(f"{intrinsic.elsewhere}.{intrinsic.name}")
    if alias is not None:
        return alias
    for name in (STANDARD, intrinsic.elsewhere):
        header = program.headers.get(name)
        field = header.type.field(intrinsic.name) if header else None
        if header is not None and field is not None:
            return FieldRef(header, field)
    return None


def write_intrinsics(w: Writer, program: Program, symbols: Symbols) -> None:
    """set_X for all, get_X for those that are read; a program without the field does without."""
    for intrinsic in INTRINSICS:
        found = _find(program, intrinsic)
        name = intrinsic.name
        text = symbols.place(found) if found else ""
        if intrinsic.read:
            with w.block(f"static inline uint32_t get_{name}(const struct packet *p)"):
                w.line(f"return {text};" if text else "return (void)p, 0;")
        with w.block(f"static inline void set_{name}(struct packet *p, uint64_t v)"):
            if found:
                bits = found.field.bits
                w.line(f"{text} = ({storage(bits).name})(v & {ones(min(bits, 64)):#x});")
            else:
                w.line("(void)p, (void)v;")
    w.line()
