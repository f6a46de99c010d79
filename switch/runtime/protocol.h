/*
 * Numbers of p4runtime.proto and of protobuf's encoding, for those who read messages and those who write them.
 * Sources: p4runtime.proto of P4Runtime 1.5; the encoding page of protobuf's documentation.
 */
#ifndef SWITCH_PROTOCOL_H
#define SWITCH_PROTOCOL_H

enum {
    REQUEST_UPDATES = 4,
    UPDATE_TYPE = 1,
    UPDATE_ENTITY = 2,
    RESPONSE_ENTITIES = 1,
    ENTITY_TABLE_ENTRY = 2,
    ENTITY_DIRECT_COUNTER_ENTRY = 8,
    ENTRY_TABLE_ID = 1,
    ENTRY_MATCH = 2,
    ENTRY_ACTION = 3,
    ENTRY_PRIORITY = 4,
    ENTRY_METER_CONFIG = 6,
    ENTRY_COUNTER_DATA = 7,
    ENTRY_IDLE_TIMEOUT = 9,
    ENTRY_TIME_SINCE_LAST_HIT = 10,
    ENTRY_IS_CONST = 13,
    MATCH_FIELD_ID = 1,
    MATCH_FIRST = 1,  /* within Exact, Ternary, LPM, Range, Optional: value or low */
    MATCH_SECOND = 2, /* mask or high, and LPM's prefix_len */
    TABLE_ACTION_ACTION = 1,
    ACTION_ID = 1,
    ACTION_PARAMS = 4,
    PARAM_ID = 2,
    PARAM_VALUE = 3,
    DIRECT_COUNTER_ENTRY = 1,
    DIRECT_COUNTER_DATA = 2,
    COUNTER_BYTES = 1,
    COUNTER_PACKETS = 2,
    CONFIG_CIR = 1,
    ELAPSED = 1,
};

enum wire_type { WIRE_VARINT = 0, WIRE_64_BITS = 1, WIRE_OCTETS = 2, WIRE_32_BITS = 5 };

#endif
