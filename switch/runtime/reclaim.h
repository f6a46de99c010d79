/*
 * When may memory be freed that the processing thread may still look at? Quiescent-state based reclamation
 * (McKenney, "Is Parallel Programming Hard", ch. 9) with exactly one reader.
 *
 * `reader` is odd while the processing thread may hold references. It becomes odd with the first packet after a
 * quiesce and even with the next quiesce. What a writer unlinked while `reader` was r can be freed when `reader`
 * is even, or no longer r: whoever reads now began after the unlinking.
 * Writers are serialised by the caller.
 */
#ifndef SWITCH_RECLAIM_H
#define SWITCH_RECLAIM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct block; /* what stands in front of every reclaimable allocation */

struct reclaimer {
    _Alignas(64) _Atomic uint64_t reader;
    _Alignas(64) struct block *oldest; /* of those that were unlinked and are not free yet, in that order */
    struct block *newest;
};

static inline void reader_enter(struct reclaimer *r)
{
    const uint64_t now = atomic_load_explicit(&r->reader, memory_order_relaxed);
    if (!(now & 1))
        atomic_exchange_explicit(&r->reader, now + 1, memory_order_seq_cst); /* before any table is read */
}

static inline void reader_leave(struct reclaimer *r)
{
    const uint64_t now = atomic_load_explicit(&r->reader, memory_order_relaxed);
    if (now & 1)
        atomic_store_explicit(&r->reader, now + 1, memory_order_release); /* after all of them were */
}

/* Zeroed memory, aligned for anything; NULL when there is none. */
void *block_new(size_t size);

/* Frees memory that no reader has ever seen. NULL is fine. */
void block_free(void *memory);

/* Frees memory that readers can no longer find, as soon as none can still hold it. NULL is fine. */
void block_retire(struct reclaimer *r, void *memory);

/* Frees all that waits. Nobody may be reading. */
void reclaim_all(struct reclaimer *r);

#endif
