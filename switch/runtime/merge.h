/*
 * The way back from offload.h: packets that were cut from one super-packet, and leave the program one after the other
 * with headers that still belong together, are put into one again for the kernel to carry. Nobody can tell: what
 * the kernel, or the hardware of an interface, cuts from it are the same packets, byte for byte. What would not be
 * the same is left alone: a packet with another header, a gap, a wrong checksum, a tunnel.
 */
#ifndef SWITCH_MERGE_H
#define SWITCH_MERGE_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

/* Packets that are one behind the other. They begin with a whole one; of those that follow only the payload is kept. */
struct train {
    uint8_t *packet;         /* NULL: there is none */
    unsigned length;         /* of all of it */
    unsigned packets;
    unsigned network;        /* where the IP header is, */
    unsigned transport;      /* the transport header, */
    unsigned headers_length; /* and the payload */
    unsigned segment;        /* payload of the first packet, and of all but the last */
    bool ended;              /* nothing can follow */
    uint8_t last_flags;      /* TCP's of the last packet */
};

/* Whether more may follow this packet; `packet` must stay where it is, with room for what follows behind it. */
bool merge_begin(struct train *train, uint8_t *packet, unsigned length);

/* Appends a packet. Returns false, and does nothing, when it is not the next. */
bool merge_append(struct train *train, const uint8_t *packet, unsigned length);

/* Makes a super-packet of the train, and says in `left` what is left to do to it. A train of one stays as it is. */
void merge_end(const struct train *train, struct virtio_net_hdr *left);

#endif
