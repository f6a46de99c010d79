/*
 * What the switch knows about a packet beside its headers and metadata (BMv2's `Packet` and its registers).
 * The generated `struct packet` begins with it.
 */
#ifndef SWITCH_PACKET_H
#define SWITCH_PACKET_H

#include <stdint.h>

/* standard_metadata.instance_type */
enum instance_type {
    INSTANCE_NORMAL = 0,
    INSTANCE_INGRESS_CLONE = 1,
    INSTANCE_EGRESS_CLONE = 2,
    INSTANCE_RECIRCULATED = 4,
    INSTANCE_REPLICATED = 5,
    INSTANCE_RESUBMITTED = 6,
};

enum stop {
    RUNNING,
    EXITED,  /* the rest of the pipeline is skipped */
    FAILED,  /* an assertion was false: the packet is dropped */
    ENDLESS, /* a loop does not end: the same */
};

enum { CLONE_REQUESTED = 0x8000 }; /* beside the session, so that session 0 counts too */

struct packet_context {
    const uint8_t *bytes;    /* the whole packet as it came */
    const uint8_t *payload;  /* what the parser left of it */
    uint32_t length;
    uint32_t payload_length;
    uint32_t ingress_length; /* what counters count */
    uint32_t length_now;     /* standard_metadata.packet_length of egress: moves with headers added and removed */
    uint32_t truncate_to;
    uint32_t parser_error;
    uint16_t ingress_port;
    uint16_t clone;          /* session, with CLONE_REQUESTED */
    uint16_t clone_list;
    uint16_t resubmit_list;
    uint16_t recirculate_list;
    uint16_t learn_list;
    uint8_t checksum_error;
    uint8_t passes;
    uint8_t stop; /* enum stop */
};

/* Bytes that follow the headers, as far as `truncate` lets them be seen. */
static inline uint32_t payload_seen(const struct packet_context *c)
{
    return c->payload_length < c->truncate_to ? c->payload_length : c->truncate_to;
}

#endif
