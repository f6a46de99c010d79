/*
 * Match tables. The processing thread looks up without locks; one writer at a time changes them beside it.
 *
 * Keys are packed into 64-bit words by the compiler (layout.py), so that hashing and comparing need not know
 * the fields. A table is one of
 *   exact    open addressing; a slot holds a tag and a pointer in one word, so that a lookup touches an entry only
 *            when it is most likely the right one. A slot changes atomically; a growing index is built aside.
 *   ternary  tuple space search (Srinivasan, Suri and Varghese, SIGCOMM 1999): the entries with the same mask are a
 *            tuple, and are found by one probe of the index with the key under that mask. Tuples are asked by
 *            descending priority of their best entry, until none can hold a better one than was found. LPM is the
 *            special case in which the priority is the prefix length. A range counts as the prefix that its bounds
 *            share; the entries that are alike under the mask are a list, of which each is asked for the rest.
 * Entries never change once they can be seen (but for the link of that list): a modification is a new entry in the
 * place of the old one.
 *
 * A ternary lookup probes several places. So that it answers as the table was at one moment, it begins anew when a
 * change came meanwhile; after a few times it asks the writer to wait for it.
 */
#ifndef SWITCH_TABLES_H
#define SWITCH_TABLES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meters.h"
#include "reclaim.h"

#ifndef MAX_KEY_WORDS
#define MAX_KEY_WORDS 16 /* more where the program has a longer key (compiler/layout.py) */
#endif

enum { LOOKUP_TRIES = 4 }; /* before a lookup asks the writer to wait */

enum table_kind { TABLE_EXACT, TABLE_TERNARY };

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
    /* For the control plane only. */
    uint64_t idle_timeout; /* nanoseconds; 0: none */
    uint64_t told_hit;     /* the last hit when the timeout was last told */
    uint64_t told_times;   /* how many timeouts had passed since then */
};

static inline void touch(struct entry_state *state, uint64_t now)
{
    atomic_store_explicit(&state->last_hit, now, memory_order_relaxed);
}

struct entry {
    struct entry_state *state; /* NULL in tables without direct counter, direct meter and idle timeout */
    uint32_t action;
    int32_t rank; /* ternary: priority or prefix length, the larger wins; exact: 0 */
    uint64_t words[];
    /* exact: the value; ternary: a struct place, value, mask, then low and high of each range's words.
       After that, at the next multiple of 16 bytes, the action's data. */
};

/* Where a ternary entry is among the others. */
struct place {
    const struct tuple *tuple;
    _Atomic(const struct entry *) next; /* alike under the tuple's mask: by descending priority, older first */
    uint64_t age;                       /* the smaller the older; of equal priorities the older entry wins */
};

enum { PLACE_WORDS = sizeof(struct place) / sizeof(uint64_t) };

static inline struct place *entry_place(const struct entry *e) { return (struct place *)e->words; }

static inline const uint64_t *entry_value(const struct entry *e, enum table_kind kind)
{
    return e->words + (kind == TABLE_TERNARY ? PLACE_WORDS : 0);
}

struct index {
    uint64_t mask; /* number of slots - 1, a power of two */
    uint64_t used; /* slots that are not empty, deleted ones too */
    _Atomic uint64_t slots[];
};

/* The entries with one mask. For writers; readers only compare its address. */
struct tuple {
    uint64_t entries;
    int64_t best;             /* at least the best priority among them */
    const struct entry *only; /* the entry, if it is surely the only one */
    uint64_t mask[];          /* of the value's words, then of the ranges' common prefixes */
};

/* Tuples as readers see them: replaced as a whole. */
struct tuples {
    uint32_t count;
    uint64_t of[]; /* by descending priority; for each a struct tuple_head, then the mask */
};

struct tuple_head {
    int64_t best;
    const struct tuple *tuple;
    const struct entry *only; /* compared rather than looked up; NULL: there are more */
};

enum { HEAD_WORDS = sizeof(struct tuple_head) / sizeof(uint64_t) };

/* What the program fixes about a table. */
struct table_shape {
    enum table_kind kind;
    uint16_t key_words;
    uint16_t ranges;    /* words of the range fields; of one over 64 bits the highest word comes first */
    const bool *lower;  /* of each such word: whether it goes on the number of the one before; NULL: none does */
    bool stateful;      /* whether entries have an entry_state */
    uint32_t data_offset; /* of the action's data within an entry, in bytes */
    uint32_t data_size;   /* the most that an action has of it */
};

