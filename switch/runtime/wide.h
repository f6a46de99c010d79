/*
 * Numbers of more than 128 bits, for programs that have such fields: two's complement in 64-bit words, the lowest
 * first. WIDE(256) makes the type wide_256 and its functions, wide_256_add and so on; the compiler
 * (compiler/operators.py) writes calls of them where it writes operators for narrower numbers.
 *
 * The functions below work on any number of words. Speed is not the point here; the code is plain on purpose.
 */
#ifndef SWITCH_WIDE_H
#define SWITCH_WIDE_H

#include "bits.h"

static inline uint64_t wide_fill(uint64_t highest, bool is_signed) { return is_signed && highest >> 63 ? UINT64_MAX : 0; }

/* Takes over a number of `count` words, extended by zeros or by its sign, or cut. */
static inline void wide_copy(uint64_t *to, unsigned size, const uint64_t *from, unsigned count, bool is_signed)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = i < count ? from[i] : wide_fill(from[count - 1], is_signed);
}

/* to = a + b + carry, where b may be inverted: a - b is a + ~b + 1. */
static inline void wide_sum(uint64_t *to, const uint64_t *a, const uint64_t *b, uint64_t invert, unsigned carry, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        const uint128_t sum = (uint128_t)a[i] + (b[i] ^ invert) + carry;
        to[i] = (uint64_t)sum;
        carry = (unsigned)(sum >> 64);
    }
}

