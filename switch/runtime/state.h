/*
 * The state of one switch that runs the program. Included by a generated program behind its own types:
 * struct registers, struct counters, struct meters, struct packet, struct metadata, and the sizes.
 */
#ifndef SWITCH_STATE_H
#define SWITCH_STATE_H

/* A packet that waits to be parsed again, and what it keeps. */
struct pending {
    uint8_t *bytes; /* MAX_PACKET + MOST_HEADER_BYTES */
    uint32_t length;
    uint32_t ingress_length;
    uint16_t ingress_port;
    uint8_t passes;
    uint8_t type; /* enum instance_type */
    struct metadata meta;
};

struct state {
    struct core core; /* first: engine.py and core.c know no more than this */
    struct table tables[TABLES + 1];
    struct registers registers;
    struct counters counters;
    struct meters meters;
    struct packet packet;
    struct pending pending[PENDING]; /* a queue */
    unsigned pending_first, pending_count;
    uint8_t *out;     /* MAX_PACKET + MOST_HEADER_BYTES */
    uint8_t *scratch; /* SCRATCH_BYTES: input of a calculation over the payload */
};

/* One of the program's arrays: where in the state its pointer is, how many cells, bytes of a cell. */
struct array {
    size_t place;
    size_t cells;
    size_t cell_size;
    bool meters; /* whether the cells are struct meter */
};

#endif
