/*
 * The hash and checksum algorithms that v1model names, over a buffer of whole bytes.
 */
#ifndef SWITCH_HASHES_H
#define SWITCH_HASHES_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 of IEEE 802.3: reflected 0x04c11db7, init and xor all ones. 16 bytes a step (Kounavis and Berry, 2005). */
uint32_t hash_crc32(const uint8_t *bytes, size_t length);

/* CRC-16/ARC: reflected 0x8005, init 0. */
uint16_t hash_crc16(const uint8_t *bytes, size_t length);

/* CRC-16/CCITT-FALSE: 0x1021, init 0xffff. */
uint16_t hash_crc_ccitt(const uint8_t *bytes, size_t length);

/* The Internet checksum (RFC 1071): the complement of the one's complement sum of 16-bit words. */
uint16_t hash_csum16(const uint8_t *bytes, size_t length);

/* The 16-bit words xored; the last one padded with zeros. */
uint16_t hash_xor16(const uint8_t *bytes, size_t length);

/* The first 8 bytes, or fewer, as a number. */
uint64_t hash_identity(const uint8_t *bytes, size_t length);

/* Fills the tables of the above; harmless when called again. */
void hashes_init(void);

#endif
