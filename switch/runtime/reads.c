/*
 * See reads.h. A message is written from its end to its beginning, so that the length of each part is known when it has
 * to be said.
 */
#include "reads.h"

#include <string.h>

#include "core.h"
#include "messages.h"
#include "protocol.h"

enum { WORDS = 32 }; /* of the widest field or parameter (MAX_BITS in the compiler's model) */

/* At most, in bytes: all of an entry but its fields and parameters; of those all but their values. */
enum { MOST_ENTRY = 256, MOST_FIELD = 48, MOST_PARAM = 24 };

enum { NANOSECONDS = 1000 }; /* in a microsecond */

/* What is written next ends where `at` is. */
struct writer {
    uint8_t *at;
};

static void put_tag(struct writer *w, unsigned field, unsigned type) { *--w->at = (uint8_t)(field << 3 | type); }

static void put_varint(struct writer *w, uint64_t value)
{
    uint8_t bytes[10];
    unsigned count = 0;
    do {
        bytes[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    } while (value);
    bytes[count - 1] &= 0x7f;
    w->at -= count;
    memcpy(w->at, bytes, count);
}

/* A number, which is left out when it is 0. */
static void put_number(struct writer *w, unsigned field, uint64_t value)
{
    if (value) {
        put_varint(w, value);
        put_tag(w, field, WIRE_VARINT);
    }
}

/* Makes a field of what has been written since `end`. */
static void put_head(struct writer *w, unsigned field, const uint8_t *end)
{
    put_varint(w, (uint64_t)(end - w->at));
    put_tag(w, field, WIRE_OCTETS);
}

static unsigned words_of(unsigned bits) { return (bits + 63) / 64; }

/* P4Runtime's byte string: big-endian, as short as can be. words: the lowest first. */
static void put_value(struct writer *w, unsigned field, const uint64_t *words, unsigned bits)
{
    const uint8_t *end = w->at;
    unsigned count = words_of(bits);
    while (count > 1 && words[count - 1] == 0)
        count--;
    for (unsigned i = 0; i + 1 < count; i++) {
        const uint64_t swapped = __builtin_bswap64(words[i]);
        w->at -= sizeof swapped;
        memcpy(w->at, &swapped, sizeof swapped);
    }
    uint64_t highest = words[count - 1];
    do {
        *--w->at = (uint8_t)highest;
        highest >>= 8;
    } while (highest);
    put_head(w, field, end);
}

static uint64_t highest_ones(unsigned bits) { return UINT64_MAX >> (64 * words_of(bits) - bits); }

/* A field out of a key's words. */
static void get_field(const struct field_shape *field, const uint64_t *key, uint64_t *number)
{
    const unsigned count = words_of(field->bits);
    for (unsigned w = 0; w < count; w++)
        number[w] = key[field->shift / 64 + w] >> (field->shift % 64);
    number[count - 1] &= highest_ones(field->bits);
}

/* One bound of a range, whose highest word comes first. end: 0 for the low one, 1 for the high one. */
static void get_bound(const struct field_shape *field, const uint64_t *bounds, unsigned end, uint64_t *number)
{
    const unsigned count = words_of(field->bits);
    for (unsigned w = 0; w < count; w++)
        number[count - 1 - w] = bounds[2 * (field->shift + w) + end];
}

static bool is_zero(const uint64_t *number, unsigned bits)
{
    uint64_t any = 0;
    for (unsigned w = 0; w < words_of(bits); w++)
        any |= number[w];
    return any == 0;
}

static bool is_ones(const uint64_t *number, unsigned bits)
{
    uint64_t all = number[words_of(bits) - 1] | ~highest_ones(bits);
    for (unsigned w = 0; w + 1 < words_of(bits); w++)
        all &= number[w];
    return all == UINT64_MAX;
}

static unsigned ones_in(const uint64_t *number, unsigned bits)
{
    unsigned count = 0;
    for (unsigned w = 0; w < words_of(bits); w++)
        count += (unsigned)__builtin_popcountll(number[w]);
    return count;
}

/* What is matched, within its kind of match; false: everything, which is left out. value: of the entry, see tables.h. */
static bool put_match(struct writer *w, const struct field_shape *field, const uint64_t *value, unsigned key_words)
{
    uint64_t first[WORDS], second[WORDS];
    if (field->kind == MATCH_RANGE) {
        get_bound(field, value + 2 * key_words, 0, first);
        get_bound(field, value + 2 * key_words, 1, second);
        if (is_zero(first, field->bits) && is_ones(second, field->bits))
            return false;
        put_value(w, MATCH_SECOND, second, field->bits);
        put_value(w, MATCH_FIRST, first, field->bits);
        return true;
    }
    get_field(field, value, first);
    if (field->kind != MATCH_EXACT) {
        get_field(field, value + key_words, second);
        if (is_zero(second, field->bits))
            return false;
        if (field->kind == MATCH_TERNARY)
            put_value(w, MATCH_SECOND, second, field->bits);
        else if (field->kind == MATCH_LPM)
            put_number(w, MATCH_SECOND, ones_in(second, field->bits));
    }
    put_value(w, MATCH_FIRST, first, field->bits);
    return true;
}

static void put_key(struct writer *w, const struct table_shape *shape, const struct described_table *table,
                    const struct field_shape *fields, const struct entry *e)
{
    const uint64_t *value = entry_value(e, shape->kind);
    for (unsigned f = table->fields; f-- > 0;) {
        const uint8_t *end = w->at;
        if (!put_match(w, &fields[f], value, shape->key_words))
            continue;
        put_head(w, fields[f].kind, end);
        put_number(w, MATCH_FIELD_ID, fields[f].id);
        put_head(w, ENTRY_MATCH, end);
    }
    put_number(w, ENTRY_TABLE_ID, table->id);
}

static void put_action(struct writer *w, const struct described *described, const struct described_table *table,
                       const struct entry *e, const uint8_t *data)
{
    const struct action_shape *action = described->action + table->first_action;
    while (action->number != e->action) /* all that the program has are described */
        action++;
    const uint8_t *end = w->at;
    for (unsigned p = action->params; p-- > 0;) {
        const struct param_shape *param = &described->param[action->first_param + p];
        const uint8_t *param_end = w->at;
        uint64_t value[WORDS] = {0};
        memcpy(value, data + param->offset, param->size); /* little-endian, as the machines this runs on */
        put_value(w, PARAM_VALUE, value, param->bits);
        put_number(w, PARAM_ID, param->id);
        put_head(w, ACTION_PARAMS, param_end);
    }
    put_number(w, ACTION_ID, action->id);
    put_head(w, TABLE_ACTION_ACTION, end);
    put_head(w, ENTRY_ACTION, end);
}

static void put_counts(struct writer *w, unsigned field, const struct described_table *table, const struct hits *hits)
{
    const uint8_t *end = w->at;
    if (table->counts_packets)
        put_number(w, COUNTER_PACKETS, atomic_load_explicit(&hits->packets, memory_order_relaxed));
    if (table->counts_octets)
        put_number(w, COUNTER_BYTES, atomic_load_explicit(&hits->bytes, memory_order_relaxed));
    put_head(w, field, end);
}

static void put_rates(struct writer *w, const struct meter *meter)
{
    const struct rates *rates = atomic_load_explicit(&meter->rates, memory_order_relaxed);
    if (!rates)
        return;
    const uint64_t numbers[] = {rates->committed.rate, rates->committed.burst, rates->peak.rate, rates->peak.burst};
    const uint8_t *end = w->at;
    for (unsigned i = sizeof numbers / sizeof *numbers; i-- > 0;)
        put_number(w, CONFIG_CIR + i, numbers[i]);
    put_head(w, ENTRY_METER_CONFIG, end);
}

static void put_time_since_last_hit(struct writer *w, const struct entry_state *state, uint64_t now)
{
    const uint64_t hit = atomic_load_explicit(&state->last_hit, memory_order_relaxed);
    const uint8_t *end = w->at;
    put_number(w, ELAPSED, now > hit ? (now - hit) * NANOSECONDS : 0);
    put_head(w, ENTRY_TIME_SINCE_LAST_HIT, end);
}

/* One entity, as a field of the response. copy: of an entry; state: the entry's own, where something of it is told. */
static void put_entity(struct writer *w, const struct table_shape *shape, const struct described *described,
                       const struct reading *reading, const struct entry *copy, const struct entry_state *state)
{
    const struct described_table *table = &described->table[reading->table];
    const struct field_shape *fields = described->field + table->first_field;
    const uint64_t priority = table->rank == RANK_PRIORITY ? (uint64_t)copy->rank : 0;
    const uint8_t *end = w->at;
    if (!(reading->what & READ_ACTION)) {
        put_counts(w, DIRECT_COUNTER_DATA, table, &state->hits);
        const uint8_t *key_end = w->at;
        put_number(w, ENTRY_PRIORITY, priority);
        put_key(w, shape, table, fields, copy);
        put_head(w, DIRECT_COUNTER_ENTRY, key_end);
        put_head(w, ENTITY_DIRECT_COUNTER_ENTRY, end);
    } else {
        uint64_t timeout; /* see table_copy */
        memcpy(&timeout, &copy->state, sizeof timeout);
        put_number(w, ENTRY_IS_CONST, table->is_const);
        if (reading->what & READ_LAST_HIT)
            put_time_since_last_hit(w, state, reading->now);
        put_number(w, ENTRY_IDLE_TIMEOUT, timeout);
        if (reading->what & READ_COUNTER)
            put_counts(w, ENTRY_COUNTER_DATA, table, &state->hits);
        if (reading->what & READ_RATES)
            put_rates(w, &state->meter);
        put_number(w, ENTRY_PRIORITY, priority);
        put_action(w, described, table, copy, (const uint8_t *)copy + shape->data_offset);
        put_key(w, shape, table, fields, copy);
        put_head(w, ENTITY_TABLE_ENTRY, end);
    }
    put_head(w, RESPONSE_ENTITIES, end);
}

__attribute__((visibility("default"))) uint64_t reads_most(const struct described *described, uint32_t table)
{
    const struct described_table *t = &described->table[table];
    uint64_t key = 0, data = 0;
    for (unsigned f = 0; f < t->fields; f++)
        key += MOST_FIELD + 2 * 8 * words_of(described->field[t->first_field + f].bits);
    for (unsigned a = 0; a < t->actions; a++) {
        const struct action_shape *action = &described->action[t->first_action + a];
        uint64_t size = 0;
        for (unsigned p = 0; p < action->params; p++)
            size += MOST_PARAM + 8 * words_of(described->param[action->first_param + p].bits);
        data = size > data ? size : data;
    }
    return MOST_ENTRY + key + data;
}

__attribute__((visibility("default"))) uint64_t reads_encode(const void *state, const struct described *described,
                                                             struct reading *reading, uint64_t count, uint8_t *room,
                                                             uint64_t size)
{
    const struct core *core = state;
    const struct table *t = &core->tables[described->table[reading->table].number];
    const bool live = reading->what & (READ_COUNTER | READ_RATES | READ_LAST_HIT);
    const uint64_t most = reads_most(described, reading->table);
    uint64_t used = 0;
    for (uint64_t told = 0; told < count && reading->next < reading->end && size - used >= most; reading->next++) {
        const struct entry *copy = (const struct entry *)(reading->copies + reading->order[reading->next]);
        const struct entry *e = live ? table_same(t, entry_value(copy, t->shape.kind), copy->rank) : copy;
        if (!e)
            continue; /* deleted since it was copied */
        struct writer w = {room + used + most};
        put_entity(&w, &t->shape, described, reading, copy, e->state);
        const uint64_t length = (uint64_t)(room + used + most - w.at);
        memmove(room + used, w.at, length);
        used += length;
        told++;
    }
    return used;
}
