/*
 * P4Runtime's usual writes straight into the tables: one pass from the network's bytes to an entry.
 *
 * An update is done here only when nothing at all is wrong with it. What is refused, or is not of the usual kind
 * (messages.h), is left to the server's Python, which finds the words for it; so there is one place for each error.
 * The descriptions are made from the P4Info and the program's layout, by server/native.py.
 */
#ifndef SWITCH_WRITES_H
#define SWITCH_WRITES_H

#include <stdint.h>

#include "messages.h"

struct field_shape {
    uint32_t id;
    uint32_t kind;  /* enum match_kind */
    uint32_t bits;
    uint32_t shift; /* as KeyPlace in layout.py: of a range its number, else bits from the first word's low end */
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
};

/* How an entry's rank comes about. */
enum rank_kind { RANK_NONE, RANK_PREFIX, RANK_PRIORITY };

struct table_writes {
    uint32_t id;     /* in the P4Info */
    uint32_t number; /* in the program */
    uint32_t size;   /* the most entries */
    uint32_t rank;   /* enum rank_kind */
    uint32_t first_field, fields;
    uint32_t first_action, actions; /* those that entries may have */
    uint32_t enabled;               /* whether its entries may be written here, at the moment */
};

/* Arrays, of which the others name ranges. */
struct writes {
    const struct table_writes *table;
    const struct field_shape *field;
    const struct action_shape *action;
    const struct param_shape *param;
    uint32_t tables; /* ascending by id */
};

enum { MOST_DATA = 1024 }; /* bytes of an action's data: tables that have more are not described */

/*
 * Does the updates from `first` on, until one is left to others; returns its number, or `count`. now: microseconds.
 * Whoever changes tables is serialised by the caller.
 */
uint64_t writes_apply(void *state, const struct writes *writes, const uint8_t *request,
                      const struct update_span *updates, uint64_t first, uint64_t count, uint64_t now);

#endif
