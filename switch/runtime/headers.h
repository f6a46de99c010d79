/* Where things are in the headers of the Internet protocols: offsets and sizes in bytes, and bits. */
#ifndef SWITCH_HEADERS_H
#define SWITCH_HEADERS_H

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

enum {
    VLAN_TAG_BYTES = 4,

    MIN_IPV4_BYTES = 20,
    MAX_IPV4_BYTES = 60,
    IPV4_LENGTH = 2,
    IPV4_ID = 4,
    IPV4_FRAGMENT = 6,
    IPV4_PROTOCOL = 9,
    IPV4_CHECKSUM = 10,
    IPV4_ADDRESSES = 12,
    IPV4_ADDRESSES_BYTES = 8,
    IPV4_IS_FRAGMENT = 0x3fff, /* "more fragments", or an offset */

    IPV6_BYTES = 40,
    IPV6_LENGTH = 4,
    IPV6_NEXT_HEADER = 6,
    IPV6_ADDRESSES = 8,
    IPV6_ADDRESSES_BYTES = 32,

    MIN_TCP_BYTES = 20,
    TCP_SEQUENCE = 4,
    TCP_DATA_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_CHECKSUM = 16,
    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_CWR = 0x80,

    UDP_BYTES = 8,
    UDP_LENGTH = 4,
    UDP_CHECKSUM = 6,

    SCTP_CHECKSUM = 8,

    MAX_HEADERS_BYTES = 512, /* of all headers of a packet that is cut or put together */
};

static inline uint16_t load16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline void store16(uint8_t *bytes, unsigned value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static inline uint32_t load32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return ntohl(value);
}

static inline void store32(uint8_t *bytes, uint32_t value)
{
    value = htonl(value);
    memcpy(bytes, &value, sizeof value);
}

#endif
