/*
 * Table entries as P4Runtime's ReadResponse goes over the network (p4runtime.proto, version 1.5; protobuf's wire format).
 *
 * What is read here is copies of entries that have an action of their own, with what a direct counter, a direct meter and
 * the time of the last hit say now. The rest (action profiles, what controllers attach to entries) is left to the server's Python.
 */
#ifndef SWITCH_READS_H
#define SWITCH_READS_H

#include <stddef.h>
#include <stdint.h>

#include "described.h"

/* What is told of an entry beside its key. */
enum {
    READ_ACTION = 1,  /* with idle timeout, and whether it is constant */
    READ_COUNTER = 2, /* of READ_ACTION, or alone: as a DirectCounterEntry */
    READ_RATES = 4,
    READ_LAST_HIT = 8,
};

struct reading {
    uint32_t table;         /* its place in struct described */
    uint32_t what;
    uint64_t now;           /* microseconds */
    const uint8_t *copies;  /* see table_copy */
    const uint64_t *order;  /* where in them the entries begin, in bytes */
    uint64_t next, end;     /* those of the order that are still to be told */
};

/* The most bytes that one of the table's entries takes. */
uint64_t reads_most(const struct described *described, uint32_t table);

/*
 * Goes on telling, up to `count` entries and as long as there is room for another. Returns how many bytes were written:
 * 0 when all entries are told, or have gone meanwhile. Whoever changes tables is kept away by the caller.
 */
uint64_t reads_encode(const void *state, const struct described *described, struct reading *reading, uint64_t count,
                      uint8_t *room, uint64_t size);

#endif
