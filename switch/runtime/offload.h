/*
 * What a host left to the hardware of its interface, done here instead: a checksum to complete, a super-packet to
 * cut into packets that fit its link (segmentation of TCP and UDP). A program then sees what a wire would have
 * carried, whatever it does with it.
 *
 * The kernel tells what was left in struct virtio_net_hdr (Virtual I/O Device 1.2, section 5.1.6.2), as the
 * device of a virtual machine would be told.
 */
#ifndef SWITCH_OFFLOAD_H
#define SWITCH_OFFLOAD_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* UDP packets of one size (UDP_SEGMENT); Linux 6.2 */
#endif

typedef void (*receive_fn)(void *context, const uint8_t *bytes, unsigned length);

static inline bool offload_is_super_packet(const struct virtio_net_hdr *left)
{
    return left->gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

/* Completes the checksum that begins where `left` says. Returns false when that is not inside the packet. */
bool offload_complete_checksum(uint8_t *bytes, unsigned length, const struct virtio_net_hdr *left);

/*
 * Hands the packets of a super-packet to `receive`, one after the other; returns how many. They are made in place,
 * each over the end of the one before: `bytes` is scrap afterwards. 0: its headers make no sense.
 */
unsigned offload_cut(uint8_t *bytes, unsigned length, const struct virtio_net_hdr *left, receive_fn receive,
                     void *context);

#endif
