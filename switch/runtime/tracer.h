/*
 * Stands in the place of a program while packets are traced in a running switch: has the same two functions, takes the
 * packets that a filter chooses through the traced build and leaves what they did in a queue. Only in that build.
 */
#ifndef SWITCH_TRACER_H
#define SWITCH_TRACER_H

#include <stdint.h>

#include "program.h"

enum {
    PATTERN_BYTES = 64, /* Ethernet, two VLAN tags, IPv6, ports */
    KEPT_BYTES = 256,   /* of each traced packet */
    ANY_PORT = 0xffff,
};

/* A packet fits if it came in at the port, is at least `length` long, and its bytes under the mask are the value. */
struct pattern {
    uint32_t port;
    uint32_t length;
    uint8_t mask[PATTERN_BYTES];
    uint8_t value[PATTERN_BYTES];
};

/* What is in the queue for each traced packet, in this order and without gaps. switch/live_trace.py reads it. */
struct traced {
    uint64_t now_us;
    uint32_t port;
    uint32_t length; /* of the packet; KEPT_BYTES of it at the most are kept */
    uint8_t packet[KEPT_BYTES];
    uint64_t events[1 << 16]; /* as many as there were; trace.h */
};

struct tracer;

#pragma GCC visibility push(default)

/*
 * state: the program's. patterns: a packet is chosen that fits one of them; every: and then only each so-many-th.
 * NULL: no memory.
 */
struct tracer *tracer_create(void *state, const struct pattern *patterns, unsigned count, uint64_t every);
void tracer_destroy(struct tracer *tracer);

/* process_fn and quiesce_fn, with a tracer as their state. */
void tracer_process(void *tracer, unsigned port, const uint8_t *bytes, unsigned length, uint64_t now_us,
                    emit_fn emit, void *context);
void tracer_quiesce(void *tracer);

/* Takes the next struct traced; returns its bytes, or -1 if there is none. One thread at a time. */
int64_t tracer_take(struct tracer *tracer, uint8_t *record, uint32_t room);

/* Packets that were chosen, and found the queue full. */
uint64_t tracer_missed(struct tracer *tracer);

#pragma GCC visibility pop

#endif
