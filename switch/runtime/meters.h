/*
 * Meters: two rates, three colours (RFC 2698, colour-blind), with the bookkeeping of BMv2 (src/bm_sim/meters.cpp):
 * tokens are whole, are what the rate gave since time 0, rounded down, and the peak rate is asked first.
 *
 * A configuration is a block of its own together with its buckets, which only the processing thread touches. To
 * configure a cell anew is to exchange the block: a packet sees either the old rates or the new ones, with full buckets.
 */
#ifndef SWITCH_METERS_H
#define SWITCH_METERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bits.h"

enum color { GREEN, YELLOW, RED }; /* v1model's MeterColor_t */

enum { MICROSECONDS = 1000000 };

/* A token is a packet or a byte. */
struct bucket {
    uint64_t rate;    /* tokens a second */
    uint64_t burst;   /* what the bucket holds */
    uint64_t tokens;  /* what it held after the last packet */
    uint128_t earned; /* what the rate gave from time 0 to that packet */
};

struct rates {
    struct bucket peak, committed;
};

/* One cell. NULL: not configured, every packet is green. */
struct meter {
    _Atomic(struct rates *) rates;
};

/* Whether there were enough tokens, which are gone then. now: microseconds. */
static inline bool bucket_take(struct bucket *b, uint64_t now, uint64_t amount)
{
    const uint128_t earned = (uint128_t)now * b->rate / MICROSECONDS;
    const uint128_t tokens = b->tokens + (earned - b->earned);
    b->earned = earned;
    b->tokens = tokens < b->burst ? (uint64_t)tokens : b->burst;
    if (b->tokens < amount)
        return false;
    b->tokens -= amount;
    return true;
}

static inline enum color meter_color(struct meter *meter, uint64_t now, uint64_t amount)
{
    struct rates *rates = atomic_load_explicit(&meter->rates, memory_order_acquire);
    if (!rates)
        return GREEN;
    if (!bucket_take(&rates->peak, now, amount))
        return RED;
    return bucket_take(&rates->committed, now, amount) ? GREEN : YELLOW;
}

/* Nobody may be processing, and the state is about to end. NULL is fine. */
void meters_free(struct meter *meters, size_t cells);

#endif
