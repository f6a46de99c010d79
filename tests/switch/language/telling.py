"""Digests, assertions, and statements in the deparser: programs/telling.p4."""

from finsy import P4DigestEntry

from tests.switch.engines import Layout
from tests.switch.language.case import Case, Digest, Exchange, same, write

ASK = Layout({"what": 8, "a": 8, "b": 16, "checksum": 16})
WIDE = Layout({"value": 130, "small": 6})
IN = 4
TELLS, NOT_EVEN = 2, 3
IN_INGRESS, ASSUMED_IN_INGRESS, IN_EGRESS, IN_DEPARSER = 0xA1, 0xA2, 0xA3, 0xA4
ENDS = "simple_switch ends when an assertion fails"


def checksum(what: int, a: int, b: int) -> int:
    """RFC 1071, over two words."""
    total = (what << 8 | a) + b
    return ~(total + (total >> 16)) & 0xFFFF


def passes(what: int, a: int, b: int, more: bytes = b"") -> Exchange:
    packet = ASK.pack(what=what, a=a, b=b) + more
    return same(IN, packet, ASK.pack(what=what, a=a, b=b, checksum=checksum(what, a, b)) + more)


def dropped(what: int, b: int = 0) -> Exchange:
    return Exchange(IN, ASK.pack(what=what, b=b), ())


VALUE = (1 << 129) + 5
SEEN = {
    "a": 9,
    "b": 0x1234,
    "wide": VALUE,
    "port": IN,
    "constant": 5,
}

CASES = (
    Case(
        "telling",
        "a digest",
        (
            write(+P4DigestEntry("seen_t", max_list_size=1)),
            passes(TELLS, 9, 0x1234, WIDE.pack(value=VALUE, small=-1)),
            Digest("seen_t", (SEEN,)),
            passes(NOT_EVEN, 9, 0x1234),
        ),
    ),
    Case("telling", "assertions that hold", (passes(4, 1, 2), passes(0xA5, 0, 0xFFFF))),
    Case(
        "telling",
        "assertions that fail, in ingress, egress and the deparser",
        (
            dropped(IN_INGRESS),
            dropped(ASSUMED_IN_INGRESS),
            dropped(IN_EGRESS),
            dropped(IN_DEPARSER),
            passes(4, 1, 2),
        ),
        only_here=ENDS,
    ),
    Case(
        "telling",
        "the deparser's statements see the checksum that is sent, wherever they stand",
        (dropped(0x10, ~0xDEAD - 0x1000 & 0xFFFF), passes(0x10, 0, 1)),
        only_here=ENDS,
    ),
)