struct table {
    _Atomic(struct index *) index;
    _Atomic(struct tuples *) tuples;    /* ternary */
    _Atomic uint64_t changes;           /* of a ternary table, so far */
    _Atomic bool looking;               /* a lookup asks the writer to wait */
    _Atomic(const struct entry *) miss; /* the default action; NULL when there is none */
    uint64_t seed;                      /* of the hash: differs between switches, so that nobody can aim at it */
    /* For writers only. */
    struct table_shape shape;
    uint64_t entries;
    uint64_t ages;          /* of a ternary table: entries so far */
    uint64_t removed;       /* ternary entries since the tuples' bests were computed */
    struct tuple **by_best; /* as `tuples` */
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

static inline const struct entry *exact_find(const struct table *t, const uint64_t *key, unsigned words)
{
    const struct index *index = atomic_load_explicit(&t->index, memory_order_acquire);
    const uint64_t hash = hash_words(key, words, t->seed);
    for (uint64_t at = hash;; at++) {
        const uint64_t slot = atomic_load_explicit(&index->slots[at & index->mask], memory_order_acquire);
        if (slot == SLOT_EMPTY)
            return NULL;
        if (slot >> TAG_SHIFT != slot_tag(hash))
            continue;
        const struct entry *e = slot_entry(slot);
        if (words_equal(e->words, key, words))
            return e;
    }
}

/* Whether an entry of the tuple with this mask is in the list of `masked`, the key's and the ranges' words under it. */
static inline bool entry_alike(const struct entry *e, const uint64_t *mask, const uint64_t *masked, unsigned words,
                               unsigned ranges)
{
    const uint64_t *value = entry_value(e, TABLE_TERNARY), *bounds = value + 2 * words;
    uint64_t difference = 0;
    for (unsigned w = 0; w < words; w++)
        difference |= value[w] ^ masked[w];
    for (unsigned r = 0; r < ranges; r++)
        difference |= (bounds[2 * r] & mask[words + r]) ^ masked[words + r];
    return difference == 0;
}

/* The first entry of the list of `masked`, or NULL. at: where to put its slot, unless NULL. */
static inline const struct entry *tuple_list(const struct table *t, struct index *index, const struct tuple *tuple,
                                             const uint64_t *mask, const uint64_t *masked, unsigned words,
                                             unsigned ranges, _Atomic uint64_t **at)
{
    /* A tuple's address takes part in the hash, as the prefix length would. */
    const uint64_t hash = hash_words(masked, words + ranges, t->seed ^ (uint64_t)(uintptr_t)tuple);
    for (uint64_t probe = hash;; probe++) {
        const uint64_t slot = atomic_load_explicit(&index->slots[probe & index->mask], memory_order_acquire);
        if (slot == SLOT_EMPTY)
            return NULL;
        if (slot >> TAG_SHIFT != slot_tag(hash))
            continue;
        const struct entry *e = slot_entry(slot);
        if (entry_place(e)->tuple != tuple || !entry_alike(e, mask, masked, words, ranges))
            continue;
        if (at)
            *at = &index->slots[probe & index->mask];
        return e;
    }
}

/* Whether all ranges hold. A word decides only while those above it, of the same number, equal the bound's. */
static inline bool within_bounds(const uint64_t *range, const uint64_t *bounds, unsigned ranges, const bool *lower)
{
    bool within = true, at_low = true, at_high = true;
    for (unsigned r = 0; r < ranges; r++) {
        const uint64_t low = bounds[2 * r], high = bounds[2 * r + 1];
        const bool first = !lower || !lower[r];
        within &= (!(first | at_low) | (range[r] >= low)) & (!(first | at_high) | (range[r] <= high));
        at_low = (first | at_low) & (range[r] == low);
        at_high = (first | at_high) & (range[r] == high);
    }
    return within;
}

static inline const struct entry *tuples_find(const struct table *t, const uint64_t *key, unsigned words,
                                              const uint64_t *range, unsigned ranges, const bool *lower)
{
    const struct tuples *tuples = atomic_load_explicit(&t->tuples, memory_order_acquire);
    struct index *index = atomic_load_explicit(&t->index, memory_order_acquire);
    const unsigned size = HEAD_WORDS + words + ranges;
    const struct entry *best = NULL;
    for (uint32_t i = 0; i < tuples->count; i++) {
        const struct tuple_head *head = (const struct tuple_head *)(tuples->of + (uint64_t)i * size);
        if (best && best->rank > head->best)
            break;
        const uint64_t *mask = (const uint64_t *)(head + 1);
        uint64_t masked[MAX_KEY_WORDS];
        for (unsigned w = 0; w < words; w++)
            masked[w] = key[w] & mask[w];
        for (unsigned r = 0; r < ranges; r++)
            masked[words + r] = range[r] & mask[words + r];
        const struct entry *e = head->only;
        if (!e)
            e = tuple_list(t, index, head->tuple, mask, masked, words, ranges, NULL);
        else if (!entry_alike(e, mask, masked, words, ranges))
            continue;
        for (; e; e = atomic_load_explicit(&entry_place(e)->next, memory_order_acquire)) {
            if (within_bounds(range, entry_value(e, TABLE_TERNARY) + 2 * words, ranges, lower))
                break;
        }
        if (e && (!best || e->rank > best->rank ||
                  (e->rank == best->rank && entry_place(e)->age < entry_place(best)->age)))
            best = e;
    }
    return best;
}

/* range: the words of the range fields. lower: as in the shape. */
static inline const struct entry *wide_ternary_find(struct table *t, const uint64_t *key, unsigned words,
                                                    const uint64_t *range, unsigned ranges, const bool *lower)
{
    for (unsigned tries = 0;; tries++) {
        const uint64_t changes = atomic_load_explicit(&t->changes, memory_order_acquire);
        const struct entry *e = tuples_find(t, key, words, range, ranges, lower);
        if (__builtin_expect(atomic_load_explicit(&t->changes, memory_order_relaxed) == changes, 1)) {
            if (__builtin_expect(tries >= LOOKUP_TRIES, 0))
                atomic_store_explicit(&t->looking, false, memory_order_release);
            return e;
        }
        if (tries == LOOKUP_TRIES)
            atomic_store_explicit(&t->looking, true, memory_order_seq_cst);
    }
}

/* Of a table whose ranges have a word each. */
static inline const struct entry *ternary_find(struct table *t, const uint64_t *key, unsigned words,
                                               const uint64_t *range, unsigned ranges)
{
    return wide_ternary_find(t, key, words, range, ranges, NULL);
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
 * words: exact: the value; ternary: value, mask, low and high of each range's words. now: microseconds.
 *
 * table_same: the entry with exactly these words and this rank, or NULL. The entry is the handle for the functions
 * below. table_insert: the caller knows that there is none yet.
 */
const struct entry *table_same(const struct table *t, const uint64_t *words, int32_t rank);
const struct entry *table_insert(struct reclaimer *r, struct table *t, const uint64_t *words, int32_t rank,
                                 uint32_t action, const void *data, uint32_t data_size, uint64_t now);
const struct entry *table_replace(struct reclaimer *r, struct table *t, const struct entry *old, uint32_t action,
                                  const void *data, uint32_t data_size);
bool table_remove(struct reclaimer *r, struct table *t, const struct entry *old);

/* All entries, in no order, into an array of table.entries elements. */
void table_list(const struct table *t, const struct entry **found);

/*
 * Copies all entries, in no order, to where there is room for table.entries times entry_size. The copies have the idle
 * timeout in the place of the state's address.
 */
size_t entry_size(const struct table *t);
void table_copy(const struct table *t, void *copies);

/* How copied entries are put in order; see entries_order. */
struct ordering {
    uint64_t size; /* of a copy, in bytes */
    uint32_t exact_words; /* of an exact table's key; 0: another table */
    uint32_t priorities;  /* whether ranks are priorities */
};

/*
 * Where the copies begin, in bytes: an exact table's by key, others by descending priority, where there are priorities, and
 * then the older first. False: no memory.
 */
bool entries_order(const uint8_t *copies, uint64_t count, const struct ordering *ordering, uint64_t *order);

/*
 * Those whose idle timeout is over and that were not told yet, into an array of table.entries elements; one that stays
 * idle is told once more after each further timeout. Returns how many. now: microseconds.
 */
uint64_t table_expired(const struct table *t, uint64_t now, const struct entry **found);

/* The default action; data NULL with action UINT32_MAX: none. */
bool table_set_miss(struct reclaimer *r, struct table *t, uint32_t action, const void *data, uint32_t data_size);

#endif
