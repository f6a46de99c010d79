#include "merge.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "headers.h"
#include "inet_sum.h"
#include "offload.h"

/* Finds the headers. Returns false when it is neither TCP nor UDP, or is a fragment, or has IPv6 extension headers. */
static bool find_headers(struct train *train, const uint8_t *packet, unsigned length)
{
    unsigned at = ETH_HLEN;
    if (length < ETH_HLEN)
        return false;
    uint16_t type = load16(packet + at - 2);
    while ((type == ETH_P_8021Q || type == ETH_P_8021AD) && at + VLAN_TAG_BYTES <= length) {
        at += VLAN_TAG_BYTES;
        type = load16(packet + at - 2);
    }
    const uint8_t *ip = packet + at;
    train->network = at;
    if (type == ETH_P_IP && at + MIN_IPV4_BYTES <= length) {
        if (load16(ip + IPV4_FRAGMENT) & IPV4_IS_FRAGMENT)
            return false;
        train->transport = at + (ip[0] & 15) * 4u;
    } else if (type == ETH_P_IPV6 && at + IPV6_BYTES <= length) {
        train->transport = at + IPV6_BYTES;
    } else {
        return false;
    }
    uint8_t protocol = ip[type == ETH_P_IP ? IPV4_PROTOCOL : IPV6_NEXT_HEADER];
    const uint8_t *transport = packet + train->transport;
    if (protocol == IPPROTO_TCP && train->transport + MIN_TCP_BYTES <= length)
        train->headers_length = train->transport + (transport[TCP_DATA_OFFSET] >> 4) * 4u;
    else if (protocol == IPPROTO_UDP && train->transport + UDP_BYTES <= length)
        train->headers_length = train->transport + UDP_BYTES;
    else
        return false;
    return train->transport >= train->network + MIN_IPV4_BYTES && train->headers_length < length;
}

static bool is_ipv4(const struct train *train, const uint8_t *packet)
{
    return packet[train->network] >> 4 == 4;
}

static bool is_tcp(const struct train *train, const uint8_t *packet)
{
    return packet[train->network + (is_ipv4(train, packet) ? IPV4_PROTOCOL : IPV6_NEXT_HEADER)] == IPPROTO_TCP;
}

static uint64_t pseudo_sum(const struct train *train, const uint8_t *packet, unsigned length)
{
    const uint8_t *ip = packet + train->network;
    uint64_t sum = is_ipv4(train, packet) ? inet_sum_add(0, ip + IPV4_ADDRESSES, IPV4_ADDRESSES_BYTES)
                                          : inet_sum_add(0, ip + IPV6_ADDRESSES, IPV6_ADDRESSES_BYTES);
    return sum + htons((uint16_t)length) + htons(is_tcp(train, packet) ? IPPROTO_TCP : IPPROTO_UDP);
}

/* Whether lengths and checksums are those that the packets of a super-packet get. */
static bool is_right(const struct train *train, const uint8_t *packet, unsigned length)
{
    const uint8_t *ip = packet + train->network, *transport = packet + train->transport;
    unsigned rest = length - train->transport;
    if (is_ipv4(train, packet)) {
        if (load16(ip + IPV4_LENGTH) != length - train->network ||
            inet_sum_fold(inet_sum_add(0, ip, train->transport - train->network)) != 0xffff)
            return false;
    } else if (load16(ip + IPV6_LENGTH) != rest) {
        return false;
    }
    if (!is_tcp(train, packet) && (load16(transport + UDP_LENGTH) != rest || load16(transport + UDP_CHECKSUM) == 0))
        return false;
    return inet_sum_fold(inet_sum_add(pseudo_sum(train, packet, rest), transport, rest)) == 0xffff;
}

/* Copies the headers without what differs among the packets of a super-packet. */
static void copy_common(const struct train *train, const uint8_t *packet, uint8_t *copy)
{
    uint8_t *ip = copy + train->network, *transport = copy + train->transport;
    bool tcp = is_tcp(train, packet);
    memcpy(copy, packet, train->headers_length);
    if (is_ipv4(train, packet)) {
        store16(ip + IPV4_ID, 0);
        store16(ip + IPV4_CHECKSUM, 0);
        store16(ip + IPV4_LENGTH, 0);
    } else {
        store16(ip + IPV6_LENGTH, 0);
    }
    if (tcp) {
        memset(transport + TCP_SEQUENCE, 0, sizeof(uint32_t));
        transport[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH | TCP_CWR);
        store16(transport + TCP_CHECKSUM, 0);
    } else {
        store16(transport + UDP_LENGTH, 0);
        store16(transport + UDP_CHECKSUM, 0);
    }
}

