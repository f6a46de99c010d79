/*
 * What every compiled program has: tables, replication groups, digests, drop counters, random numbers.
 *
 * The generated `struct state` begins with a `struct core`, so that a `void *state` is also a core.
 */
#ifndef SWITCH_CORE_H
#define SWITCH_CORE_H

#include "bits.h"
#include "hashes.h"
#include "program.h"
#include "reclaim.h"
#include "tables.h"
#include "trace.h"

enum {
    MAX_PACKET = 65536,      /* longest packet that is taken, in bytes */
    GROUPS = 65536,          /* multicast groups: mcast_grp has 16 bits */
    SESSIONS = 32768,        /* clone sessions: 15 bits */
    DIGESTS = 4096,          /* digests that wait for the control plane */
    PENDING = 64,            /* packets that wait to go through the pipeline again */
    MAX_PASSES = 64,         /* how often one packet may go through: resubmitted, recirculated, cloned */
    MAX_REQUESTS = 1024,     /* all such requests that one incoming packet causes, by its copies too */
    MAX_JUMPS = 65536,       /* back in one run of an action; who jumps more often is in a loop without an end */
    DROP_PORT = 511,
};

/* Why a packet ended inside the switch. The names are in core.c. */
enum drop {
    DROP_INGRESS,      /* egress_spec was the drop port after ingress */
    DROP_EGRESS,       /* the same after egress */
    DROP_NO_GROUP,     /* a multicast group that is not there, or is empty */
    DROP_NO_SESSION,   /* a clone session that is not there: the clone only */
    DROP_PASSES,       /* MAX_PASSES or MAX_REQUESTS are exhausted */
    DROP_PENDING_FULL, /* no room to wait for another pass */
    DROP_ASSERTION,    /* an assert or assume of the program was false */
    DROP_LOOP,         /* an action jumped backwards more than MAX_JUMPS times */
    DROP_TOO_LONG,     /* longer than MAX_PACKET */
    DROP_DIGEST,       /* a digest, not a packet: nobody took the ones before */
    DROP_EMPTY_GROUP,  /* an action, not a packet: the group has no member, or all of them are down */
    DROP_OUT_OF_RANGE, /* an access, not a packet: there is no such element of a stack or array */
    DROP_REASONS,
};

struct replica {
    uint32_t port;
    uint32_t rid;
};

struct group {
    uint32_t count;
    struct replica replicas[];
};

/* One producer (the processing thread), one consumer (the control plane). A record: learn list, then its values. */
struct digest_ring {
    uint64_t *records;
    uint32_t record_words;
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t taken;
};

struct core {
    struct reclaimer reclaimer;
    struct table *tables;
    unsigned table_count;
    _Atomic(struct group *) *groups;
    _Atomic(struct group *) *sessions;
    struct digest_ring digests;
    _Atomic uint64_t drops[DROP_REASONS];
    uint64_t random;
    /* Of the packet in hand. */
    uint64_t now;
    uint32_t requests;
    emit_fn emit;
    void *emit_context;
};

bool core_init(struct core *core, struct table *tables, const struct table_shape *shapes, unsigned table_count,
               unsigned digest_words);
void core_free(struct core *core);

static inline void drop(struct core *core, enum drop reason)
{
    TRACE_WORDS(TRACE_DROP, reason);
    atomic_store_explicit(&core->drops[reason],
                          atomic_load_explicit(&core->drops[reason], memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Counts an access to what is not there, which has no effect. Apart, so that it does not weigh on inlining. */
__attribute__((cold, noinline)) void out_of_range(struct core *core);

/* Whether there is such an element; counts it where not. */
static inline bool in_range(struct core *core, uint64_t index, uint64_t size)
{
    if (__builtin_expect(index < size, 1))
        return true;
    out_of_range(core);
    return false;
}

/* A place for the next digest's record, or NULL (and counted) when the ring is full; digest_send makes it visible. */
uint64_t *digest_begin(struct core *core);
void digest_send(struct core *core);

/* Uniform between low and high, both included. low <= high. */
uint64_t random_between(struct core *core, uint64_t low, uint64_t high);

#endif
