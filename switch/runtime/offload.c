#include "offload.h"

#include <netinet/in.h>
#include <string.h>

#include "headers.h"
#include "inet_sum.h"
#include "layers.h"

enum { GRE_CHECKSUM = 4 }; /* its offset */

/* A super-packet, and what all packets that are cut from it have in common. */
struct cut {
    struct layers layers;
    uint8_t protocol;         /* IPPROTO_TCP or IPPROTO_UDP */
    unsigned transport;       /* where its header is */
    unsigned headers_length;  /* of all headers */
    uint64_t pseudo_sum;      /* of the transport's pseudo-header, but for the length */
    uint8_t headers[MAX_HEADERS_BYTES];
};

/* ---- Checksums ---- */

/* CRC32c (RFC 9260, appendix A): bit by bit, since what SCTP sends is rarely seen here. */
static uint32_t crc32c(const uint8_t *bytes, unsigned length)
{
    uint32_t crc = ~0u;
    for (unsigned i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1));
    }
    return ~crc;
}

static void store_sctp_checksum(uint8_t *sctp, unsigned length)
{
    memset(sctp + SCTP_CHECKSUM, 0, sizeof(uint32_t));
    uint32_t crc = crc32c(sctp, length);
    for (unsigned i = 0; i < sizeof crc; i++)
        sctp[SCTP_CHECKSUM + i] = (uint8_t)(crc >> 8 * i);
}

bool offload_complete_checksum(uint8_t *bytes, unsigned length, const struct virtio_net_hdr *left)
{
    unsigned start = left->csum_start, field = start + left->csum_offset;
    if (left->csum_offset == SCTP_CHECKSUM && field + sizeof(uint32_t) <= length) {
        /* Nothing says which kind of checksum it is, but no other protocol has it here. */
        store_sctp_checksum(bytes + start, length - start);
        return true;
    }
    if (field + sizeof(uint16_t) > length)
        return false;
    /* The field holds the sum of the pseudo-header, and is part of what is added. */
    inet_sum_store_nonzero(bytes + field, inet_sum_add(0, bytes + start, length - start));
    return true;
}

/* ---- Segmentation ---- */

