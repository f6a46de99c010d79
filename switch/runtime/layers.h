/*
 * Where the headers of a packet are: Ethernet, VLAN tags, IPv4 and IPv6, and, inside tunnels, the same again, down to
 * one transport header. For what hosts leave to the hardware of an interface (offload.c).
 */
#ifndef SWITCH_LAYERS_H
#define SWITCH_LAYERS_H

#include <stdbool.h>
#include <stdint.h>

enum layer_kind {
    LAYER_IPV4,
    LAYER_IPV6,
    LAYER_UDP, /* a tunnel's, in front of the packet inside */
    LAYER_GRE, /* the same; with a checksum */
};

enum { MAX_LAYERS = 8 };

struct layers {
    unsigned count;
    struct layer {
        enum layer_kind kind;
        unsigned offset;
    } all[MAX_LAYERS];
};

/*
 * Finds the headers between Ethernet's and the transport header of this protocol at `transport`. Returns false when
 * they do not lead there.
 *
 * A UDP tunnel's own header is not understood (they are many): the packet inside is looked for backwards from its
 * transport header, and must have no IPv6 extension headers.
 */
bool layers_find(const uint8_t *bytes, unsigned transport, uint8_t protocol, struct layers *layers);

#endif
