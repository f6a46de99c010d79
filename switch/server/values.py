"""P4Runtime's byte strings (specification, "Bytestrings"): big-endian; what the switch sends is shortest."""

from switch.server.status import out_of_range


def encode(value: int) -> bytes:
    """The canonical byte string of a non-negative number."""
    return value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")


def encode_signed(value: int, bits: int) -> bytes:
    """The canonical byte string of an int<bits> that is given as its two's complement."""
    signed = value - (1 << bits) if value >> (bits - 1) else value
    magnitude = signed if signed >= 0 else ~signed
    return signed.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def decode(octets: bytes, bits: int, what: str) -> int:
    """The number, which must fit in `bits`; leading zeros are allowed. Raises RequestError (OUT_OF_RANGE)."""
    if not octets:
        raise out_of_range(f"{what}: an empty byte string is no number (zero is one byte)")
    value = int.from_bytes(octets, "big")
    if value >> bits:
        raise out_of_range(f"{what}: 0x{value:x} does not fit within {bits} bits")
    return value
