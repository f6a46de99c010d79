/*
 * What a packet did, as a list of events, in a second build of the program (with TRACE defined) that works on the same
 * state. In the ordinary build nothing of it is left.
 *
 * An event is its kind and the number of its words, in one word, then the words. switch/trace.py gives them names.
 */
#ifndef SWITCH_TRACE_H
#define SWITCH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The order is that of Kind in switch/trace.py. */
enum trace_kind {
    TRACE_PACKET,    /* instance type, ingress port, length: a pass begins */
    TRACE_STATE,     /* parser state */
    TRACE_EXTRACT,   /* header */
    TRACE_ERROR,     /* parser error */
    TRACE_KEY,       /* table, then its key's words and range values: it is applied */
    TRACE_HIT,       /* address of the entry */
    TRACE_MISS,
    TRACE_ACTION,    /* action, then its data, as it lies in memory */
    TRACE_CONDITION, /* condition, its value */
    TRACE_CLONE,     /* session, whether of egress */
    TRACE_DIGEST,    /* learn list */
    TRACE_MULTICAST, /* group */
    TRACE_EGRESS,    /* port: egress begins */
    TRACE_AGAIN,     /* instance type: the packet will pass once more */
    TRACE_DROP,      /* enum drop */
    TRACE_EMIT,      /* port, length */
    TRACE_LOG,       /* message, then its values */
};

#ifdef TRACE
struct trace {
    uint64_t *words;
    uint64_t used, capacity;
};

extern _Thread_local struct trace trace;

/* What finds no room any more is left out. */
static inline void trace_event(enum trace_kind kind, const uint64_t *first, size_t count, const void *more, size_t bytes)
{
    const size_t words = count + (bytes + 7) / 8;
    if (!trace.words || trace.capacity - trace.used < 1 + words)
        return;
    uint64_t *to = trace.words + trace.used;
    to[0] = (uint64_t)kind << 32 | words;
    if (count)
        memcpy(to + 1, first, count * sizeof *first);
    if (bytes) {
        to[words] = 0;
        memcpy(to + 1 + count, more, bytes);
    }
    trace.used += 1 + words;
}

static inline bool trace_condition(uint64_t number, bool value)
{
    trace_event(TRACE_CONDITION, (const uint64_t[]){number, value}, 2, NULL, 0);
    return value;
}

#define TRACE_BOOL(number, condition) trace_condition(number, condition)
#define TRACE_WORDS(kind, ...)                                                                                         \
    trace_event(kind, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), NULL, 0)
#define TRACE_BYTES(kind, number, more, bytes) trace_event(kind, (const uint64_t[]){number}, 1, more, bytes)
#else
#define TRACE_BOOL(number, condition) (condition)
#define TRACE_WORDS(kind, ...) ((void)0)
#define TRACE_BYTES(kind, number, more, bytes) ((void)0)
#endif

#endif
