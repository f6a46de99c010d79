#include "tracer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hashes.h"
#include "packet_queue.h"

enum {
    QUEUE_BYTES = 4 * 1024 * 1024,
    EVENTS = sizeof(((struct traced *)0)->events) / sizeof(uint64_t),
};

uint64_t program_trace(void *state, unsigned port, const uint8_t *bytes, unsigned length, uint64_t now_us,
                       emit_fn emit, void *context, uint64_t *words, uint64_t capacity);

struct tracer {
    void *state;
    struct pattern *patterns;
    unsigned count;
    uint64_t every, fitted;
    struct packet_queue queue;
    _Atomic uint64_t missed;
    struct traced record;
};

static bool fits(const struct pattern *pattern, unsigned port, const uint8_t *bytes, unsigned length)
{
    if ((pattern->port != ANY_PORT && pattern->port != port) || length < pattern->length)
        return false;
    for (unsigned i = 0; i < pattern->length; i++)
        if ((bytes[i] & pattern->mask[i]) != pattern->value[i])
            return false;
    return true;
}

static bool is_chosen(struct tracer *tracer, unsigned port, const uint8_t *bytes, unsigned length)
{
    for (unsigned i = 0; i < tracer->count; i++)
        if (fits(&tracer->patterns[i], port, bytes, length))
            return tracer->fitted++ % tracer->every == 0;
    return false;
}

void tracer_process(void *context, unsigned port, const uint8_t *bytes, unsigned length, uint64_t now_us,
                    emit_fn emit, void *emit_context)
{
    struct tracer *tracer = context;
    if (!is_chosen(tracer, port, bytes, length)) {
        program_process(tracer->state, port, bytes, length, now_us, emit, emit_context);
        return;
    }
    struct traced *record = &tracer->record;
    record->now_us = now_us;
    record->port = port;
    record->length = length;
    memcpy(record->packet, bytes, length < KEPT_BYTES ? length : KEPT_BYTES);
    const uint64_t words =
        program_trace(tracer->state, port, bytes, length, now_us, emit, emit_context, record->events, EVENTS);
    const size_t size = offsetof(struct traced, events) + words * sizeof(uint64_t);
    if (!packet_queue_put(&tracer->queue, (const uint8_t *)record, (uint32_t)size))
        atomic_fetch_add_explicit(&tracer->missed, 1, memory_order_relaxed);
}

void tracer_quiesce(void *tracer)
{
    program_quiesce(((struct tracer *)tracer)->state);
}

struct tracer *tracer_create(void *state, const struct pattern *patterns, unsigned count, uint64_t every)
{
    /* The queue keeps its two ends on cache lines of their own. */
    struct tracer *tracer = aligned_alloc(64, (sizeof *tracer + 63) / 64 * 64);
    if (!tracer)
        return NULL;
    memset(tracer, 0, sizeof *tracer);
    hashes_init(); /* this library's own tables */
    tracer->state = state;
    tracer->count = count;
    tracer->every = every;
    tracer->patterns = malloc(count * sizeof *patterns);
    if (!packet_queue_open(&tracer->queue, QUEUE_BYTES) || !tracer->patterns) {
        tracer_destroy(tracer);
        return NULL;
    }
    memcpy(tracer->patterns, patterns, count * sizeof *patterns);
    return tracer;
}

void tracer_destroy(struct tracer *tracer)
{
    packet_queue_close(&tracer->queue);
    free(tracer->patterns);
    free(tracer);
}

int64_t tracer_take(struct tracer *tracer, uint8_t *record, uint32_t room)
{
    return packet_queue_take(&tracer->queue, record, room);
}

uint64_t tracer_missed(struct tracer *tracer)
{
    return atomic_load_explicit(&tracer->missed, memory_order_relaxed);
}