bool merge_begin(struct train *train, uint8_t *packet, unsigned length)
{
    train->packet = NULL;
    if (!find_headers(train, packet, length) || train->headers_length > MAX_HEADERS_BYTES ||
        !is_right(train, packet, length))
        return false;
    uint8_t flags = is_tcp(train, packet) ? packet[train->transport + TCP_FLAGS] : 0;
    if (flags & (TCP_FIN | TCP_PSH))
        return false;
    train->packet = packet;
    train->length = length;
    train->packets = 1;
    train->segment = length - train->headers_length;
    train->ended = false;
    train->last_flags = flags;
    return true;
}

/* Whether the numbers that count up do so. */
static bool counts_on(const struct train *train, const uint8_t *packet)
{
    const uint8_t *first = train->packet;
    if (is_ipv4(train, first) && (uint16_t)(load16(first + train->network + IPV4_ID) + train->packets) !=
                                     load16(packet + train->network + IPV4_ID))
        return false;
    if (!is_tcp(train, first))
        return true;
    uint32_t before = train->length - train->headers_length;
    return !(packet[train->transport + TCP_FLAGS] & TCP_CWR) &&
           load32(first + train->transport + TCP_SEQUENCE) + before == load32(packet + train->transport + TCP_SEQUENCE);
}

bool merge_append(struct train *train, const uint8_t *packet, unsigned length)
{
    uint8_t common[2][MAX_HEADERS_BYTES];
    unsigned payload = length - train->headers_length;
    if (train->packet == NULL || train->ended || length <= train->headers_length || payload > train->segment ||
        train->length - train->network + payload > UINT16_MAX)
        return false;
    copy_common(train, train->packet, common[0]);
    copy_common(train, packet, common[1]);
    if (memcmp(common[0], common[1], train->headers_length) != 0 || !counts_on(train, packet) ||
        !is_right(train, packet, length))
        return false;
    memcpy(train->packet + train->length, packet + train->headers_length, payload);
    train->length += payload;
    train->packets++;
    train->last_flags = is_tcp(train, packet) ? packet[train->transport + TCP_FLAGS] : 0;
    train->ended = payload < train->segment || train->last_flags & (TCP_FIN | TCP_PSH);
    return true;
}

void merge_end(const struct train *train, struct virtio_net_hdr *left)
{
    uint8_t *packet = train->packet;
    if (packet == NULL || train->packets == 1)
        return;
    uint8_t *ip = packet + train->network, *transport = packet + train->transport;
    unsigned rest = train->length - train->transport;
    bool ipv4 = is_ipv4(train, packet), tcp = is_tcp(train, packet);
    unsigned field = tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
    if (ipv4) {
        store16(ip + IPV4_LENGTH, train->length - train->network);
        store16(ip + IPV4_CHECKSUM, 0);
        inet_sum_store(ip + IPV4_CHECKSUM, inet_sum_add(0, ip, train->transport - train->network));
    } else {
        store16(ip + IPV6_LENGTH, rest);
    }
    bool reduced = tcp && transport[TCP_FLAGS] & TCP_CWR;
    if (tcp)
        transport[TCP_FLAGS] |= train->last_flags & (TCP_FIN | TCP_PSH);
    else
        store16(transport + UDP_LENGTH, rest);
    uint16_t sum = inet_sum_fold(pseudo_sum(train, packet, rest));
    memcpy(transport + field, &sum, sizeof sum);
    *left = (struct virtio_net_hdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = !tcp ? VIRTIO_NET_HDR_GSO_UDP_L4 : ipv4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6,
        .hdr_len = (uint16_t)train->headers_length,
        .gso_size = (uint16_t)train->segment,
        .csum_start = (uint16_t)train->transport,
        .csum_offset = (uint16_t)field,
    };
    if (reduced)
        left->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}
