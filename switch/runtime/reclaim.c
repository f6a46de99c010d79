#include "reclaim.h"

#include "blocks.h"

struct block {
    struct block *next;
    uint64_t stamp : 56; /* reclaimer.reader when this was unlinked */
    uint64_t class : 8;  /* block_class */
};

static const uint64_t STAMP_MASK = ((uint64_t)1 << 56) - 1;

_Static_assert(sizeof(struct block) == 16, "keeps what follows aligned to 16 bytes");

void *block_new(size_t size)
{
    block_class class;
    struct block *b = memory_take(sizeof *b + size, &class);
    if (!b)
        return NULL;
    b->class = class;
    return b + 1;
}

void block_free(void *memory)
{
    if (memory) {
        struct block *b = (struct block *)memory - 1;
        memory_give(b, b->class);
    }
}

/* The oldest come first: behind one that must wait there is none that need not. */
static void reclaim(struct reclaimer *r, uint64_t now)
{
    while (r->oldest && (!(now & 1) || r->oldest->stamp != (now & STAMP_MASK))) {
        struct block *b = r->oldest;
        r->oldest = b->next;
        memory_give(b, b->class);
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
    b->stamp = now & STAMP_MASK;
    b->next = NULL;
    if (r->oldest)
        r->newest->next = b;
    else
        r->oldest = b;
    r->newest = b;
    reclaim(r, now);
}

void reclaim_all(struct reclaimer *r)
{
    reclaim(r, 0);
}
