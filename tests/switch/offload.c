/* For tests of what is done to packets on their way in (switch/runtime/offload.c), without interfaces. */
#include <stddef.h>

#include "offload.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int complete(uint8_t *bytes, unsigned length, const struct virtio_net_hdr *left)
{
    return offload_complete_checksum(bytes, length, left);
}

EXPORT unsigned cut(uint8_t *bytes, unsigned length, const struct virtio_net_hdr *left, receive_fn receive)
{
    return offload_cut(bytes, length, left, receive, NULL);
}
