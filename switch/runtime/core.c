/*
 * See core.h. The functions marked EXPORT are those that engine.py calls, all but digests_take under its lock.
 */
#include "core.h"

#include <stdlib.h>
#include <sys/random.h>

#define EXPORT __attribute__((visibility("default")))

static const char *const drop_names[DROP_REASONS] = {
    [DROP_INGRESS] = "dropped by the program in ingress",
    [DROP_EGRESS] = "dropped by the program in egress",
    [DROP_NO_GROUP] = "no such multicast group",
    [DROP_NO_SESSION] = "no such clone session",
    [DROP_PASSES] = "too many passes",
    [DROP_PENDING_FULL] = "no room for another pass",
    [DROP_ASSERTION] = "assertion failed",
    [DROP_LOOP] = "a loop in an action without an end",
    [DROP_TOO_LONG] = "packet too long",
    [DROP_DIGEST] = "digest queue full",
    [DROP_EMPTY_GROUP] = "no member in the selector group",
    [DROP_OUT_OF_RANGE] = "index out of range",
};

bool core_init(struct core *core, struct table *tables, const struct table_shape *shapes, unsigned table_count,
               unsigned digest_words)
{
    uint64_t seeds[2];
    if (getrandom(seeds, sizeof seeds, 0) != sizeof seeds)
        return false;
    hashes_init();
    core->tables = tables;
    core->table_count = table_count;
    core->random = seeds[0] | 1;
    core->groups = calloc(GROUPS, sizeof *core->groups);
    core->sessions = calloc(SESSIONS, sizeof *core->sessions);
    core->digests.record_words = 1 + digest_words;
    core->digests.records = calloc(DIGESTS, core->digests.record_words * sizeof(uint64_t));
    bool ok = core->groups && core->sessions && core->digests.records;
    for (unsigned i = 0; i < table_count; i++)
        ok &= table_init(&tables[i], &shapes[i], seeds[1]);
    return ok;
}

static void groups_free(_Atomic(struct group *) *groups, unsigned count)
{
    for (unsigned i = 0; groups && i < count; i++)
        block_free(atomic_load(&groups[i]));
    free(groups);
}

void core_free(struct core *core)
{
    for (unsigned i = 0; i < core->table_count; i++)
        table_free(&core->tables[i]);
    groups_free(core->groups, GROUPS);
    groups_free(core->sessions, SESSIONS);
    free(core->digests.records);
    reclaim_all(&core->reclaimer);
}

#ifdef TRACE
_Thread_local struct trace trace;
#endif

/* Digests. */

uint64_t *digest_begin(struct core *core)
{
    struct digest_ring *ring = &core->digests;
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    if (written - atomic_load_explicit(&ring->taken, memory_order_acquire) == DIGESTS) {
        drop(core, DROP_DIGEST);
        return NULL;
    }
    return ring->records + written % DIGESTS * ring->record_words;
}

void digest_send(struct core *core)
{
    struct digest_ring *ring = &core->digests;
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    atomic_store_explicit(&ring->written, written + 1, memory_order_release);
}

void out_of_range(struct core *core)
{
    drop(core, DROP_OUT_OF_RANGE);
}

/* xorshift64* (Vigna, 2016), brought into the range by multiplication (Lemire, 2019). */
uint64_t random_between(struct core *core, uint64_t low, uint64_t high)
{
    core->random ^= core->random >> 12;
    core->random ^= core->random << 25;
    core->random ^= core->random >> 27;
    const uint64_t r = core->random * 0x2545f4914f6cdd1d;
    const uint64_t range = high - low + 1; /* 0: all of 2^64 */
    return range ? low + (uint64_t)((uint128_t)r * range >> 64) : r;
}

/* For the control plane. Results that are addresses are 0 when memory ran out. */

EXPORT uint64_t core_table_insert(void *state, unsigned table, const uint64_t *words, int32_t rank, uint32_t action,
                                  const void *data, uint32_t data_size, uint64_t now)
{
    struct core *core = state;
    return (uint64_t)(uintptr_t)table_insert(&core->reclaimer, &core->tables[table], words, rank, action, data,
                                             data_size, now);
}

/* The entry with exactly this key; 0: none. */
EXPORT uint64_t core_table_same(const void *state, unsigned table, const uint64_t *words, int32_t rank)
{
    const struct core *core = state;
    return (uint64_t)(uintptr_t)table_same(&core->tables[table], words, rank);
}

EXPORT uint64_t core_table_size(const void *state, unsigned table)
{
    return ((const struct core *)state)->tables[table].entries;
}

/* All entries, in no order, into an array of core_table_size elements. */
EXPORT void core_table_list(const void *state, unsigned table, uint64_t *found)
{
    table_list(&((const struct core *)state)->tables[table], (const struct entry **)found);
}

/* See table_copy. */
EXPORT uint64_t core_entry_size(const void *state, unsigned table)
{
    return entry_size(&((const struct core *)state)->tables[table]);
}

EXPORT void core_table_copy(const void *state, unsigned table, void *copies)
{
    table_copy(&((const struct core *)state)->tables[table], copies);
}

