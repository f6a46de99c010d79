#include "layers.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

#include "headers.h"
#include "inet_sum.h"

enum {
    MIN_EXTENSION_BYTES = 8,
    GRE_CHECKSUM_PRESENT = 0x80, /* flags in GRE's first byte (RFC 2784, RFC 2890) */
    GRE_KEY_PRESENT = 0x20,
    GRE_SEQUENCE_PRESENT = 0x10,
    IP_IN_IP = 4,
};

/* The walk from the front: where it is, and what it must not pass. */
struct walk {
    const uint8_t *bytes;
    unsigned at;
    unsigned end;
    struct layers *layers;
};

static bool add(struct layers *layers, enum layer_kind kind, unsigned offset)
{
    if (layers->count == MAX_LAYERS)
        return false;
    layers->all[layers->count++] = (struct layer){kind, offset};
    return true;
}

static bool has(const struct walk *walk, unsigned bytes)
{
    return walk->at + bytes <= walk->end;
}

/* Passes addresses, tags and type; returns the type, or 0. */
static uint16_t pass_ethernet(struct walk *walk)
{
    if (!has(walk, ETH_HLEN))
        return 0;
    walk->at += ETH_HLEN;
    uint16_t type = load16(walk->bytes + walk->at - 2);
    while ((type == ETH_P_8021Q || type == ETH_P_8021AD) && has(walk, VLAN_TAG_BYTES)) {
        walk->at += VLAN_TAG_BYTES;
        type = load16(walk->bytes + walk->at - 2);
    }
    return type;
}

/* These two pass a header of IP with its options or extensions; they return the protocol of what follows, or -1. */
static int pass_ipv4(struct walk *walk)
{
    const uint8_t *header = walk->bytes + walk->at;
    if (!has(walk, MIN_IPV4_BYTES) || header[0] >> 4 != 4 || !add(walk->layers, LAYER_IPV4, walk->at))
        return -1;
    unsigned length = (header[0] & 15) * 4;
    if (length < MIN_IPV4_BYTES || !has(walk, length))
        return -1;
    walk->at += length;
    return header[IPV4_PROTOCOL];
}

static int pass_ipv6(struct walk *walk)
{
    const uint8_t *header = walk->bytes + walk->at;
    if (!has(walk, IPV6_BYTES) || header[0] >> 4 != 6 || !add(walk->layers, LAYER_IPV6, walk->at))
        return -1;
    walk->at += IPV6_BYTES;
    int next = header[IPV6_NEXT_HEADER];
    while ((next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS) &&
           has(walk, MIN_EXTENSION_BYTES)) {
        const uint8_t *extension = walk->bytes + walk->at;
        next = extension[0];
        walk->at += (extension[1] + 1u) * 8;
    }
    return next;
}

/* Passes GRE's header; returns the type of what is inside, or 0. */
static uint16_t pass_gre(struct walk *walk)
{
    const uint8_t *header = walk->bytes + walk->at;
    if (!has(walk, 4))
        return 0;
    if (header[0] & GRE_CHECKSUM_PRESENT && !add(walk->layers, LAYER_GRE, walk->at))
        return 0;
    walk->at += 4;
    walk->at += header[0] & GRE_CHECKSUM_PRESENT ? 4 : 0;
    walk->at += header[0] & GRE_KEY_PRESENT ? 4 : 0;
    walk->at += header[0] & GRE_SEQUENCE_PRESENT ? 4 : 0;
    uint16_t type = load16(header + 2);
    return type == ETH_P_TEB ? pass_ethernet(walk) : type;
}

static bool is_ipv4_of(const uint8_t *header, unsigned length, uint8_t protocol)
{
    return header[0] == (0x40 | length / 4) && header[IPV4_PROTOCOL] == protocol &&
           inet_sum_fold(inet_sum_add(0, header, length)) == 0xffff;
}

/* The IP header that ends where the transport header begins, and begins no earlier than `from`. */
static bool find_backwards(struct walk *walk, unsigned from, uint8_t protocol)
{
    const uint8_t *end = walk->bytes + walk->end;
    unsigned room = walk->end - from;
    for (unsigned length = MIN_IPV4_BYTES; length <= MAX_IPV4_BYTES && length <= room; length += 4)
        if (is_ipv4_of(end - length, length, protocol))
            return add(walk->layers, LAYER_IPV4, walk->end - length);
    if (room < IPV6_BYTES || end[-IPV6_BYTES] >> 4 != 6 || end[IPV6_NEXT_HEADER - IPV6_BYTES] != protocol)
        return false;
    return add(walk->layers, LAYER_IPV6, walk->end - IPV6_BYTES);
}

bool layers_find(const uint8_t *bytes, unsigned transport, uint8_t protocol, struct layers *layers)
{
    struct walk walk = {.bytes = bytes, .end = transport, .layers = layers};
    layers->count = 0;
    uint16_t type = pass_ethernet(&walk);
    for (;;) {
        int next = type == ETH_P_IP ? pass_ipv4(&walk) : type == ETH_P_IPV6 ? pass_ipv6(&walk) : -1;
        if (next < 0 || walk.at > transport)
            return false;
        if (walk.at == transport)
            return next == protocol;
        if (next == IPPROTO_UDP)
            return has(&walk, UDP_BYTES) && add(layers, LAYER_UDP, walk.at) &&
                   find_backwards(&walk, walk.at + UDP_BYTES, protocol);
        type = next == IP_IN_IP ? ETH_P_IP : next == IPPROTO_IPV6 ? ETH_P_IPV6 : 0;
        if (next == IPPROTO_GRE)
            type = pass_gre(&walk);
    }
}
