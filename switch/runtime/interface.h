/*
 * One network interface as a port of the switch: AF_PACKET, received through a memory-mapped ring (TPACKET_V2),
 * sent in batches (sendmmsg). What hosts leave to the hardware of an interface is done on the way in (offload.h).
 * Everything here is called by one thread, except that counters may be read by any.
 */
#ifndef SWITCH_INTERFACE_H
#define SWITCH_INTERFACE_H

#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "merge.h"
#include "offload.h"

enum {
    /* The longest packet that the switch takes or gives: 64 KiB as hosts with segmentation offload send it,
     * link and VLAN headers, and what a program may put in front of it. */
    PACKET_ROOM = 128 * 1024,
    SEND_BATCH = 64,
};

/* The order is that of PortCounters in switch/worker.py. */
enum interface_counter {
    RX_PACKETS, /* as the program gets them */
    RX_BYTES,
    RX_DROPPED,   /* the ring was full */
    RX_TOO_LONG,  /* longer than 64 KiB, or no memory to keep a packet longer than a ring slot */
    RX_MALFORMED, /* a checksum was left to be completed, or packets to be cut, where there are none */
    RX_CHECKSUMS, /* completed here */
    RX_SUPER_PACKETS, /* cut into packets here */
    TX_PACKETS, /* as the program sent them */
    TX_BYTES,
    TX_DROPPED,  /* the interface is down or gone, or its queue is full */
    TX_TOO_LONG, /* longer than the interface's MTU */
    TX_SUPER_PACKETS, /* in which the kernel was given several packets */
    TX_CALLS,    /* to the kernel, to send: one for a batch */
    INTERFACE_COUNTERS,
};

struct interface {
    char name[IFNAMSIZ];
    int index; /* the kernel's; 0 when there is no such interface now */
    int fd;    /* -1 when there is no such interface now */
    uint8_t *ring;
    unsigned slots; /* of the ring */
    unsigned next;  /* the slot that the kernel fills next */
    uint8_t *long_packet;
    bool cutting; /* what is handed on now are the parts of a super-packet */

    unsigned queued;   /* packets to send */
    uint32_t queued_bytes;
    uint8_t *outgoing; /* their bytes, one after the other */
    struct train train; /* the last of them, if more can be put to it */
    unsigned mtu;       /* as it was at the last check */
    struct sending {
        unsigned packets, bytes; /* as the program sent them */
    } sending[SEND_BATCH];
    struct iovec vectors[SEND_BATCH];
    struct mmsghdr messages[SEND_BATCH];

    _Atomic uint64_t counters[INTERFACE_COUNTERS];
};

/* Both return NULL, or say what failed, with errno set. */
const char *interface_create(struct interface *interface, const char *name);
const char *interface_open(struct interface *interface);

void interface_close(struct interface *interface);
void interface_destroy(struct interface *interface);

/* Hands up to `budget` received packets (a super-packet is one) to `receive`; returns how many. The bytes last until
 * `receive` returns. */
unsigned interface_receive(struct interface *interface, unsigned budget, receive_fn receive, void *context);

/* Queues a copy of a packet; sends when the batch is full. part: of a super-packet that was cut: it may leave in one
 * with those before and behind it. */
void interface_queue(struct interface *interface, const uint8_t *bytes, unsigned length, bool part);
void interface_flush(struct interface *interface);

/* Takes up the kernel's drop count, and closes the interface if it vanished. To be called now and then. */
void interface_check(struct interface *interface);

#endif
