/* See writes.h. */
#include "writes.h"

#include <string.h>

#include "core.h"

/* An entry as table_insert and table_same take it. */
struct key {
    uint64_t words[2 * MAX_KEY_WORDS];
    int32_t rank;
};

/* A number of the field's width, in the words that the field has in a key. */
struct number {
    uint64_t words[MAX_KEY_WORDS];
};

static const struct described_table *find_table(const struct described *described, uint32_t id)
{
    uint32_t low = 0, high = described->tables;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (described->table[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < described->tables && described->table[low].id == id ? &described->table[low] : NULL;
}

static unsigned words_of(unsigned bits) { return (bits + 63) / 64; }

/* P4Runtime's byte string (big-endian, of any length) as a number of so many bits; false when it does not fit. */
static bool read_number(struct octets octets, unsigned bits, uint64_t *words)
{
    if (octets.length == 0)
        return false;
    while (octets.length > 1 && *octets.at == 0) {
        octets.at++;
        octets.length--;
    }
    const unsigned count = words_of(bits);
    if (octets.length > 8 * (size_t)count)
        return false;
    memset(words, 0, count * sizeof *words);
    for (size_t i = 0; i < octets.length; i++)
        words[i / 8] |= (uint64_t)octets.at[octets.length - 1 - i] << (8 * (i % 8));
    const unsigned spare = 64 * count - bits;
    return spare == 0 || words[count - 1] >> (64 - spare) == 0;
}

/* The highest `length` of so many bits. */
static void prefix_mask(unsigned bits, unsigned length, uint64_t *words)
{
    const unsigned count = words_of(bits);
    for (unsigned w = 0; w < count; w++) {
        const unsigned low = 64 * w, high = low + 64 < bits ? low + 64 : bits; /* the bits in this word */
        const unsigned first = bits - length;                                  /* the lowest bit of the prefix */
        uint64_t mask = high - low == 64 ? UINT64_MAX : ((uint64_t)1 << (high - low)) - 1;
        if (first >= high)
            mask = 0;
        else if (first > low)
            mask &= UINT64_MAX << (first - low);
        words[w] = mask;
    }
}

/* Whether a is not above b. */
static bool in_order(const struct number *a, const struct number *b, unsigned bits)
{
    for (unsigned w = words_of(bits); w-- > 0;)
        if (a->words[w] != b->words[w])
            return a->words[w] < b->words[w];
    return true;
}

static bool within_mask(const struct number *value, const struct number *mask, unsigned bits)
{
    uint64_t beyond = 0;
    for (unsigned w = 0; w < words_of(bits); w++)
        beyond |= value->words[w] & ~mask->words[w];
    return beyond == 0;
}

static bool is_zero(const struct number *number, unsigned bits)
{
    uint64_t any = 0;
    for (unsigned w = 0; w < words_of(bits); w++)
        any |= number->words[w];
    return any == 0;
}

/* Into the bounds of a range, whose highest word comes first. end: 0 for the low one, 1 for the high one. */
static void put_bound(uint64_t *ranges, const struct field_shape *field, const struct number *number, unsigned end)
{
    const unsigned count = words_of(field->bits);
    for (unsigned w = 0; w < count; w++)
        ranges[2 * (field->shift + w) + end] = number->words[count - 1 - w];
}

/* Into the place of the field. A field that does not begin a word is within one. */
static void put(uint64_t *words, const struct field_shape *field, const struct number *number)
{
    for (unsigned w = 0; w < words_of(field->bits); w++)
        words[field->shift / 64 + w] |= number->words[w] << (field->shift % 64);
}

/* The match of a field that is there, and not "don't care". ranges: the table's; rank: set by an LPM field. */
static bool pack_field(const struct field_shape *field, const struct match_field *match, uint64_t *value_words,
                       uint64_t *mask_words, uint64_t *ranges, int32_t *prefix)
{
    struct number value, mask;
    if (match->kind != field->kind || !read_number(match->first, field->bits, value.words))
        return false;
    switch (match->kind) {
    case MATCH_EXACT:
    case MATCH_OPTIONAL:
        prefix_mask(field->bits, field->bits, mask.words);
        break;
    case MATCH_LPM:
        if (match->prefix_length == 0 || match->prefix_length > field->bits)
            return false;
        prefix_mask(field->bits, match->prefix_length, mask.words);
        *prefix = (int32_t)match->prefix_length;
        break;
    case MATCH_TERNARY:
        if (!read_number(match->second, field->bits, mask.words) || is_zero(&mask, field->bits))
            return false;
        break;
    case MATCH_RANGE: {
        struct number high, all;
        prefix_mask(field->bits, field->bits, all.words);
        if (!read_number(match->second, field->bits, high.words) || !in_order(&value, &high, field->bits) ||
            (is_zero(&value, field->bits) && in_order(&all, &high, field->bits)))
            return false;
        put_bound(ranges, field, &value, 0);
        put_bound(ranges, field, &high, 1);
        return true;
    }
    }
    if (!within_mask(&value, &mask, field->bits))
        return false;
    put(value_words, field, &value);
    if (mask_words)
        put(mask_words, field, &mask);
    return true;
}

/* Whether the update has a valid key, which is packed then. */
static bool pack_key(const struct table_shape *shape, const struct described_table *table, const struct field_shape *fields,
                     const struct table_update *update, struct key *key)
{
    const unsigned words = shape->key_words;
    const bool exact = shape->kind == TABLE_EXACT;
    uint64_t *masks = exact ? NULL : key->words + words, *ranges = key->words + 2 * words;
    memset(key->words, 0, (exact ? words : 2 * words + 2u * shape->ranges) * sizeof *key->words);
    uint64_t seen = 0;
    int32_t prefix = 0;
    for (unsigned m = 0; m < update->fields; m++) {
        const struct match_field *match = &update->field[m];
        unsigned f = m; /* they mostly come in the table's order */
        if (f >= table->fields || fields[f].id != match->id)
            for (f = 0; f < table->fields && fields[f].id != match->id;)
                f++;
        if (f == table->fields || seen >> f & 1 ||
            !pack_field(&fields[f], match, key->words, masks, ranges, &prefix))
            return false;
        seen |= (uint64_t)1 << f;
    }
    for (unsigned f = 0; f < table->fields; f++) {
        if (seen >> f & 1)
            continue;
        if (fields[f].kind == MATCH_EXACT)
            return false;
        if (fields[f].kind == MATCH_RANGE) {
            struct number all;
            prefix_mask(fields[f].bits, fields[f].bits, all.words);
            put_bound(ranges, &fields[f], &all, 1);
        }
    }
    if ((table->rank == RANK_PRIORITY) != (update->priority > 0))
        return false;
    key->rank = table->rank == RANK_PRIORITY ? (int32_t)update->priority : table->rank == RANK_PREFIX ? prefix : 0;
    return true;
}

/* The action of the update when it is valid, and its data. */
static const struct action_shape *pack_action(const struct described *described, const struct described_table *table,
                                              const struct table_update *update, uint8_t *data)
{
    const struct action_shape *action = described->action + table->first_action, *end = action + table->actions;
    while (action < end && action->id != update->action)
        action++;
    if (!update->has_action || action == end || !action->for_entries || update->params != action->params)
        return NULL;
    const struct param_shape *params = described->param + action->first_param;
    memset(data, 0, action->data_size);
    uint64_t seen = 0;
    for (unsigned i = 0; i < update->params; i++) {
        unsigned p = i;
        if (params[p].id != update->param[i].id)
            for (p = 0; p < action->params && params[p].id != update->param[i].id;)
                p++;
        uint64_t value[MOST_DATA / 8];
        if (p == action->params || seen >> p & 1 || !read_number(update->param[i].value, params[p].bits, value))
            return NULL;
        seen |= (uint64_t)1 << p;
        const size_t size = 8 * words_of(params[p].bits); /* little-endian, as the machines this runs on */
        memcpy(data + params[p].offset, value, size < params[p].size ? size : params[p].size);
    }
    return action;
}

/* Whether the update was done. */
static bool apply(struct core *core, const struct described *described, const struct table_update *update, uint64_t now)
{
    const struct described_table *table = find_table(described, update->table);
    if (!table || !table->written)
        return false;
    struct table *t = &core->tables[table->number];
    struct key key;
    if (!pack_key(&t->shape, table, described->field + table->first_field, update, &key))
        return false;
    const struct entry *same = table_same(t, key.words, key.rank);
    if (update->type == UPDATE_DELETE)
        return same && table_remove(&core->reclaimer, t, same);
    _Alignas(16) uint8_t data[MOST_DATA];
    const struct action_shape *action = pack_action(described, table, update, data);
    if (!action)
        return false;
    if (update->type == UPDATE_INSERT)
        return !same && t->entries < table->size &&
               table_insert(&core->reclaimer, t, key.words, key.rank, action->number, data, action->data_size, now);
    const struct entry *e =
        same ? table_replace(&core->reclaimer, t, same, action->number, data, action->data_size) : NULL;
    if (e && e->state)
        e->state->idle_timeout = 0; /* as the update says by leaving it out */
    return e;
}

__attribute__((visibility("default"))) uint64_t writes_apply(void *state, const struct described *described,
                                                             const uint8_t *request,
                                                             const struct update_span *updates, uint64_t first,
                                                             uint64_t count, uint64_t now)
{
    struct table_update update;
    while (first < count && updates[first].plain &&
           update_read(request + updates[first].offset, updates[first].length, &update) &&
           apply(state, described, &update, now))
        first++;
    return first;
}
