/* For tests of what is done to packets on their way in (switch/runtime/offload.c), without interfaces. */
#include <stddef.h>

#include "merge.h"
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

/* Whether the second packet is put to the first, behind which there is room for it. */
EXPORT int joins(uint8_t *first, unsigned first_length, const uint8_t *second, unsigned second_length)
{
    struct train train;
    return merge_begin(&train, first, first_length) && merge_append(&train, second, second_length);
}