/* Returns false when the packet is not what `left` says. */
static bool read_headers(const uint8_t *bytes, unsigned length, const struct virtio_net_hdr *left, struct cut *cut)
{
    unsigned kind = left->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
    bool tcp = kind == VIRTIO_NET_HDR_GSO_TCPV4 || kind == VIRTIO_NET_HDR_GSO_TCPV6;
    unsigned field = tcp ? TCP_CHECKSUM : UDP_CHECKSUM, least = tcp ? MIN_TCP_BYTES : UDP_BYTES;
    if (!tcp && kind != VIRTIO_NET_HDR_GSO_UDP_L4)
        return false;
    cut->protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
    cut->transport = left->csum_start;
    if (!(left->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || left->csum_offset != field || left->gso_size == 0 ||
        cut->transport + least > length || length - cut->transport > UINT16_MAX)
        return false;
    const uint8_t *transport = bytes + cut->transport;
    unsigned transport_length = tcp ? (transport[TCP_DATA_OFFSET] >> 4) * 4u : UDP_BYTES;
    cut->headers_length = cut->transport + transport_length;
    if (transport_length < least || cut->headers_length > length || cut->headers_length > MAX_HEADERS_BYTES ||
        !layers_find(bytes, cut->transport, cut->protocol, &cut->layers))
        return false;
    memcpy(cut->headers, bytes, cut->headers_length);
    /* The field holds the pseudo-header's sum with the length of the whole: taken out again here. */
    uint16_t sum;
    memcpy(&sum, transport + field, sizeof sum);
    cut->pseudo_sum = (uint64_t)sum + (uint16_t)~htons((uint16_t)(length - cut->transport));
    memset(cut->headers + cut->transport + field, 0, sizeof sum);
    return true;
}

static void set_ipv4(uint8_t *header, unsigned length, unsigned number)
{
    store16(header + IPV4_LENGTH, length);
    store16(header + IPV4_ID, load16(header + IPV4_ID) + number);
    store16(header + IPV4_CHECKSUM, 0);
    inet_sum_store(header + IPV4_CHECKSUM, inet_sum_add(0, header, (header[0] & 15) * 4));
}

/* The checksum of a tunnel's UDP header; `ip` is the header before it. */
static void set_tunnel_udp(uint8_t *udp, unsigned length, const uint8_t *ip)
{
    store16(udp + UDP_LENGTH, length);
    if (load16(udp + UDP_CHECKSUM) == 0)
        return;
    store16(udp + UDP_CHECKSUM, 0);
    uint64_t sum = ip[0] >> 4 == 4 ? inet_sum_add(0, ip + IPV4_ADDRESSES, IPV4_ADDRESSES_BYTES)
                                   : inet_sum_add(0, ip + IPV6_ADDRESSES, IPV6_ADDRESSES_BYTES);
    sum += htons((uint16_t)length) + htons(IPPROTO_UDP);
    inet_sum_store_nonzero(udp + UDP_CHECKSUM, inet_sum_add(sum, udp, length));
}

static void set_gre(uint8_t *gre, unsigned length)
{
    store16(gre + GRE_CHECKSUM, 0);
    inet_sum_store(gre + GRE_CHECKSUM, inet_sum_add(0, gre, length));
}

/* The headers in front of the transport's, from the inside outwards: checksums of tunnels cover what is inside. */
static void set_layers(const struct layers *layers, uint8_t *packet, unsigned length, unsigned number)
{
    for (unsigned i = layers->count; i-- > 0;) {
        const struct layer *layer = &layers->all[i];
        uint8_t *header = packet + layer->offset;
        unsigned rest = length - layer->offset;
        switch (layer->kind) {
        case LAYER_IPV4:
            set_ipv4(header, rest, number);
            break;
        case LAYER_IPV6:
            store16(header + IPV6_LENGTH, rest - IPV6_BYTES);
            break;
        case LAYER_UDP: /* never the first: there is an IP header before it */
            set_tunnel_udp(header, rest, packet + layers->all[i - 1].offset);
            break;
        case LAYER_GRE:
            set_gre(header, rest);
            break;
        }
    }
}

static void set_transport(const struct cut *cut, uint8_t *packet, unsigned length, unsigned before, bool last)
{
    uint8_t *transport = packet + cut->transport;
    unsigned rest = length - cut->transport;
    uint64_t sum = cut->pseudo_sum + htons((uint16_t)rest);
    if (cut->protocol == IPPROTO_UDP) {
        store16(transport + UDP_LENGTH, rest);
        inet_sum_store_nonzero(transport + UDP_CHECKSUM, inet_sum_add(sum, transport, rest));
        return;
    }
    store32(transport + TCP_SEQUENCE, load32(transport + TCP_SEQUENCE) + before);
    if (before > 0) /* "congestion window reduced" is said once (RFC 3168, section 6.1.2) */
        transport[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    if (!last)
        transport[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    inet_sum_store(transport + TCP_CHECKSUM, inet_sum_add(sum, transport, rest));
}

unsigned offload_cut(uint8_t *bytes, unsigned length, const struct virtio_net_hdr *left, receive_fn receive,
                     void *context)
{
    struct cut cut;
    if (!read_headers(bytes, length, left, &cut))
        return 0;
    unsigned payload = length - cut.headers_length, before = 0, number = 0;
    do {
        unsigned part = payload - before < left->gso_size ? payload - before : left->gso_size;
        bool last = before + part == payload;
        uint8_t *packet = bytes + before; /* its payload stays where it is; the headers go in front of it */
        memcpy(packet, cut.headers, cut.headers_length);
        set_transport(&cut, packet, cut.headers_length + part, before, last);
        set_layers(&cut.layers, packet, cut.headers_length + part, number);
        receive(context, packet, cut.headers_length + part);
        before += part;
        number++;
    } while (before < payload);
    return number;
}
