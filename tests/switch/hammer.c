/*
 * A processing thread for tests: sends one packet through a program again and again while others change its tables, and
 * checks that each time exactly one of some allowed packets comes out.
 */
#include <stdatomic.h>
#include <string.h>

#include "program.h"

enum { BATCH = 16 }; /* packets between two quiesces, as a worker would have them */

struct answers {
    const uint8_t *allowed;
    unsigned count, length;
    unsigned good, bad;
};

static void check(void *context, unsigned port, const uint8_t *bytes, unsigned length)
{
    struct answers *answers = context;
    (void)port;
    for (unsigned i = 0; i < answers->count; i++)
        if (length == answers->length && memcmp(bytes, answers->allowed + i * length, length) == 0) {
            answers->good++;
            return;
        }
    answers->bad++;
}

/* Until *stop; returns how many packets went in, and how many came out as they should. */
__attribute__((visibility("default"))) uint64_t hammer(process_fn process, quiesce_fn quiesce, void *state,
                                                       const uint8_t *packet, const uint8_t *allowed, unsigned count,
                                                       unsigned length, const atomic_int *stop, uint64_t *good)
{
    struct answers answers = { .allowed = allowed, .count = count, .length = length };
    uint64_t sent = 0;
    *good = 0;
    while (!atomic_load(stop)) {
        for (int i = 0; i < BATCH; i++)
            process(state, 1, packet, length, sent++, check, &answers);
        quiesce(state);
        *good += answers.good;
        answers.good = 0;
    }
    return sent;
}
