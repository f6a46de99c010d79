/*
 * The tables of a P4Info beside those of the program: what writes and reads need to go from P4Runtime's messages to entries
 * and back. Made by server/native_tables.py.
 */
#ifndef SWITCH_DESCRIBED_H
#define SWITCH_DESCRIBED_H

#include <stdint.h>

struct field_shape {
    uint32_t id;
    uint32_t kind;  /* enum match_kind */
    uint32_t bits;
    uint32_t shift; /* as KeyPlace in layout.py: of a range its first word, else bits from the first word's low end */
};

struct param_shape {
    uint32_t id;
    uint32_t bits;
    uint32_t offset, size; /* within the action's data, in bytes */
};

struct action_shape {
    uint32_t id;     /* in the P4Info */
    uint32_t number; /* in the program */
    uint32_t first_param, params;
    uint32_t data_size;
    uint32_t for_entries; /* whether entries may have it */
};

/* How an entry's rank comes about. */
enum rank_kind { RANK_NONE, RANK_PREFIX, RANK_PRIORITY };

struct described_table {
    uint32_t id;     /* in the P4Info */
    uint32_t number; /* in the program */
    uint32_t size;   /* the most entries */
    uint32_t rank;   /* enum rank_kind */
    uint32_t first_field, fields;
    uint32_t first_action, actions;
    uint32_t written;                       /* whether its entries may be written in C, at the moment */
    uint32_t is_const;                      /* whether its entries are the program's, and stay */
    uint32_t counts_packets, counts_octets; /* what its direct counter shows */
};

/* Arrays, of which the others name ranges. */
struct described {
    const struct described_table *table;
    const struct field_shape *field;
    const struct action_shape *action;
    const struct param_shape *param;
    uint32_t tables; /* ascending by id */
};

#endif