/* Modulo 2 to the power of the width; `to` is neither a nor b. */
static inline void wide_product(uint64_t *to, const uint64_t *a, const uint64_t *b, unsigned size)
{
    memset(to, 0, size * sizeof *to);
    for (unsigned i = 0; i < size; i++) {
        uint64_t carry = 0;
        for (unsigned j = 0; i + j < size; j++) {
            const uint128_t sum = (uint128_t)a[i] * b[j] + to[i + j] + carry;
            to[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
    }
}

static inline void wide_left(uint64_t *to, const uint64_t *a, uint64_t by, unsigned size)
{
    const uint64_t words = by / 64, bits = by % 64;
    for (unsigned i = size; i-- > 0;) {
        const uint64_t high = words <= i ? a[i - words] : 0, low = words + 1 <= i ? a[i - words - 1] : 0;
        to[i] = bits ? high << bits | low >> (64 - bits) : high;
    }
}

static inline void wide_right(uint64_t *to, const uint64_t *a, uint64_t by, unsigned size, bool is_signed)
{
    const uint64_t words = by / 64, bits = by % 64, fill = wide_fill(a[size - 1], is_signed);
    for (unsigned i = 0; i < size; i++) {
        const uint64_t low = words < size - i ? a[i + words] : fill, high = words + 1 < size - i ? a[i + words + 1] : fill;
        to[i] = bits ? low >> bits | high << (64 - bits) : low;
    }
}

/* Negative, 0 or positive as a is less than, equal to or greater than b. */
static inline int wide_order(const uint64_t *a, const uint64_t *b, unsigned size, bool is_signed)
{
    const uint64_t flip = is_signed ? (uint64_t)1 << 63 : 0; /* makes the order of two's complement that of numbers */
    for (unsigned i = size; i-- > 0;) {
        const uint64_t x = i == size - 1 ? a[i] ^ flip : a[i], y = i == size - 1 ? b[i] ^ flip : b[i];
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

/* Schoolbook division, bit by bit, of numbers that are not negative. b is not 0. */
static inline void wide_quotient(uint64_t *quotient, uint64_t *rest, const uint64_t *a, const uint64_t *b, unsigned size)
{
    memset(quotient, 0, size * sizeof *quotient);
    memset(rest, 0, size * sizeof *rest);
    for (unsigned bit = 64 * size; bit-- > 0;) {
        const bool over = rest[size - 1] >> 63;
        wide_left(rest, rest, 1, size);
        rest[0] |= a[bit / 64] >> bit % 64 & 1;
        if (over || wide_order(rest, b, size, false) >= 0) {
            wide_sum(rest, rest, b, UINT64_MAX, 1, size);
            quotient[bit / 64] |= (uint64_t)1 << bit % 64;
        }
    }
}

/* Keeps the low `width` bits and extends them by zeros or by their sign. width: 1 to 64 * size - 1. */
static inline void wide_cut(uint64_t *a, unsigned width, unsigned size, bool is_signed)
{
    const uint64_t fill = is_signed && a[(width - 1) / 64] >> (width - 1) % 64 & 1 ? UINT64_MAX : 0;
    const uint64_t keep = width % 64 ? UINT64_MAX >> (64 - width % 64) : 0;
    a[width / 64] = (a[width / 64] & keep) | (fill & ~keep);
    for (unsigned i = width / 64 + 1; i < size; i++)
        a[i] = fill;
}

/* Any bits of a packet, as get_bits and put_bits in bits.h. */
static inline void wide_load(uint64_t *to, const uint8_t *b, unsigned offset, unsigned width, unsigned size)
{
    memset(to, 0, size * sizeof *to);
    for (unsigned done = 0; done < width; done += 64) {
        const unsigned take = width - done < 64 ? width - done : 64;
        to[done / 64] = (uint64_t)get_bits(b, offset + width - done - take, take);
    }
}

static inline void wide_store(uint8_t *b, unsigned offset, unsigned width, const uint64_t *value)
{
    for (unsigned done = 0; done < width; done += 64) {
        const unsigned take = width - done < 64 ? width - done : 64;
        put_bits(b, offset + width - done - take, take, value[done / 64]);
    }
}

#define WIDE(N)                                                                                                        \
    typedef struct {                                                                                                   \
        uint64_t w[N / 64];                                                                                            \
    } wide_##N;                                                                                                        \
    static inline wide_##N wide_##N##_of(const uint64_t *w, unsigned count, bool is_signed)                            \
    {                                                                                                                  \
        wide_##N r;                                                                                                    \
        wide_copy(r.w, N / 64, w, count, is_signed);                                                                   \
        return r;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_from(uint128_t v, bool is_signed)                                                \
    {                                                                                                                  \
        return wide_##N##_of((const uint64_t[]){(uint64_t)v, (uint64_t)(v >> 64)}, 2, is_signed);                      \
    }                                                                                                                  \
    static inline uint128_t wide_##N##_low(wide_##N a) { return U128(a.w[1], a.w[0]); }                                \
    static inline wide_##N wide_##N##_add(wide_##N a, wide_##N b)                                                      \
    {                                                                                                                  \
        wide_sum(a.w, a.w, b.w, 0, 0, N / 64);                                                                         \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_sub(wide_##N a, wide_##N b)                                                      \
    {                                                                                                                  \
        wide_sum(a.w, a.w, b.w, UINT64_MAX, 1, N / 64);                                                                \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_mul(wide_##N a, wide_##N b)                                                      \
    {                                                                                                                  \
        wide_##N r;                                                                                                    \
        wide_product(r.w, a.w, b.w, N / 64);                                                                           \
        return r;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_and(wide_##N a, wide_##N b)                                                      \
    {                                                                                                                  \
        for (unsigned i = 0; i < N / 64; i++)                                                                          \
            a.w[i] &= b.w[i];                                                                                          \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_or(wide_##N a, wide_##N b)                                                       \
    {                                                                                                                  \
        for (unsigned i = 0; i < N / 64; i++)                                                                          \
            a.w[i] |= b.w[i];                                                                                          \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_xor(wide_##N a, wide_##N b)                                                      \
    {                                                                                                                  \
        for (unsigned i = 0; i < N / 64; i++)                                                                          \
            a.w[i] ^= b.w[i];                                                                                          \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_not(wide_##N a)                                                                  \
    {                                                                                                                  \
        for (unsigned i = 0; i < N / 64; i++)                                                                          \
            a.w[i] = ~a.w[i];                                                                                          \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_left(wide_##N a, uint64_t by)                                                    \
    {                                                                                                                  \
        wide_left(a.w, a.w, by, N / 64);                                                                               \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_right(wide_##N a, uint64_t by, bool is_signed)                                   \
    {                                                                                                                  \
        wide_right(a.w, a.w, by, N / 64, is_signed);                                                                   \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline int wide_##N##_order(wide_##N a, wide_##N b, bool is_signed)                                         \
    {                                                                                                                  \
        return wide_order(a.w, b.w, N / 64, is_signed);                                                                \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_cut(wide_##N a, unsigned width, bool is_signed)                                  \
    {                                                                                                                  \
        if (width < N)                                                                                                 \
            wide_cut(a.w, width, N / 64, is_signed);                                                                   \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_load(const uint8_t *b, unsigned offset, unsigned width)                          \
    {                                                                                                                  \
        wide_##N r;                                                                                                    \
        wide_load(r.w, b, offset, width, N / 64);                                                                      \
        return r;                                                                                                      \
    }                                                                                                                  \
    /* Division as in C, towards zero; by zero: zero. */                                                               \
    static inline wide_##N wide_##N##_divide(wide_##N a, wide_##N b, bool is_signed, bool want_rest)                   \
    {                                                                                                                  \
        const wide_##N zero = {{0}};                                                                                   \
        const bool minus_a = is_signed && wide_##N##_order(a, zero, true) < 0;                                         \
        const bool minus_b = is_signed && wide_##N##_order(b, zero, true) < 0;                                         \
        wide_##N quotient, rest;                                                                                       \
        if (wide_##N##_order(b, zero, false) == 0)                                                                     \
            return zero;                                                                                               \
        const wide_##N x = minus_a ? wide_##N##_sub(zero, a) : a, y = minus_b ? wide_##N##_sub(zero, b) : b;           \
        wide_quotient(quotient.w, rest.w, x.w, y.w, N / 64);                                                           \
        if (want_rest)                                                                                                 \
            return minus_a ? wide_##N##_sub(zero, rest) : rest;                                                        \
        return minus_a != minus_b ? wide_##N##_sub(zero, quotient) : quotient;                                         \
    }                                                                                                                  \
    static inline wide_##N wide_##N##_clamp(wide_##N a, wide_##N low, wide_##N high, bool is_signed)                   \
    {                                                                                                                  \
        if (wide_##N##_order(a, low, is_signed) < 0)                                                                   \
            return low;                                                                                                \
        return wide_##N##_order(a, high, is_signed) > 0 ? high : a;                                                    \
    }

WIDE(256)
WIDE(512)
WIDE(1024)
WIDE(2048)
WIDE(4096)

#endif
