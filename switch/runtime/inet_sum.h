/*
 * The Internet checksum (RFC 1071): 16-bit words added in one's complement. Words are added as the machine loads
 * them, whatever its byte order, and stored the same way (RFC 1071, 2 B); numbers of the machine go in by htons.
 */
#ifndef SWITCH_INET_SUM_H
#define SWITCH_INET_SUM_H

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

/* Adds the words of `length` bytes, the last padded with a zero byte. At most 2^32 bytes before a fold. */
static inline uint64_t inet_sum_add(uint64_t sum, const uint8_t *bytes, uint64_t length)
{
    for (; length >= 8; bytes += 8, length -= 8) {
        uint32_t words[2];
        memcpy(words, bytes, sizeof words);
        sum += (uint64_t)words[0] + words[1];
    }
    for (; length >= 2; bytes += 2, length -= 2) {
        uint16_t word;
        memcpy(&word, bytes, sizeof word);
        sum += word;
    }
    if (length > 0) {
        uint16_t word = 0;
        memcpy(&word, bytes, 1);
        sum += word;
    }
    return sum;
}

static inline uint16_t inet_sum_fold(uint64_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Stores the checksum of what was added. */
static inline void inet_sum_store(uint8_t *field, uint64_t sum)
{
    uint16_t checksum = (uint16_t)~inet_sum_fold(sum);
    memcpy(field, &checksum, sizeof checksum);
}

/* The same, zero in its other form: in UDP a plain zero means that there is no checksum (RFC 768). */
static inline void inet_sum_store_nonzero(uint8_t *field, uint64_t sum)
{
    uint16_t checksum = (uint16_t)~inet_sum_fold(sum);
    if (checksum == 0)
        checksum = 0xffff;
    memcpy(field, &checksum, sizeof checksum);
}

#endif
