/*
 * A bounded queue of packets between exactly one producing and one consuming thread: bytes in a ring, each packet
 * behind its length. Neither side ever waits for the other.
 */
#ifndef SWITCH_PACKET_QUEUE_H
#define SWITCH_PACKET_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct packet_queue {
    uint8_t *bytes;
    uint64_t capacity; /* a power of two */
    /* Bytes ever taken and ever put; apart from each other, so that the two threads don't share a cache line. */
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
};

static inline bool packet_queue_open(struct packet_queue *queue, uint64_t capacity)
{
    queue->bytes = malloc(capacity);
    queue->capacity = capacity;
    atomic_init(&queue->head, 0);
    atomic_init(&queue->tail, 0);
    return queue->bytes != NULL;
}

static inline void packet_queue_close(struct packet_queue *queue)
{
    free(queue->bytes);
    queue->bytes = NULL;
}

static inline void packet_queue_copy_in(struct packet_queue *queue, uint64_t at, const void *from, uint64_t length)
{
    uint64_t offset = at & (queue->capacity - 1);
    uint64_t first = queue->capacity - offset < length ? queue->capacity - offset : length;
    memcpy(queue->bytes + offset, from, first);
    memcpy(queue->bytes, (const uint8_t *)from + first, length - first);
}

static inline void packet_queue_copy_out(struct packet_queue *queue, uint64_t at, void *to, uint64_t length)
{
    uint64_t offset = at & (queue->capacity - 1);
    uint64_t first = queue->capacity - offset < length ? queue->capacity - offset : length;
    memcpy(to, queue->bytes + offset, first);
    memcpy((uint8_t *)to + first, queue->bytes, length - first);
}

/* Returns false, and leaves the queue as it was, when there is no room. */
static inline bool packet_queue_put(struct packet_queue *queue, const uint8_t *packet, uint32_t length)
{
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    uint64_t used = tail - atomic_load_explicit(&queue->head, memory_order_acquire);
    if (queue->capacity - used < sizeof length + (uint64_t)length)
        return false;
    packet_queue_copy_in(queue, tail, &length, sizeof length);
    packet_queue_copy_in(queue, tail + sizeof length, packet, length);
    atomic_store_explicit(&queue->tail, tail + sizeof length + length, memory_order_release);
    return true;
}

/* Returns the packet's length, or -1 when the queue is empty. A packet longer than `room` is cut to it. */
static inline int64_t packet_queue_take(struct packet_queue *queue, uint8_t *packet, uint32_t room)
{
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&queue->tail, memory_order_acquire))
        return -1;
    uint32_t length;
    packet_queue_copy_out(queue, head, &length, sizeof length);
    packet_queue_copy_out(queue, head + sizeof length, packet, length < room ? length : room);
    atomic_store_explicit(&queue->head, head + sizeof length + length, memory_order_release);
    return length < room ? length : room;
}

#endif
