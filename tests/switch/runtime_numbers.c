/*
 * The runtime's numbers and hashes for tests, which call them by ctypes: functions of headers with a name to call, and
 * wide numbers as arrays of words.
 */
#include "bits.h"
#include "hashes.h"
#include "meters.h"
#include "wide.h"

#define CALLED __attribute__((visibility("default")))

#define WIDE_CALLED(N)                                                                                                 \
    CALLED void sum_##N(wide_##N *to, const wide_##N *a, const wide_##N *b) { *to = wide_##N##_add(*a, *b); }          \
    CALLED void difference_##N(wide_##N *to, const wide_##N *a, const wide_##N *b) { *to = wide_##N##_sub(*a, *b); }   \
    CALLED void product_##N(wide_##N *to, const wide_##N *a, const wide_##N *b) { *to = wide_##N##_mul(*a, *b); }      \
    CALLED void left_##N(wide_##N *to, const wide_##N *a, uint64_t by) { *to = wide_##N##_left(*a, by); }              \
    CALLED void right_##N(wide_##N *to, const wide_##N *a, uint64_t by, bool is_signed)                                \
    {                                                                                                                  \
        *to = wide_##N##_right(*a, by, is_signed);                                                                     \
    }                                                                                                                  \
    CALLED void quotient_##N(wide_##N *to, const wide_##N *a, const wide_##N *b, bool is_signed, bool rest)            \
    {                                                                                                                  \
        *to = wide_##N##_divide(*a, *b, is_signed, rest);                                                              \
    }                                                                                                                  \
    CALLED int order_##N(const wide_##N *a, const wide_##N *b, bool is_signed)                                         \
    {                                                                                                                  \
        return wide_##N##_order(*a, *b, is_signed);                                                                    \
    }                                                                                                                  \
    CALLED void cut_##N(wide_##N *to, const wide_##N *a, unsigned width, bool is_signed)                               \
    {                                                                                                                  \
        *to = wide_##N##_cut(*a, width, is_signed);                                                                    \
    }                                                                                                                  \
    CALLED void clamped_##N(wide_##N *to, const wide_##N *a, const wide_##N *low, const wide_##N *high, bool is_signed) \
    {                                                                                                                  \
        *to = wide_##N##_clamp(*a, *low, *high, is_signed);                                                            \
    }                                                                                                                  \
    CALLED void load_wide_##N(wide_##N *to, const uint8_t *b, unsigned offset, unsigned width)                         \
    {                                                                                                                  \
        *to = wide_##N##_load(b, offset, width);                                                                       \
    }

WIDE_CALLED(256)
WIDE_CALLED(4096)

CALLED void store_wide(uint8_t *b, unsigned offset, unsigned width, const uint64_t *value)
{
    wide_store(b, offset, width, value);
}

/* As two words, the lower first. */
CALLED void bits_of(uint64_t *to, const uint8_t *b, unsigned offset, unsigned width)
{
    const uint128_t value = get_bits(b, offset, width);
    to[0] = (uint64_t)value;
    to[1] = (uint64_t)(value >> 64);
}

CALLED void set_bits(uint8_t *b, unsigned offset, unsigned width, const uint64_t *value)
{
    put_bits(b, offset, width, U128(value[1], value[0]));
}

#define LOADS(N)                                                                                                       \
    CALLED uint64_t loaded_##N(const uint8_t *b) { return load_##N(b); }                                               \
    CALLED void stored_##N(uint8_t *b, uint64_t v) { store_##N(b, v); }

LOADS(8) LOADS(16) LOADS(24) LOADS(32) LOADS(40) LOADS(48) LOADS(56) LOADS(64)

CALLED void begin(void) { hashes_init(); }
CALLED uint64_t crc32(const uint8_t *b, size_t length) { return hash_crc32(b, length); }
CALLED uint64_t crc16(const uint8_t *b, size_t length) { return hash_crc16(b, length); }
CALLED uint64_t crc_ccitt(const uint8_t *b, size_t length) { return hash_crc_ccitt(b, length); }
CALLED uint64_t csum16(const uint8_t *b, size_t length) { return hash_csum16(b, length); }
CALLED uint64_t xor16(const uint8_t *b, size_t length) { return hash_xor16(b, length); }
CALLED uint64_t identity(const uint8_t *b, size_t length) { return hash_identity(b, length); }

/* One bucket of rate and burst, full at time 0: how many of `count` packets find their tokens. */
CALLED uint64_t packets_through(uint64_t rate, uint64_t burst, const uint64_t *times, const uint64_t *amounts,
                                uint64_t count, uint8_t *passed)
{
    struct bucket bucket = {.rate = rate, .burst = burst, .tokens = burst};
    uint64_t through = 0;
    for (uint64_t i = 0; i < count; i++)
        through += passed[i] = bucket_take(&bucket, times[i], amounts[i]);
    return through;
}
