"""The shared object of a compiled program, as functions.

Their C side is in runtime: core.c, tables.c, writes.c, reads.c, meters.c, profiles.c, lifetime.h and,
for a traced build, tracer.c.
"""

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_int, c_int32, c_int64, c_uint, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

EmitFunction = ctypes.CFUNCTYPE(None, c_void_p, c_uint, c_void_p, c_uint)
"""emit_fn of program.h."""


class Ordering(ctypes.Structure):
    """struct ordering of tables.h."""

    _fields_ = (("size", c_uint64), ("exact_words", c_uint32), ("priorities", c_uint32))


class Replica(ctypes.Structure):
    _fields_ = (("port", c_uint32), ("rid", c_uint32))


SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "program_create": (c_void_p, ()),
    "program_destroy": (None, (c_void_p,)),
    "program_array": (c_void_p, (c_void_p, c_int)),
    "program_process": (None, (c_void_p, c_uint, c_char_p, c_uint, c_uint64, EmitFunction, c_void_p)),
    "program_quiesce": (None, (c_void_p,)),
    "core_table_insert": (
        c_uint64,
        (c_void_p, c_uint, c_char_p, c_int32, c_uint32, c_char_p, c_uint32, c_uint64),
    ),
    "core_table_replace": (c_uint64, (c_void_p, c_uint, c_uint64, c_uint32, c_char_p, c_uint32)),
    "core_table_remove": (c_bool, (c_void_p, c_uint, c_uint64)),
    "core_table_set_miss": (c_bool, (c_void_p, c_uint, c_uint32, c_char_p, c_uint32)),
    "core_table_same": (c_uint64, (c_void_p, c_uint, c_char_p, c_int32)),
    "core_table_size": (c_uint64, (c_void_p, c_uint)),
    "core_table_list": (None, (c_void_p, c_uint, POINTER(c_uint64))),
    "core_table_copy": (None, (c_void_p, c_uint, c_void_p)),
    "entries_order": (c_bool, (c_void_p, c_uint64, POINTER(Ordering), POINTER(c_uint64))),
    "core_table_expired": (c_uint64, (c_void_p, c_uint, c_uint64, POINTER(c_uint64))),
    "writes_apply": (c_uint64, (c_void_p, c_void_p, c_char_p, c_void_p, c_uint64, c_uint64, c_uint64)),
    "reads_most": (c_uint64, (c_void_p, c_uint32)),
    "reads_encode": (c_uint64, (c_void_p, c_void_p, c_void_p, c_uint64, c_void_p, c_uint64)),
    "core_entry_size": (c_uint64, (c_void_p, c_uint)),
    "core_entry_rates": (c_bool, (c_uint64, POINTER(c_uint64))),
    "core_entry_idle_timeout": (c_uint64, (c_uint64,)),
    "core_entry_set_idle_timeout": (None, (c_uint64, c_uint64)),
    "core_entry_hits": (c_uint64, (c_uint64,)),
    "core_entry_meter": (c_uint64, (c_uint64,)),
    "core_entry_last_hit": (c_uint64, (c_uint64,)),
    "profile_member_new": (c_void_p, ()),
    "profile_member_set": (c_bool, (c_void_p, c_void_p, c_uint32, c_char_p, c_uint32)),
    "profile_member_retire": (None, (c_void_p, c_void_p)),
    "profile_group_new": (c_void_p, ()),
    "profile_group_set": (c_bool, (c_void_p, c_void_p, POINTER(c_void_p), c_uint32)),
    "profile_group_retire": (None, (c_void_p, c_void_p)),
    "core_set_group": (c_bool, (c_void_p, c_uint32, POINTER(Replica), c_uint32)),
    "core_set_session": (c_bool, (c_void_p, c_uint32, POINTER(Replica), c_uint32)),
    "meter_configure": (c_bool, (c_void_p, c_void_p, c_uint64, POINTER(c_uint64))),
    "core_digest_words": (c_uint32, (c_void_p,)),
    "core_digests_take": (c_uint32, (c_void_p, c_void_p, c_uint32)),
    "core_drop_name": (c_char_p, (c_uint,)),
    "core_drops": (c_uint64, (c_void_p, c_uint)),
}


TRACE_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "program_trace": (
        c_uint64,
        (
            *SIGNATURES["program_process"][1],
            POINTER(c_uint64),
            c_uint64,
        ),
    ),
    "tracer_create": (c_void_p, (c_void_p, c_void_p, c_uint, c_uint64)),
    "tracer_destroy": (None, (c_void_p,)),
    "tracer_process": (None, SIGNATURES["program_process"][1]),
    "tracer_quiesce": (None, (c_void_p,)),
    "tracer_take": (c_int64, (c_void_p, c_void_p, c_uint32)),
    "tracer_missed": (c_uint64, (c_void_p,)),
}
"""What the traced build has besides."""


def load_library(path: Path, *, traced: bool = False) -> Any:
    """The library with all signatures set. Calls release the GIL."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in (SIGNATURES | (TRACE_SIGNATURES if traced else {})).items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def function_address(function: Any) -> int:
    return ctypes.cast(function, c_void_p).value or 0
