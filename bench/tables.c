/*
 * Tables by themselves, for bench/tables.py: how long a lookup and a change take, beside the obvious way, an array by
 * descending priority that is searched from its beginning and copied by each change.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core.h"

enum { WORDS = 2, RANGES = 1 }; /* of a key: addresses, protocol; destination port */
enum { KEYS = 4096 };           /* that are looked up, over and over */
enum { ENTRY_WORDS = 2 * WORDS + 2 * RANGES };

/* What masks the entries have. */
enum { FEW_MASKS, PREFIXES, OWN_MASKS };

struct key {
    uint64_t words[WORDS];
    uint64_t range[RANGES];
};

struct rule {
    uint64_t words[ENTRY_WORDS];
    int32_t rank;
};

struct result {
    double lookup, change;               /* nanoseconds, of the table */
    double linear_lookup, linear_change; /* of the array */
    uint64_t masks;                      /* tuples */
    uint64_t different;                  /* lookups whose answers differ */
};

static uint64_t seed;

static uint64_t next_random(void) /* xorshift64* (Vigna, 2016) */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545f4914f6cdd1d;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others may share the core */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t prefix(unsigned length) { return length ? UINT32_MAX << (32 - length) & UINT32_MAX : 0; }

/* The first word holds source and destination address, the second the protocol. */
static void make_rule(struct rule *rule, int masks, uint64_t number, uint64_t count)
{
    static const unsigned sources[] = {0, 8, 16, 24, 32}, destinations[] = {16, 24, 28, 32};
    static const uint64_t ports[][2] = {{0, 65535}, {80, 80}, {443, 443}, {1024, 65535}, {8000, 8100}};
    uint64_t mask = prefix(sources[next_random() % 5]) << 32 | prefix(destinations[next_random() % 4]);
    uint64_t protocol = next_random() & 1 ? 0xff : 0;
    const uint64_t *port = ports[next_random() % 5];
    rule->rank = (int32_t)(1 + next_random() % count);
    if (masks == PREFIXES) {
        const unsigned length = 3 + (unsigned)(next_random() % 30);
        mask = prefix(length), protocol = 0, port = ports[0];
        rule->rank = (int32_t)length;
    } else if (masks == OWN_MASKS) {
        mask = next_random() | number; /* differs for each with a likelihood that is good enough */
    }
    rule->words[0] = next_random() & mask;
    rule->words[1] = 6 & protocol;
    rule->words[2] = mask;
    rule->words[3] = protocol;
    rule->words[4] = port[0];
    rule->words[5] = port[1];
}

/* Mostly ones that an entry matches. */
static void make_key(struct key *key, const struct rule *rules, uint64_t count)
{
    const struct rule *rule = &rules[next_random() % count];
    key->words[0] = rule->words[0] | (next_random() & ~rule->words[2]);
    key->words[1] = 6;
    key->range[0] = rule->words[4] + next_random() % (rule->words[5] - rule->words[4] + 1);
}

/* The array. */

static const struct entry *linear_find(const struct entry *const *entries, uint64_t count, const struct key *key)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t *value = entry_value(entries[i], TABLE_TERNARY), *mask = value + WORDS, *bounds = mask + WORDS;
        uint64_t difference = 0;
        for (unsigned w = 0; w < WORDS; w++)
            difference |= (key->words[w] & mask[w]) ^ value[w];
        difference |= (key->range[0] < bounds[0]) | (key->range[0] > bounds[1]);
        if (difference == 0)
            return entries[i];
    }
    return NULL;
}

static int by_rank(const void *a, const void *b)
{
    const struct entry *one = *(const struct entry *const *)a, *other = *(const struct entry *const *)b;
    if (one->rank != other->rank)
        return one->rank > other->rank ? -1 : 1;
    return entry_place(one)->age < entry_place(other)->age ? -1 : 1;
}

__attribute__((visibility("default"))) int tables_measure(int masks, uint64_t count, uint64_t lookups, uint64_t changes,
                                                          struct result *result)
{
    static const struct table_shape shape = {
        .kind = TABLE_TERNARY,
        .key_words = WORDS,
        .ranges = RANGES,
        .data_offset = sizeof(struct entry) + (PLACE_WORDS + ENTRY_WORDS) * sizeof(uint64_t),
    };
    static struct table table;
    struct reclaimer reclaimer = {0};
    struct rule *rules = calloc(count, sizeof *rules);
    const struct entry **entries = calloc(count, sizeof *entries);
    struct key *keys = calloc(KEYS, sizeof *keys);
    seed = 1;
    memset(&table, 0, sizeof table);
    if (!rules || !entries || !keys || !table_init(&table, &shape, 1))
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        do
            make_rule(&rules[i], masks, i, count);
        while (table_same(&table, rules[i].words, rules[i].rank));
        entries[i] = table_insert(&reclaimer, &table, rules[i].words, rules[i].rank, 0, NULL, 0, 0);
        if (!entries[i])
            return -1;
    }
    result->masks = atomic_load(&table.tuples)->count;
    for (unsigned i = 0; i < KEYS; i++)
        make_key(&keys[i], rules, count);

    const struct entry *volatile found;
    double begun = now();
    for (uint64_t i = 0; i < lookups; i++)
        found = ternary_find(&table, keys[i % KEYS].words, WORDS, keys[i % KEYS].range, RANGES);
    result->lookup = (now() - begun) / (double)lookups;

    qsort(entries, count, sizeof *entries, by_rank);
    const uint64_t fewer = lookups / (1 + count / 100); /* it would take minutes */
    begun = now();
    for (uint64_t i = 0; i < fewer; i++)
        found = linear_find(entries, count, &keys[i % KEYS]);
    result->linear_lookup = (now() - begun) / (double)fewer;
    result->different = 0;
    for (uint64_t i = 0; i < KEYS && i < fewer; i++)
        result->different += linear_find(entries, count, &keys[i]) !=
                             ternary_find(&table, keys[i].words, WORDS, keys[i].range, RANGES);

    begun = now();
    for (uint64_t i = 0; i < changes; i++) { /* each an entry's deletion and insertion */
        const struct rule *rule = &rules[next_random() % count];
        table_remove(&reclaimer, &table, table_same(&table, rule->words, rule->rank));
        table_insert(&reclaimer, &table, rule->words, rule->rank, 0, NULL, 0, 0);
    }
    result->change = (now() - begun) / (double)(2 * changes);

    begun = now();
    for (uint64_t i = 0; i < changes; i++) {
        const struct entry **copy = malloc(count * sizeof *copy);
        if (!copy)
            return -1;
        memcpy(copy, entries, count * sizeof *copy);
        free(entries);
        entries = copy;
        found = entries[i % count];
    }
    result->linear_change = (now() - begun) / (double)changes;
    (void)found;
    table_free(&table);
    reclaim_all(&reclaimer);
    free(rules), free(entries), free(keys);
    return 0;
}
