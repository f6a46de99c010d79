/*
 * Forwarders that do nothing but take packets from one interface and send them out of another, each by another
 * interface of the kernel. What they reach is the ceiling for a switch that uses the same.
 */
#ifndef BENCH_RINGS_H
#define BENCH_RINGS_H

#include <poll.h>
#include <stdint.h>

enum {
    BATCH = 64,
    FRAME_BYTES = 2048,
    FRAMES = 4096,
    WAIT_MS = 100, /* for a packet, before the end is looked for */
};

struct packet {
    uint8_t *bytes;
    uint32_t length;
};

/* What a forwarder has done. calls: to the kernel. processor_ns: time of a processor that its thread took. */
struct tally {
    _Atomic uint64_t packets, calls, processor_ns;
};

/* Both forward from interface `in` to `out` (indexes) until *stop is set. Return 0, or -errno, and set *failed to what
 * could not be done. */
int64_t rings_packet(int in, int out, int receive, int send, int bypass, const volatile int *stop, struct tally *tally,
                     const char **failed);
int64_t rings_xdp(int in, int out, int native, const volatile int *stop, struct tally *tally, const char **failed);

/* Notes what a round has done. */
void rings_count(struct tally *tally, uint64_t packets, uint64_t calls);

#endif
