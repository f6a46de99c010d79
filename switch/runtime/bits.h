/*
 * Numbers of any width up to 128 bits, in packets (big-endian, at any bit) and in expressions.
 */
#ifndef SWITCH_BITS_H
#define SWITCH_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef unsigned __int128 uint128_t;
typedef __int128 int128_t;

/* A 128-bit constant; C has no literals of that size. */
#define U128(high, low) (((uint128_t)(high) << 64) | (uint128_t)(low))

/* Loads of 1 to 8 bytes in network order. The odd sizes read two overlapping or adjacent words, never beyond. */

static inline uint8_t load_8(const uint8_t *b) { return b[0]; }

static inline uint16_t load_16(const uint8_t *b)
{
    uint16_t v;
    memcpy(&v, b, sizeof v);
    return __builtin_bswap16(v);
}

static inline uint32_t load_32(const uint8_t *b)
{
    uint32_t v;
    memcpy(&v, b, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t load_64(const uint8_t *b)
{
    uint64_t v;
    memcpy(&v, b, sizeof v);
    return __builtin_bswap64(v);
}

static inline uint32_t load_24(const uint8_t *b) { return (uint32_t)load_16(b) << 8 | b[2]; }
static inline uint64_t load_40(const uint8_t *b) { return (uint64_t)load_32(b) << 8 | b[4]; }
static inline uint64_t load_48(const uint8_t *b) { return (uint64_t)load_32(b) << 16 | load_16(b + 4); }
static inline uint64_t load_56(const uint8_t *b) { return (uint64_t)load_32(b) << 24 | load_24(b + 4); }
static inline uint128_t load_128(const uint8_t *b) { return U128(load_64(b), load_64(b + 8)); }

static inline void store_8(uint8_t *b, uint8_t v) { b[0] = v; }

static inline void store_16(uint8_t *b, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(b, &v, sizeof v);
}

static inline void store_32(uint8_t *b, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(b, &v, sizeof v);
}

static inline void store_64(uint8_t *b, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(b, &v, sizeof v);
}

static inline void store_24(uint8_t *b, uint32_t v) { store_16(b, (uint16_t)(v >> 8)); b[2] = (uint8_t)v; }
static inline void store_40(uint8_t *b, uint64_t v) { store_32(b, (uint32_t)(v >> 8)); b[4] = (uint8_t)v; }
static inline void store_48(uint8_t *b, uint64_t v) { store_32(b, (uint32_t)(v >> 16)); store_16(b + 4, (uint16_t)v); }
static inline void store_56(uint8_t *b, uint64_t v) { store_32(b, (uint32_t)(v >> 24)); store_24(b + 4, (uint32_t)v); }
static inline void store_128(uint8_t *b, uint128_t v) { store_64(b, (uint64_t)(v >> 64)); store_64(b + 8, (uint64_t)v); }

/* The low `width` bits, all of them set. width: 1 to 128. */
static inline uint128_t ones(unsigned width) { return ~(uint128_t)0 >> (128 - width); }

/* Any `width` bits (1 to 128) from bit `offset` (0 is the highest bit of b[0]). For odd places only: bit by byte. */
static inline uint128_t get_bits(const uint8_t *b, unsigned offset, unsigned width)
{
    uint128_t value = 0;
    for (unsigned end = offset + width; offset < end;) {
        const unsigned in_byte = 8 - offset % 8;
        const unsigned take = in_byte < end - offset ? in_byte : end - offset;
        value = value << take | ((b[offset / 8] >> (in_byte - take)) & ((1u << take) - 1));
        offset += take;
    }
    return value;
}

/* Writes `width` bits at bit `offset`; the rest of the bytes stays. */
static inline void put_bits(uint8_t *b, unsigned offset, unsigned width, uint128_t value)
{
    while (width > 0) {
        const unsigned in_byte = 8 - offset % 8;
        const unsigned take = in_byte < width ? in_byte : width;
        const unsigned mask = ((1u << take) - 1) << (in_byte - take);
        const unsigned bits = (unsigned)(value >> (width - take)) << (in_byte - take);
        b[offset / 8] = (uint8_t)((b[offset / 8] & ~mask) | (bits & mask));
        offset += take;
        width -= take;
    }
}

/* The number that the low `width` bits mean in two's complement. */
static inline int64_t signed_64(uint64_t v, unsigned width)
{
    return (int64_t)(v << (64 - width)) >> (64 - width);
}

static inline int128_t signed_128(uint128_t v, unsigned width)
{
    return (int128_t)(v << (128 - width)) >> (128 - width);
}

/* Shifts as P4 has them: by the type's width or more, nothing (or the sign) is left. */
static inline uint32_t shift_left_32(uint32_t v, uint64_t by) { return by < 32 ? v << by : 0; }
static inline uint64_t shift_left_64(uint64_t v, uint64_t by) { return by < 64 ? v << by : 0; }
static inline uint128_t shift_left_128(uint128_t v, uint64_t by) { return by < 128 ? v << by : 0; }
static inline uint32_t shift_right_32(uint32_t v, uint64_t by) { return by < 32 ? v >> by : 0; }
static inline uint64_t shift_right_64(uint64_t v, uint64_t by) { return by < 64 ? v >> by : 0; }
static inline uint128_t shift_right_128(uint128_t v, uint64_t by) { return by < 128 ? v >> by : 0; }
static inline int64_t shift_right_s64(int64_t v, uint64_t by) { return v >> (by < 64 ? by : 63); }
static inline int128_t shift_right_s128(int128_t v, uint64_t by) { return v >> (by < 128 ? by : 127); }

/* The nearest number between low and high. */
static inline int64_t clamp_s64(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }
static inline int128_t clamp_s128(int128_t v, int128_t low, int128_t high) { return v < low ? low : v > high ? high : v; }
static inline uint64_t clamp_64(uint64_t v, uint64_t low, uint64_t high) { return v < low ? low : v > high ? high : v; }
static inline uint128_t clamp_128(uint128_t v, uint128_t low, uint128_t high) { return v < low ? low : v > high ? high : v; }

#endif
