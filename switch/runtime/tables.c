#define _GNU_SOURCE
#include "tables.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 16 };
enum { NANOSECONDS = 1000 };   /* in a microsecond */
enum { SLOTS_PER_REMOVAL = 8 }; /* that are visited to compute the tuples' bests anew */

/* Words of an entry that its writer gives. */
static uint32_t word_count(const struct table_shape *shape)
{
    const uint32_t key = shape->key_words;
    return shape->kind == TABLE_TERNARY ? 2 * key + 2u * shape->ranges : key;
}

static size_t shape_size(const struct table_shape *shape)
{
    const size_t size = shape->data_offset + shape->data_size, word = sizeof(uint64_t);
    return (size + word - 1) / word * word;
}

struct entry *entry_new(const struct table_shape *shape, const uint64_t *words, int32_t rank, uint32_t action,
                        const void *data, uint32_t data_size)
{
    const size_t most = shape_size(shape), needed = shape->data_offset + data_size;
    struct entry *e = block_new(most > needed ? most : needed);
    if (!e)
        return NULL;
    e->action = action;
    e->rank = rank;
    if (words)
        memcpy((uint64_t *)entry_value(e, shape->kind), words, word_count(shape) * sizeof *words);
    if (data_size)
        memcpy((char *)e + shape->data_offset, data, data_size);
    return e;
}

/* The index: of an exact table's entries, or of the first entries of a ternary table's lists. */

static struct index *index_new(uint64_t slots)
{
    struct index *index = block_new(sizeof *index + slots * sizeof index->slots[0]);
    if (index)
        index->mask = slots - 1;
    return index;
}

static struct index *index_of(const struct table *t) { return atomic_load_explicit(&t->index, memory_order_relaxed); }

/* What the tuple's list that holds the entry is found by. words: of an entry, as in tables.h. */
static void masked_words(const struct table *t, const struct tuple *tuple, const uint64_t *words, uint64_t *masked)
{
    const unsigned key = t->shape.key_words;
    memcpy(masked, words, key * sizeof *words);
    for (unsigned r = 0; r < t->shape.ranges; r++)
        masked[key + r] = words[2 * key + 2 * r] & tuple->mask[key + r];
}