EXPORT uint64_t core_table_replace(void *state, unsigned table, uint64_t entry, uint32_t action, const void *data,
                                   uint32_t data_size)
{
    struct core *core = state;
    return (uint64_t)(uintptr_t)table_replace(&core->reclaimer, &core->tables[table],
                                              (const struct entry *)(uintptr_t)entry, action, data, data_size);
}

EXPORT bool core_table_remove(void *state, unsigned table, uint64_t entry)
{
    struct core *core = state;
    return table_remove(&core->reclaimer, &core->tables[table], (const struct entry *)(uintptr_t)entry);
}

EXPORT bool core_table_set_miss(void *state, unsigned table, uint32_t action, const void *data, uint32_t data_size)
{
    struct core *core = state;
    return table_set_miss(&core->reclaimer, &core->tables[table], action, data, data_size);
}

/* The addresses of parts of an entry's state. The direct counter is packets and bytes, two 64-bit numbers. */
EXPORT uint64_t core_entry_hits(uint64_t entry)
{
    return (uint64_t)(uintptr_t)&((const struct entry *)(uintptr_t)entry)->state->hits;
}

EXPORT uint64_t core_entry_meter(uint64_t entry)
{
    return (uint64_t)(uintptr_t)&((const struct entry *)(uintptr_t)entry)->state->meter;
}

/* How the entry's meter is configured, as meter_configure takes it; false: it is not. */
EXPORT bool core_entry_rates(uint64_t entry, uint64_t *rates)
{
    const struct meter *meter = &((const struct entry *)(uintptr_t)entry)->state->meter;
    const struct rates *block = atomic_load_explicit(&meter->rates, memory_order_relaxed);
    if (!block)
        return false;
    const uint64_t found[] = {block->committed.rate, block->committed.burst, block->peak.rate, block->peak.burst};
    memcpy(rates, found, sizeof found);
    return true;
}

/* Nanoseconds; 0: none. */
EXPORT void core_entry_set_idle_timeout(uint64_t entry, uint64_t nanoseconds)
{
    ((const struct entry *)(uintptr_t)entry)->state->idle_timeout = nanoseconds;
}

EXPORT uint64_t core_entry_idle_timeout(uint64_t entry)
{
    return ((const struct entry *)(uintptr_t)entry)->state->idle_timeout;
}

/*
 * The entries whose timeout is over, each once for each further timeout without a hit, into an array of core_table_size
 * elements. Returns how many. now: microseconds.
 */
EXPORT uint64_t core_table_expired(const void *state, unsigned table, uint64_t now, uint64_t *found)
{
    return table_expired(&((const struct core *)state)->tables[table], now, (const struct entry **)found);
}

/* When the entry was last hit, or inserted: microseconds. */
EXPORT uint64_t core_entry_last_hit(uint64_t entry)
{
    return atomic_load_explicit(&((const struct entry *)(uintptr_t)entry)->state->last_hit, memory_order_relaxed);
}

static bool set_group(struct core *core, _Atomic(struct group *) *place, const struct replica *replicas, uint32_t count)
{
    struct group *group = NULL;
    if (replicas) {
        group = block_new(sizeof *group + count * sizeof *replicas);
        if (!group)
            return false;
        group->count = count;
        memcpy(group->replicas, replicas, count * sizeof *replicas);
    }
    block_retire(&core->reclaimer, atomic_exchange_explicit(place, group, memory_order_acq_rel));
    return true;
}

/* replicas NULL deletes. */
EXPORT bool core_set_group(void *state, uint32_t group, const struct replica *replicas, uint32_t count)
{
    struct core *core = state;
    return set_group(core, &core->groups[group], replicas, count);
}

EXPORT bool core_set_session(void *state, uint32_t session, const struct replica *replicas, uint32_t count)
{
    struct core *core = state;
    return set_group(core, &core->sessions[session], replicas, count);
}

EXPORT uint32_t core_digest_words(const void *state)
{
    return ((const struct core *)state)->digests.record_words;
}

/* Moves up to `most` records out; returns how many. One thread at a time. */
EXPORT uint32_t core_digests_take(void *state, uint64_t *records, uint32_t most)
{
    struct digest_ring *ring = &((struct core *)state)->digests;
    const uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    const uint64_t ready = atomic_load_explicit(&ring->written, memory_order_acquire) - taken;
    const uint32_t count = ready < most ? (uint32_t)ready : most;
    for (uint32_t i = 0; i < count; i++)
        memcpy(records + (uint64_t)i * ring->record_words, ring->records + (taken + i) % DIGESTS * ring->record_words,
               ring->record_words * sizeof *records);
    atomic_store_explicit(&ring->taken, taken + count, memory_order_release);
    return count;
}

/* The name of a drop reason; NULL beyond the last. */
EXPORT const char *core_drop_name(unsigned reason)
{
    return reason < DROP_REASONS ? drop_names[reason] : NULL;
}

EXPORT uint64_t core_drops(const void *state, unsigned reason)
{
    return atomic_load_explicit(&((const struct core *)state)->drops[reason], memory_order_relaxed);
}
