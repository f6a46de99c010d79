/*
 * The loops of the benchmarks that have to be fast: a traffic generator, a program run without ports, and the
 * emptiest program there is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "program.h"

#define EXPORT __attribute__((visibility("default")))

#define BATCH 64
#define MOST_BEHIND (4 * BATCH)
#define NS_PER_S 1000000000LL

static int64_t ns_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t now_ns(void)
{
    return ns_of(CLOCK_MONOTONIC);
}

static void sleep_until(int64_t ns)
{
    struct timespec then = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL);
}

/*
 * Sends `count` frames of `length` bytes, which lie one behind the other, over and over, until *stop is set.
 * rate: packets a second; 0: as many as will go. A generator that was kept from running for a while sends no more
 * than MOST_BEHIND packets of what it missed: no wire would bring the rest in one burst. Returns how many were
 * sent, or -errno.
 */
EXPORT int64_t traffic_send(int socket, const uint8_t *frames, unsigned count, unsigned length, double rate,
                            const volatile int *stop)
{
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    int64_t sent = 0, began = now_ns();
    unsigned next = 0;

    for (int i = 0; i < BATCH; i++) {
        parts[i].iov_len = length;
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (!*stop) {
        unsigned due = BATCH;
        if (rate > 0) {
            int64_t behind = (int64_t)((double)(now_ns() - began) * rate / 1e9) - sent;
            if (behind <= 0) {
                sleep_until(began + (int64_t)((double)(sent + 1) * 1e9 / rate));
                continue;
            }
            if (behind > MOST_BEHIND) {
                began += (int64_t)((double)(behind - MOST_BEHIND) * 1e9 / rate);
                behind = MOST_BEHIND;
            }
            if (behind < BATCH)
                due = (unsigned)behind;
        }
        for (unsigned i = 0; i < due; i++) {
            parts[i].iov_base = (void *)(frames + (uint64_t)next * length);
            next = next + 1 == count ? 0 : next + 1;
        }
        int done = sendmmsg(socket, messages, due, 0);
        if (done < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (done > 0)
            sent += done;
    }
    return sent;
}

static void count_emitted(void *context, unsigned port, const uint8_t *bytes, unsigned length)
{
    (void)port, (void)bytes, (void)length;
    ++*(int64_t *)context;
}

/*
 * Takes frames through a program, round and round, `packets` in all. Returns the time in nanoseconds that this
 * thread had a processor; *emitted is how many packets left.
 */
EXPORT int64_t traffic_process(process_fn process, quiesce_fn quiesce, void *state, unsigned port,
                               const uint8_t *frames, unsigned count, unsigned length, int64_t packets,
                               uint64_t now_us, int64_t *emitted)
{
    unsigned next = 0;
    int64_t began = ns_of(CLOCK_THREAD_CPUTIME_ID);

    *emitted = 0;
    for (int64_t i = 0; i < packets; i++) {
        process(state, port, frames + (uint64_t)next * length, length, now_us, count_emitted, emitted);
        next = next + 1 == count ? 0 : next + 1;
        if (i % BATCH == 0)
            quiesce(state);
    }
    return ns_of(CLOCK_THREAD_CPUTIME_ID) - began;
}

/* A program that does nothing: every packet leaves by the port in `state`. What is left is the cost of the ports. */
EXPORT void empty_process(void *state, unsigned port, const uint8_t *bytes, unsigned length, uint64_t now_us,
                          emit_fn emit, void *context)
{
    (void)port, (void)now_us;
    emit(context, (unsigned)(uintptr_t)state, bytes, length);
}

EXPORT void empty_quiesce(void *state)
{
    (void)state;
}