static uint64_t entry_hash(const struct table *t, const struct entry *e)
{
    const uint64_t *value = entry_value(e, t->shape.kind);
    if (t->shape.kind == TABLE_EXACT)
        return hash_words(value, t->shape.key_words, t->seed);
    const struct tuple *tuple = entry_place(e)->tuple;
    uint64_t masked[MAX_KEY_WORDS];
    masked_words(t, tuple, value, masked);
    return hash_words(masked, t->shape.key_words + t->shape.ranges, t->seed ^ (uint64_t)(uintptr_t)tuple);
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

/* Puts `by` in the slot of `e`, which has the same hash; NULL empties it. */
static void index_exchange(const struct table *t, const struct entry *e, const struct entry *by)
{
    struct index *index = index_of(t);
    const uint64_t hash = entry_hash(t, e);
    for (uint64_t at = hash;; at++) {
        _Atomic uint64_t *slot = &index->slots[at & index->mask];
        if (atomic_load_explicit(slot, memory_order_relaxed) != slot_of(hash, e))
            continue;
        atomic_store_explicit(slot, by ? slot_of(hash, by) : SLOT_DELETED, memory_order_release);
        return;
    }
}

/* Makes room for one more: at most half of the slots are in use, so that a miss is found soon. */
static bool index_reserve(struct reclaimer *r, struct table *t)
{
    struct index *old = index_of(t);
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

/* Entry by entry. NULL begins; the order is any. */
struct walk {
    const struct index *index;
    uint64_t slot;
    const struct entry *next; /* of the list that is walked */
};

static const struct entry *walk_next(const struct table *t, struct walk *walk)
{
    const struct entry *e = walk->next;
    while (!e) {
        if (walk->slot > walk->index->mask)
            return NULL;
        const uint64_t slot = atomic_load_explicit(&walk->index->slots[walk->slot++], memory_order_relaxed);
        if (slot != SLOT_EMPTY && slot != SLOT_DELETED)
            e = slot_entry(slot);
    }
    walk->next = NULL;
    if (t->shape.kind == TABLE_TERNARY)
        walk->next = atomic_load_explicit(&entry_place(e)->next, memory_order_relaxed);
    return e;
}

size_t entry_size(const struct table *t)
{
    return shape_size(&t->shape);
}

void table_list(const struct table *t, const struct entry **found)
{
    struct walk walk = {.index = index_of(t)};
    for (const struct entry *e; (e = walk_next(t, &walk));)
        *found++ = e;
}

void table_copy(const struct table *t, void *copies)
{
    struct walk walk = {.index = index_of(t)};
    char *to = copies;
    for (const struct entry *e; (e = walk_next(t, &walk)); to += entry_size(t)) {
        const uint64_t timeout = e->state ? e->state->idle_timeout : 0;
        memcpy(to, e, entry_size(t));
        memcpy(to + offsetof(struct entry, state), &timeout, sizeof timeout);
    }
}

static int in_order(const void *a, const void *b, void *context)
{
    const struct ordering *ordering = context;
    const struct entry *one = *(const struct entry *const *)a, *other = *(const struct entry *const *)b;
    for (unsigned w = ordering->exact_words; w-- > 0;)
        if (one->words[w] != other->words[w])
            return one->words[w] < other->words[w] ? -1 : 1;
    if (ordering->exact_words)
        return 0;
    if (ordering->priorities && one->rank != other->rank)
        return one->rank > other->rank ? -1 : 1;
    const uint64_t age = entry_place(one)->age, other_age = entry_place(other)->age;
    return (age > other_age) - (age < other_age);
}

__attribute__((visibility("default"))) bool entries_order(const uint8_t *copies, uint64_t count,
                                                          const struct ordering *ordering, uint64_t *order)
{
    const uint8_t **begins = malloc((count + 1) * sizeof *begins);
    if (!begins)
        return false;
    for (uint64_t i = 0; i < count; i++)
        begins[i] = copies + i * ordering->size;
    qsort_r(begins, count, sizeof *begins, in_order, (void *)ordering);
    for (uint64_t i = 0; i < count; i++)
        order[i] = (uint64_t)(begins[i] - copies);
    free(begins);
    return true;
}

uint64_t table_expired(const struct table *t, uint64_t now, const struct entry **found)
{
    uint64_t count = 0;
    struct walk walk = {.index = index_of(t)};
    for (const struct entry *e; (e = walk_next(t, &walk));) {
        struct entry_state *state = e->state;
        if (state->idle_timeout == 0)
            continue;
        const uint64_t hit = atomic_load_explicit(&state->last_hit, memory_order_relaxed);
        if (hit != state->told_hit) {
            state->told_hit = hit;
            state->told_times = 0;
        }
        const uint64_t idle = now > hit ? now - hit : 0;
        const unsigned __int128 nanoseconds = (unsigned __int128)idle * NANOSECONDS;
        const uint64_t times = (uint64_t)(nanoseconds / state->idle_timeout);
        if (times > state->told_times) {
            state->told_times = times;
            found[count++] = e;
        }
    }
    return count;
}

/* Tuples. */

static struct tuples *tuples_of(const struct table *t) { return atomic_load_explicit(&t->tuples, memory_order_relaxed); }

static unsigned mask_words(const struct table *t) { return t->shape.key_words + t->shape.ranges; }

static struct tuples *tuples_new(const struct table *t, uint32_t count)
{
    return block_new(sizeof(struct tuples) + count * (HEAD_WORDS + mask_words(t)) * sizeof(uint64_t));
}

/* Shows readers the first `count` of t->by_best. room: for them. */
static void tuples_show(struct reclaimer *r, struct table *t, uint32_t count, struct tuples *room)
{
    struct tuples *old = tuples_of(t);
    room->count = count;
    uint64_t *at = room->of;
    for (uint32_t i = 0; i < count; i++) {
        const struct tuple *tuple = t->by_best[i];
        *(struct tuple_head *)at = (struct tuple_head){tuple->best, tuple, tuple->only};
        memcpy(at + HEAD_WORDS, tuple->mask, mask_words(t) * sizeof *at);
        at += HEAD_WORDS + mask_words(t);
    }
    atomic_store_explicit(&t->tuples, room, memory_order_release);
    block_retire(r, old);
}

static int better_tuple(const void *a, const void *b)
{
    const int64_t one = (*(struct tuple *const *)a)->best, other = (*(struct tuple *const *)b)->best;
    return (one < other) - (one > other);
}

/* Brings by_best[at], whose best has grown, to its place. */
static void tuple_rise(struct table *t, uint32_t at)
{
    struct tuple *tuple = t->by_best[at];
    for (; at > 0 && t->by_best[at - 1]->best < tuple->best; at--)
        t->by_best[at] = t->by_best[at - 1];
    t->by_best[at] = tuple;
}

static uint32_t tuple_number(const struct table *t, const struct tuple *tuple)
{
    uint32_t at = 0;
    while (t->by_best[at] != tuple)
        at++;
    return at;
}

/* The mask of the tuple that an entry belongs to. words: as in tables.h. */
static void tuple_mask(const struct table *t, const uint64_t *words, uint64_t *mask)
{
    const unsigned key = t->shape.key_words;
    memcpy(mask, words + key, key * sizeof *mask);
    bool alike = true; /* whether the bounds are, in all higher words of the number */
    for (unsigned r = 0; r < t->shape.ranges; r++) {
        const uint64_t *bounds = words + 2 * key + 2 * r, differ = bounds[0] ^ bounds[1];
        alike |= !t->shape.lower || !t->shape.lower[r];
        mask[key + r] = !alike ? 0 : differ ? ~(UINT64_MAX >> __builtin_clzll(differ)) : UINT64_MAX;
        alike &= differ == 0;
    }
}

/* The number of the tuple with this mask; of none: how many there are. */
static uint32_t tuple_find(const struct table *t, const uint64_t *mask)
{
    const uint32_t count = tuples_of(t)->count;
    uint32_t at = 0;
    while (at < count && memcmp(t->by_best[at]->mask, mask, mask_words(t) * sizeof *mask) != 0)
        at++;
    return at;
}

/* Puts an empty tuple behind the others, where readers do not see it yet. NULL: no memory. */
static struct tuple *tuple_add(struct table *t, const uint64_t *mask, int64_t best)
{
    const uint32_t count = tuples_of(t)->count;
    struct tuple **more = realloc(t->by_best, (count + 1) * sizeof *more);
    if (!more)
        return NULL;
    t->by_best = more;
    struct tuple *tuple = block_new(sizeof *tuple + mask_words(t) * sizeof *mask);
    if (!tuple)
        return NULL;
    tuple->best = best;
    memcpy(tuple->mask, mask, mask_words(t) * sizeof *mask);
    return more[count] = tuple;
}

/*
 * Computes the tuples' bests anew: removals leave them too high, which costs lookups time. Without memory for it, they
 * stay.
 */
static void tuples_tidy(struct reclaimer *r, struct table *t)
{
    const uint32_t count = tuples_of(t)->count;
    struct tuples *room = tuples_new(t, count);
    if (!room)
        return;
    for (uint32_t i = 0; i < count; i++)
        t->by_best[i]->best = INT64_MIN;
    struct walk walk = {.index = index_of(t)};
    for (const struct entry *e; (e = walk_next(t, &walk));) {
        struct tuple *tuple = (struct tuple *)entry_place(e)->tuple;
        tuple->best = e->rank > tuple->best ? e->rank : tuple->best;
        tuple->only = tuple->entries == 1 ? e : NULL;
    }
    qsort(t->by_best, count, sizeof *t->by_best, better_tuple);
    tuples_show(r, t, count, room);
    t->removed = 0;
}

/* Ternary entries. */

/* The link that leads to `e` in its list; NULL: e is the first. */
static _Atomic(const struct entry *) *link_to(const struct table *t, const struct entry *e)
{
    const struct tuple *tuple = entry_place(e)->tuple;
    const unsigned key = t->shape.key_words, ranges = t->shape.ranges;
    uint64_t masked[MAX_KEY_WORDS];
    masked_words(t, tuple, entry_value(e, TABLE_TERNARY), masked);
    const struct entry *at = tuple_list(t, index_of(t), tuple, tuple->mask, masked, key, ranges, NULL);
    if (at == e)
        return NULL;
    for (;;) {
        _Atomic(const struct entry *) *link = &entry_place(at)->next;
        if ((at = atomic_load_explicit(link, memory_order_relaxed)) == e)
            return link;
    }
}

static bool ternary_insert(struct reclaimer *r, struct table *t, struct entry *e)
{
    const unsigned key = t->shape.key_words, ranges = t->shape.ranges;
    const uint64_t *words = entry_value(e, TABLE_TERNARY);
    uint64_t mask[MAX_KEY_WORDS];
    tuple_mask(t, words, mask);
    uint32_t number = tuple_find(t, mask), count = tuples_of(t)->count;
    struct tuple *tuple = number < count ? t->by_best[number] : tuple_add(t, mask, e->rank);
    if (!tuple)
        return false;
    const bool is_new = number == count, first_of_many = tuple->entries == 1, better = e->rank > tuple->best;
    struct tuples *room = NULL;
    if ((is_new || first_of_many || better) && !(room = tuples_new(t, count + is_new))) {
        if (is_new)
            block_free(tuple);
        return false;
    }
    tuple->entries++;
    entry_place(e)->tuple = tuple;
    entry_place(e)->age = t->ages++;

    uint64_t masked[MAX_KEY_WORDS];
    masked_words(t, tuple, words, masked);
    const struct entry *first = tuple_list(t, index_of(t), tuple, tuple->mask, masked, key, ranges, NULL);
    if (room) { /* before the entry can be found, so that no reader stops searching too soon */
        tuple->best = better ? e->rank : tuple->best;
        tuple->only = is_new ? e : NULL;
        tuple_rise(t, number);
        if (is_new) {
            index_put(t, index_of(t), e);
            tuples_show(r, t, count + 1, room);
            return true;
        }
        tuples_show(r, t, count, room);
    }
    if (!first) {
        index_put(t, index_of(t), e);
    } else if (first->rank < e->rank) {
        atomic_store_explicit(&entry_place(e)->next, first, memory_order_relaxed);
        index_exchange(t, first, e);
    } else {
        const struct entry *before = first, *after;
        while ((after = atomic_load_explicit(&entry_place(before)->next, memory_order_relaxed)) && after->rank >= e->rank)
            before = after;
        atomic_store_explicit(&entry_place(e)->next, after, memory_order_relaxed);
        atomic_store_explicit(&entry_place(before)->next, e, memory_order_release);
    }
    return true;
}

/* Puts `by`, which is alike, in the place of `e`; NULL takes it out. */
static bool ternary_replace(struct reclaimer *r, struct table *t, const struct entry *e, struct entry *by)
{
    struct tuple *tuple = (struct tuple *)entry_place(e)->tuple;
    const bool shown = tuple->only == e, last = !by && tuple->entries == 1;
    uint32_t count = tuples_of(t)->count;
    struct tuples *room = NULL;
    if ((shown || last) && !(room = tuples_new(t, count - last)))
        return false;
    if (by)
        *entry_place(by) = *entry_place(e);
    _Atomic(const struct entry *) *link = link_to(t, e);
    const struct entry *next = atomic_load_explicit(&entry_place(e)->next, memory_order_relaxed);
    const struct entry *then = by ? by : next;
    if (link)
        atomic_store_explicit(link, then, memory_order_release);
    else
        index_exchange(t, e, then);
    if (!by)
        tuple->entries--;
    if (last) {
        const uint32_t number = tuple_number(t, tuple);
        memmove(t->by_best + number, t->by_best + number + 1, (count - number - 1) * sizeof *t->by_best);
        tuples_show(r, t, count - 1, room);
        block_retire(r, tuple);
    } else if (shown) {
        tuple->only = by;
        tuples_show(r, t, count, room);
    }
    if (!by && ++t->removed > index_of(t)->mask / SLOTS_PER_REMOVAL)
        tuples_tidy(r, t);
    return true;
}

/* A ternary table is about to change: not while a lookup wants it to stay (see ternary_find). */
static void change_begin(const struct table *t)
{
    while (atomic_load_explicit(&t->looking, memory_order_seq_cst))
        sched_yield();
}

static void change_end(struct table *t) { atomic_fetch_add_explicit(&t->changes, 1, memory_order_release); }

/* Tables. */

bool table_init(struct table *t, const struct table_shape *shape, uint64_t seed)
{
    t->shape = *shape;
    t->seed = seed;
    atomic_init(&t->index, index_new(FIRST_SLOTS));
    atomic_init(&t->tuples, tuples_new(t, 0));
    atomic_init(&t->miss, NULL);
    return index_of(t) && tuples_of(t);
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
    struct walk walk = {.index = index_of(t)};
    for (const struct entry *e; walk.index && (e = walk_next(t, &walk));)
        entry_free(e);
    for (uint32_t i = 0; t->by_best && i < tuples_of(t)->count; i++)
        block_free(t->by_best[i]);
    free(t->by_best);
    entry_free(atomic_load(&t->miss));
    block_free(index_of(t));
    block_free(tuples_of(t));
}

const struct entry *table_same(const struct table *t, const uint64_t *words, int32_t rank)
{
    if (t->shape.kind == TABLE_EXACT)
        return exact_find(t, words, t->shape.key_words);
    uint64_t mask[MAX_KEY_WORDS], masked[MAX_KEY_WORDS];
    tuple_mask(t, words, mask);
    const uint32_t number = tuple_find(t, mask);
    if (number == tuples_of(t)->count)
        return NULL;
    const struct tuple *tuple = t->by_best[number];
    masked_words(t, tuple, words, masked);
    const struct entry *e = tuple_list(t, index_of(t), tuple, mask, masked, t->shape.key_words, t->shape.ranges, NULL);
    while (e && (e->rank != rank || !words_equal(entry_value(e, TABLE_TERNARY), words, word_count(&t->shape))))
        e = atomic_load_explicit(&entry_place(e)->next, memory_order_relaxed);
    return e;
}

const struct entry *table_insert(struct reclaimer *r, struct table *t, const uint64_t *words, int32_t rank,
                                 uint32_t action, const void *data, uint32_t data_size, uint64_t now)
{
    struct entry *e = entry_new(&t->shape, words, rank, action, data, data_size);
    if (!e)
        return NULL;
    bool done = !t->shape.stateful || (e->state = block_new(sizeof *e->state));
    if (e->state)
        touch(e->state, now);
    done = done && index_reserve(r, t);
    if (done && t->shape.kind == TABLE_TERNARY) {
        change_begin(t);
        done = ternary_insert(r, t, e);
        change_end(t);
    } else if (done) {
        index_put(t, index_of(t), e);
    }
    if (!done) {
        entry_free(e);
        return NULL;
    }
    t->entries++;
    return e;
}

const struct entry *table_replace(struct reclaimer *r, struct table *t, const struct entry *old, uint32_t action,
                                  const void *data, uint32_t data_size)
{
    struct entry *e = entry_new(&t->shape, entry_value(old, t->shape.kind), old->rank, action, data, data_size);
    if (!e)
        return NULL;
    e->state = old->state;
    if (t->shape.kind == TABLE_TERNARY) {
        change_begin(t);
        const bool done = ternary_replace(r, t, old, e);
        change_end(t);
        if (!done) {
            block_free(e);
            return NULL;
        }
    } else {
        index_exchange(t, old, e);
    }
    block_retire(r, (void *)old);
    return e;
}

bool table_remove(struct reclaimer *r, struct table *t, const struct entry *old)
{
    if (t->shape.kind == TABLE_TERNARY) {
        change_begin(t);
        const bool done = ternary_replace(r, t, old, NULL);
        change_end(t);
        if (!done)
            return false;
    } else {
        index_exchange(t, old, NULL);
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
