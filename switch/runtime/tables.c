#include "tables.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 16 };

static uint32_t word_count(const struct table_shape *shape)
{
    const uint32_t key = shape->key_words;
    return shape->kind == TABLE_TERNARY ? 2 * key + 2u * shape->ranges : key;
}

struct entry *entry_new(const struct table_shape *shape, const uint64_t *words, int32_t rank, uint32_t action,
                        const void *data, uint32_t data_size)
{
    struct entry *e = block_new(shape->data_offset + data_size);
    if (!e)
        return NULL;
    e->action = action;
    e->rank = rank;
    if (words)
        memcpy(e->words, words, word_count(shape) * sizeof *words);
    if (data_size)
        memcpy((char *)e + shape->data_offset, data, data_size);
    return e;
}

/* The index of exact and lpm tables. */

static struct index *index_new(uint64_t slots)
{
    struct index *index = block_new(sizeof *index + slots * sizeof index->slots[0]);
    if (index)
        index->mask = slots - 1;
    return index;
}

static uint64_t entry_hash(const struct table *t, const struct entry *e)
{
    return hash_words(e->words, t->shape.key_words, t->seed + (uint64_t)e->rank);
}

static uint64_t slot_of(uint64_t hash, const struct entry *e)
{
    return slot_tag(hash) << TAG_SHIFT | (uint64_t)(uintptr_t)e;
}

static void index_put(const struct table *t, struct index *index, const struct entry *e)
{
    const uint64_t hash = entry_hash(t, e);
    for (uint64_t at = hash;; at++) {
        _Atomic uint64_t *slot = &index->slots[at & index->mask];
        const uint64_t is = atomic_load_explicit(slot, memory_order_relaxed);
        if (is != SLOT_EMPTY && is != SLOT_DELETED)
            continue;
        index->used += is == SLOT_EMPTY;
        atomic_store_explicit(slot, slot_of(hash, e), memory_order_release);
        return;
    }
}

/* The slot that holds exactly this entry. */
static _Atomic uint64_t *index_slot(const struct table *t, struct index *index, const struct entry *e)
{
    const uint64_t hash = entry_hash(t, e);
    for (uint64_t at = hash;; at++) {
        _Atomic uint64_t *slot = &index->slots[at & index->mask];
        if (atomic_load_explicit(slot, memory_order_relaxed) == slot_of(hash, e))
            return slot;
    }
}

/* Makes room for one more: at most half of the slots are in use, so that a miss is found soon. */
static bool index_reserve(struct reclaimer *r, struct table *t)
{
    struct index *old = atomic_load_explicit(&t->index, memory_order_relaxed);
    if ((old->used + 1) * 2 <= old->mask + 1)
        return true;
    uint64_t slots = FIRST_SLOTS;
    while (slots < (t->entries + 1) * 4)
        slots *= 2;
    struct index *grown = index_new(slots);
    if (!grown)
        return false;
    for (uint64_t i = 0; i <= old->mask; i++) {
        const uint64_t slot = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (slot != SLOT_EMPTY && slot != SLOT_DELETED)
            index_put(t, grown, slot_entry(slot));
    }
    atomic_store_explicit(&t->index, grown, memory_order_release);
    block_retire(r, old);
    return true;
}

/* The prefix lengths of an lpm table. */

static struct prefixes *prefixes_new(uint32_t count)
{
    struct prefixes *p = block_new(sizeof *p + count * sizeof p->of[0]);
    if (p)
        p->count = count;
    return p;
}

static bool prefix_add(struct reclaimer *r, struct table *t, int32_t length, const uint64_t *mask)
{
    struct prefixes *old = atomic_load_explicit(&t->prefixes, memory_order_relaxed);
    struct prefixes *more = prefixes_new(old->count + 1);
    if (!more)
        return false;
    uint32_t at = 0;
    while (at < old->count && old->of[at].length > length)
        at++;
    memcpy(more->of, old->of, at * sizeof old->of[0]);
    more->of[at].length = length;
    memcpy(more->of[at].mask, mask, t->shape.key_words * sizeof *mask);
    memcpy(more->of + at + 1, old->of + at, (old->count - at) * sizeof old->of[0]);
    atomic_store_explicit(&t->prefixes, more, memory_order_release);
    block_retire(r, old);
    return true;
}

static bool prefix_remove(struct reclaimer *r, struct table *t, int32_t length)
{
    struct prefixes *old = atomic_load_explicit(&t->prefixes, memory_order_relaxed);
    struct prefixes *fewer = prefixes_new(old->count - 1);
    if (!fewer)
        return false;
    for (uint32_t from = 0, to = 0; from < old->count; from++)
        if (old->of[from].length != length)
            fewer->of[to++] = old->of[from];
    atomic_store_explicit(&t->prefixes, fewer, memory_order_release);
    block_retire(r, old);
    return true;
}

/* The array of a ternary table. */

static struct ordered *ordered_new(uint32_t count)
{
    struct ordered *o = block_new(sizeof *o + count * sizeof o->entries[0]);
    if (o)
        o->count = count;
    return o;
}

static bool ordered_insert(struct reclaimer *r, struct table *t, const struct entry *e)
{
    struct ordered *old = atomic_load_explicit(&t->ordered, memory_order_relaxed);
    struct ordered *more = ordered_new(old->count + 1);
    if (!more)
        return false;
    uint32_t low = 0, high = old->count; /* the first with a lower priority is in [low, high] */
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (old->entries[middle]->rank >= e->rank)
            low = middle + 1;
        else
            high = middle;
    }
    memcpy(more->entries, old->entries, low * sizeof old->entries[0]);
    more->entries[low] = e;
    memcpy(more->entries + low + 1, old->entries + low, (old->count - low) * sizeof old->entries[0]);
    atomic_store_explicit(&t->ordered, more, memory_order_release);
    block_retire(r, old);
    return true;
}

