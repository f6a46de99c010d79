#include "hashes.h"

#include "bits.h"

enum { BYTES_PER_STEP = 8 };

static uint32_t crc32_table[BYTES_PER_STEP][256];
static uint16_t crc16_table[256];
static uint16_t ccitt_table[256];

void hashes_init(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t c32 = i;
        uint16_t c16 = (uint16_t)i, ccitt = (uint16_t)(i << 8);
        for (int bit = 0; bit < 8; bit++) {
            c32 = c32 >> 1 ^ (c32 & 1 ? 0xedb88320 : 0);
            c16 = (uint16_t)(c16 >> 1 ^ (c16 & 1 ? 0xa001 : 0));
            ccitt = (uint16_t)(ccitt << 1 ^ (ccitt & 0x8000 ? 0x1021 : 0));
        }
        crc32_table[0][i] = c32;
        crc16_table[i] = c16;
        ccitt_table[i] = ccitt;
    }
    for (unsigned i = 0; i < 256; i++)
        for (int t = 1; t < BYTES_PER_STEP; t++)
            crc32_table[t][i] = crc32_table[t - 1][i] >> 8 ^ crc32_table[0][crc32_table[t - 1][i] & 0xff];
}

uint32_t hash_crc32(const uint8_t *bytes, size_t length)
{
    uint32_t crc = 0xffffffff;
    for (; length >= BYTES_PER_STEP; length -= BYTES_PER_STEP, bytes += BYTES_PER_STEP) {
        const uint32_t low = crc ^ __builtin_bswap32(load_32(bytes)), high = __builtin_bswap32(load_32(bytes + 4));
        crc = crc32_table[7][low & 0xff] ^ crc32_table[6][low >> 8 & 0xff] ^ crc32_table[5][low >> 16 & 0xff] ^
              crc32_table[4][low >> 24] ^ crc32_table[3][high & 0xff] ^ crc32_table[2][high >> 8 & 0xff] ^
              crc32_table[1][high >> 16 & 0xff] ^ crc32_table[0][high >> 24];
    }
    for (; length > 0; length--)
        crc = crc >> 8 ^ crc32_table[0][(crc ^ *bytes++) & 0xff];
    return ~crc;
}

uint16_t hash_crc16(const uint8_t *bytes, size_t length)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < length; i++)
        crc = (uint16_t)(crc >> 8 ^ crc16_table[(crc ^ bytes[i]) & 0xff]);
    return crc;
}

uint16_t hash_crc_ccitt(const uint8_t *bytes, size_t length)
{
    uint16_t crc = 0xffff;
    for (size_t i = 0; i < length; i++)
        crc = (uint16_t)(crc << 8 ^ ccitt_table[(crc >> 8 ^ bytes[i]) & 0xff]);
    return crc;
}

uint16_t hash_csum16(const uint8_t *bytes, size_t length)
{
    uint64_t sum = 0;
    for (; length >= 4; length -= 4, bytes += 4)
        sum += load_32(bytes);
    if (length >= 2)
        sum += load_16(bytes);
    if (length & 1)
        sum += (uint64_t)bytes[length & 2] << 8;
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

uint16_t hash_xor16(const uint8_t *bytes, size_t length)
{
    uint16_t value = 0;
    for (; length >= 2; length -= 2, bytes += 2)
        value ^= load_16(bytes);
    return length ? (uint16_t)(value ^ bytes[0] << 8) : value;
}

uint64_t hash_identity(const uint8_t *bytes, size_t length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length && i < sizeof value; i++)
        value = value << 8 | bytes[i];
    return value;
}
