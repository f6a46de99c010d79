/*
 * Match tables. The processing thread looks up without locks; one writer at a time changes them beside it.
 *
 * Keys are packed into 64-bit words by the compiler (layout.py), so that hashing and comparing need not know
 * the fields. A table is one of
 *   exact    open addressing; a slot holds a tag and a pointer in one word, so that a lookup touches an entry only
 *            when it is most likely the right one. A slot changes atomically; a growing index is built aside.
 *   lpm      the same index, probed once for each prefix length that occurs, longest first.
 *   ternary  an array by descending priority, replaced as a whole. Ranges too.
 * Entries never change once they can be seen: a modification is a new entry in the place of the old one.
 */
#ifndef SWITCH_TABLES_H
#define SWITCH_TABLES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "meters.h"
#include "reclaim.h"

enum { MAX_KEY_WORDS = 16 };
enum { MAX_PREFIX = 64 * MAX_KEY_WORDS };

enum table_kind { TABLE_EXACT, TABLE_LPM, TABLE_TERNARY };

/* What a direct counter counts. Written by the processing thread; others may read, and set. */
struct hits {
    _Atomic uint64_t packets;
    _Atomic uint64_t bytes;
};

static inline void count(struct hits *h, uint64_t bytes)
{
    /* One thread counts, so a load and a store do; a lock prefix would cost 20 cycles. */
    atomic_store_explicit(&h->packets, atomic_load_explicit(&h->packets, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_store_explicit(&h->bytes, atomic_load_explicit(&h->bytes, memory_order_relaxed) + bytes, memory_order_relaxed);
}

/* What an entry gathers beside its action. Outlives modifications of the entry. */
struct entry_state {
    struct hits hits;          /* the direct counter */
    _Atomic uint64_t last_hit; /* microseconds, for the idle timeout; the insertion counts as a hit */
    struct meter meter;        /* the direct meter */
};

static inline void touch(struct entry_state *state, uint64_t now)
{
    atomic_store_explicit(&state->last_hit, now, memory_order_relaxed);
}

struct entry {
    struct entry_state *state; /* NULL in tables without direct counter, direct meter and idle timeout */
    uint32_t action;
    int32_t rank; /* lpm: prefix length; ternary: priority, the larger wins; exact: 0 */
    uint64_t words[];
    /* exact, lpm: the value; ternary: value, mask, then low and high of each range.
       After that, at the next multiple of 16 bytes, the action's data. */
};

struct index {
    uint64_t mask; /* number of slots - 1, a power of two */
    uint64_t used; /* slots that are not empty, deleted ones too */
    _Atomic uint64_t slots[];
};

struct prefixes {
    uint32_t count;
    struct prefix {
        int32_t length;
        uint64_t mask[MAX_KEY_WORDS];
    } of[]; /* longest first */
};

struct ordered {
    uint32_t count;
    const struct entry *entries[]; /* highest priority first, older first among equals */
};

/* What the program fixes about a table. */
struct table_shape {
    enum table_kind kind;
    uint8_t key_words;
    uint8_t ranges;
    bool stateful; /* whether entries have an entry_state */
    uint32_t data_offset; /* of the action's data within an entry, in bytes */
};

struct table {
    _Atomic(struct index *) index;       /* exact and lpm */
    _Atomic(struct prefixes *) prefixes; /* lpm */
    _Atomic(struct ordered *) ordered;   /* ternary */
    _Atomic(const struct entry *) miss;  /* the default action; NULL when there is none */
    uint64_t seed;                       /* of the hash: differs between switches, so that nobody can aim at it */
    /* For writers only. */
    struct table_shape shape;
    uint64_t entries;
    uint32_t *of_length; /* of an lpm table, MAX_PREFIX + 1: entries with that prefix length */
};

static const uint64_t SLOT_EMPTY = 0;
static const uint64_t SLOT_DELETED = 1;

enum { TAG_SHIFT = 48 }; /* user-space pointers of x86-64 and aarch64 fit below */

/* Multiply and fold, one step a word; the constants are the fractional parts of pi. */
static inline uint64_t hash_words(const uint64_t *words, unsigned count, uint64_t seed)
{
    uint64_t h = seed ^ 0x243f6a8885a308d3;
    for (unsigned i = 0; i < count; i++) {
        const unsigned __int128 product = (unsigned __int128)(h ^ words[i]) * 0x13198a2e03707345;
        h = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    const unsigned __int128 product = (unsigned __int128)h * 0xa4093822299f31d1;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t slot_tag(uint64_t hash) { return hash >> TAG_SHIFT | 1; } /* never SLOT_DELETED's */

static inline const struct entry *slot_entry(uint64_t slot)
{
    return (const struct entry *)(uintptr_t)(slot & (((uint64_t)1 << TAG_SHIFT) - 1));
}

static inline bool words_equal(const uint64_t *a, const uint64_t *b, unsigned count)
{
    uint64_t difference = 0;
    for (unsigned i = 0; i < count; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

static inline const struct entry *index_find(const struct index *index, uint64_t seed, const uint64_t *key,
                                             unsigned words, int32_t rank)
{
    const uint64_t hash = hash_words(key, words, seed + (uint64_t)rank);
    for (uint64_t at = hash;; at++) {
        const uint64_t slot = atomic_load_explicit(&index->slots[at & index->mask], memory_order_acquire);
        if (slot == SLOT_EMPTY)
            return NULL;
        if (slot >> TAG_SHIFT != slot_tag(hash))
            continue;
        const struct entry *e = slot_entry(slot);
        if (e->rank == rank && words_equal(e->words, key, words))
            return e;
    }
}

static inline const struct entry *exact_find(const struct table *t, const uint64_t *key, unsigned words)
{
    return index_find(atomic_load_explicit(&t->index, memory_order_acquire), t->seed, key, words, 0);
}

static inline const struct entry *lpm_find(const struct table *t, const uint64_t *key, unsigned words)
{
    const struct prefixes *prefixes = atomic_load_explicit(&t->prefixes, memory_order_acquire);
    const struct index *index = atomic_load_explicit(&t->index, memory_order_acquire);
    for (uint32_t i = 0; i < prefixes->count; i++) {
        uint64_t masked[MAX_KEY_WORDS];
        for (unsigned w = 0; w < words; w++)
            masked[w] = key[w] & prefixes->of[i].mask[w];
        const struct entry *e = index_find(index, t->seed, masked, words, prefixes->of[i].length);
        if (e)
            return e;
    }
    return NULL;
}

/* ranges: the values of the range fields, one word each. */
static inline const struct entry *ternary_find(const struct table *t, const uint64_t *key, unsigned words,
                                               const uint64_t *range, unsigned ranges)
{
    const struct ordered *ordered = atomic_load_explicit(&t->ordered, memory_order_acquire);
    for (uint32_t i = 0; i < ordered->count; i++) {
        const struct entry *e = ordered->entries[i];
        const uint64_t *value = e->words, *mask = value + words, *bounds = mask + words;
        uint64_t difference = 0;
        for (unsigned w = 0; w < words; w++)
            difference |= (key[w] & mask[w]) ^ value[w];
        for (unsigned r = 0; r < ranges; r++)
            difference |= (range[r] < bounds[2 * r]) | (range[r] > bounds[2 * r + 1]);
        if (difference == 0)
            return e;
    }
    return NULL;
}

static inline const struct entry *table_miss(const struct table *t)
{
    return atomic_load_explicit(&t->miss, memory_order_acquire);
}

/* An entry that stands in no table; `shape` says where its data is. */
struct entry *entry_new(const struct table_shape *shape, const uint64_t *words, int32_t rank, uint32_t action,
                        const void *data, uint32_t data_size);

/* Changing tables. All return false or NULL only when memory ran out, and then nothing has changed. */

bool table_init(struct table *t, const struct table_shape *shape, uint64_t seed);
void table_free(struct table *t);

/*
 * words: as in struct entry; mask: of an lpm entry's prefix, over the key's words; now: microseconds. The caller knows
 * that the table holds no such entry yet. Returns the entry, which is the handle for the functions below.
 */
const struct entry *table_insert(struct reclaimer *r, struct table *t, const uint64_t *words, const uint64_t *mask,
                                 int32_t rank, uint32_t action, const void *data, uint32_t data_size, uint64_t now);
const struct entry *table_replace(struct reclaimer *r, struct table *t, const struct entry *old, uint32_t action,
                                  const void *data, uint32_t data_size);
bool table_remove(struct reclaimer *r, struct table *t, const struct entry *old);

/* The default action; data NULL with action UINT32_MAX: none. */
bool table_set_miss(struct reclaimer *r, struct table *t, uint32_t action, const void *data, uint32_t data_size);

#endif