/* Puts `by` in the place of `e`; NULL takes it out. */
static bool ordered_replace(struct reclaimer *r, struct table *t, const struct entry *e, const struct entry *by)
{
    struct ordered *old = atomic_load_explicit(&t->ordered, memory_order_relaxed);
    struct ordered *changed = ordered_new(old->count - (by ? 0 : 1));
    if (!changed)
        return false;
    for (uint32_t from = 0, to = 0; from < old->count; from++) {
        if (old->entries[from] != e)
            changed->entries[to++] = old->entries[from];
        else if (by)
            changed->entries[to++] = by;
    }
    atomic_store_explicit(&t->ordered, changed, memory_order_release);
    block_retire(r, old);
    return true;
}

/* Tables. */

bool table_init(struct table *t, const struct table_shape *shape, uint64_t seed)
{
    t->shape = *shape;
    t->seed = seed;
    atomic_init(&t->index, index_new(FIRST_SLOTS));
    atomic_init(&t->prefixes, prefixes_new(0));
    atomic_init(&t->ordered, ordered_new(0));
    atomic_init(&t->miss, NULL);
    if (shape->kind == TABLE_LPM && !(t->of_length = calloc(MAX_PREFIX + 1, sizeof *t->of_length)))
        return false;
    return t->index && t->prefixes && t->ordered;
}

static void entry_free(const struct entry *e)
{
    if (e && e->state) {
        meters_free(&e->state->meter, 1);
        block_free(e->state);
    }
    block_free((void *)e);
}

void table_free(struct table *t)
{
    struct index *index = atomic_load(&t->index);
    struct ordered *ordered = atomic_load(&t->ordered);
    for (uint64_t i = 0; index && i <= index->mask; i++) {
        const uint64_t slot = atomic_load(&index->slots[i]);
        if (slot != SLOT_EMPTY && slot != SLOT_DELETED)
            entry_free(slot_entry(slot));
    }
    for (uint32_t i = 0; ordered && i < ordered->count; i++)
        entry_free(ordered->entries[i]);
    entry_free(atomic_load(&t->miss));
    block_free(index);
    block_free(ordered);
    block_free(atomic_load(&t->prefixes));
    free(t->of_length);
}

static bool publish(struct reclaimer *r, struct table *t, struct entry *e, const uint64_t *mask)
{
    if (t->shape.kind == TABLE_TERNARY)
        return ordered_insert(r, t, e);
    if (!index_reserve(r, t))
        return false;
    if (t->shape.kind == TABLE_LPM) {
        if (t->of_length[e->rank] == 0 && !prefix_add(r, t, e->rank, mask))
            return false;
        t->of_length[e->rank]++;
    }
    index_put(t, atomic_load_explicit(&t->index, memory_order_relaxed), e);
    return true;
}

const struct entry *table_insert(struct reclaimer *r, struct table *t, const uint64_t *words, const uint64_t *mask,
                                 int32_t rank, uint32_t action, const void *data, uint32_t data_size, uint64_t now)
{
    struct entry *e = entry_new(&t->shape, words, rank, action, data, data_size);
    if (!e)
        return NULL;
    if (t->shape.stateful && (e->state = block_new(sizeof *e->state)))
        touch(e->state, now);
    if ((t->shape.stateful && !e->state) || !publish(r, t, e, mask)) {
        entry_free(e);
        return NULL;
    }
    t->entries++;
    return e;
}

const struct entry *table_replace(struct reclaimer *r, struct table *t, const struct entry *old, uint32_t action,
                                  const void *data, uint32_t data_size)
{
    struct entry *e = entry_new(&t->shape, old->words, old->rank, action, data, data_size);
    if (!e)
        return NULL;
    e->state = old->state;
    if (t->shape.kind == TABLE_TERNARY) {
        if (!ordered_replace(r, t, old, e)) {
            block_free(e);
            return NULL;
        }
    } else {
        _Atomic uint64_t *slot = index_slot(t, atomic_load_explicit(&t->index, memory_order_relaxed), old);
        atomic_store_explicit(slot, slot_of(entry_hash(t, e), e), memory_order_release);
    }
    block_retire(r, (void *)old);
    return e;
}

bool table_remove(struct reclaimer *r, struct table *t, const struct entry *old)
{
    if (t->shape.kind == TABLE_TERNARY) {
        if (!ordered_replace(r, t, old, NULL))
            return false;
    } else {
        if (t->shape.kind == TABLE_LPM) {
            if (t->of_length[old->rank] == 1 && !prefix_remove(r, t, old->rank))
                return false;
            t->of_length[old->rank]--;
        }
        _Atomic uint64_t *slot = index_slot(t, atomic_load_explicit(&t->index, memory_order_relaxed), old);
        atomic_store_explicit(slot, SLOT_DELETED, memory_order_release);
    }
    t->entries--;
    if (old->state) {
        block_retire(r, atomic_load_explicit(&old->state->meter.rates, memory_order_relaxed));
        block_retire(r, old->state);
    }
    block_retire(r, (void *)old);
    return true;
}

bool table_set_miss(struct reclaimer *r, struct table *t, uint32_t action, const void *data, uint32_t data_size)
{
    struct entry *e = NULL;
    if (action != UINT32_MAX && !(e = entry_new(&t->shape, NULL, 0, action, data, data_size)))
        return false;
    const struct entry *old = atomic_load_explicit(&t->miss, memory_order_relaxed);
    atomic_store_explicit(&t->miss, e, memory_order_release);
    block_retire(r, (void *)old);
    return true;
}
