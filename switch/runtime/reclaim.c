#include "reclaim.h"

#include <stdlib.h>

struct block {
    struct block *next;
    uint64_t stamp; /* reclaimer.reader when this was unlinked */
};

_Static_assert(sizeof(struct block) == 16, "keeps what follows aligned to 16 bytes");

void *block_new(size_t size)
{
    struct block *b = calloc(1, sizeof *b + size);
    return b ? b + 1 : NULL;
}

void block_free(void *memory)
{
    if (memory)
        free((struct block *)memory - 1);
}

static void reclaim(struct reclaimer *r, uint64_t now)
{
    for (struct block **at = &r->retired; *at;) {
        struct block *b = *at;
        if (!(now & 1) || b->stamp != now) {
            *at = b->next;
            free(b);
        } else {
            at = &b->next;
        }
    }
}

void block_retire(struct reclaimer *r, void *memory)
{
    if (!memory)
        return;
    /* The unlinking must be visible before the reader's state is looked at (pairs with reader_enter). */
    atomic_thread_fence(memory_order_seq_cst);
    const uint64_t now = atomic_load_explicit(&r->reader, memory_order_acquire);
    struct block *b = (struct block *)memory - 1;
    b->stamp = now;
    b->next = r->retired;
    r->retired = b;
    reclaim(r, now);
}

void reclaim_all(struct reclaimer *r)
{
    reclaim(r, 0);
}
