#include "hashes.h"

#include "bits.h"

enum { BYTES_PER_STEP = 16 };

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

static uint32_t load_little(const uint8_t *bytes) { return __builtin_bswap32(load_32(bytes)); }

/* What four bytes add to the CRC, of which the last is so many bytes before the end of the step. */
static uint32_t crc32_four(uint32_t bytes, unsigned before_end)
{
    return crc32_table[before_end + 3][bytes & 0xff] ^ crc32_table[before_end + 2][bytes >> 8 & 0xff] ^
           crc32_table[before_end + 1][bytes >> 16 & 0xff] ^ crc32_table[before_end][bytes >> 24];
}

uint32_t hash_crc32(const uint8_t *bytes, size_t length)
{
    uint32_t crc = 0xffffffff;
    for (; length >= 16; length -= 16, bytes += 16)
        crc = crc32_four(crc ^ load_little(bytes), 12) ^ crc32_four(load_little(bytes + 4), 8) ^
              crc32_four(load_little(bytes + 8), 4) ^ crc32_four(load_little(bytes + 12), 0);
    if (length & 8) {
        crc = crc32_four(crc ^ load_little(bytes), 4) ^ crc32_four(load_little(bytes + 4), 0);
        bytes += 8;
    }
    if (length & 4) {
        crc = crc32_four(crc ^ load_little(bytes), 0);
        bytes += 4;
    }
    for (length &= 3; length > 0; length--)
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
