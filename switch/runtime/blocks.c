/* See blocks.h. */
#include "blocks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    CACHE_LINE = 64,
    HUGE_PAGE = 2 << 20,
    CLASSES = 16, /* of 1 to 16 cache lines, as the class says */
    ALONE = 0,    /* the class of blocks that are not from a chunk */
};

struct free_block {
    struct free_block *next;
};

static struct {
    pthread_mutex_t lock;
    struct free_block *free[CLASSES + 1];
    char *chunk; /* what is left of the newest */
    size_t left;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

#ifdef __SANITIZE_ADDRESS__
enum { POOLED = 0 };
#else
enum { POOLED = 1 };
#endif

/* Zeroed. In whole huge pages, if the kernel has some. */
static void *map_huge(size_t size)
{
    const size_t whole = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *memory = aligned_alloc(HUGE_PAGE, whole);
    if (memory) {
        madvise(memory, whole, MADV_HUGEPAGE); /* a wish: without, it is as good as any memory */
        memset(memory, 0, whole);
    }
    return memory;
}

static void *take_from_chunk(size_t size)
{
    if (pool.left < size) { /* the rest is lost: less than a block of a chunk of thousands */
        char *chunk = map_huge(HUGE_PAGE);
        if (!chunk)
            return NULL;
        pool.chunk = chunk;
        pool.left = HUGE_PAGE;
    }
    void *memory = pool.chunk;
    pool.chunk += size;
    pool.left -= size;
    return memory;
}

void *memory_take(size_t size, block_class *class)
{
    const size_t lines = (size + CACHE_LINE - 1) / CACHE_LINE;
    if (!POOLED || lines > CLASSES) {
        *class = ALONE;
        return POOLED && size >= HUGE_PAGE / 2 ? map_huge(size) : calloc(1, size);
    }
    *class = (block_class)lines;
    pthread_mutex_lock(&pool.lock);
    struct free_block *block = pool.free[lines];
    if (block)
        pool.free[lines] = block->next;
    else
        block = take_from_chunk(lines * CACHE_LINE);
    pthread_mutex_unlock(&pool.lock);
    return block ? memset(block, 0, lines * CACHE_LINE) : NULL;
}

void memory_give(void *memory, block_class class)
{
    if (class == ALONE) {
        free(memory);
        return;
    }
    struct free_block *block = memory;
    pthread_mutex_lock(&pool.lock);
    block->next = pool.free[class];
    pool.free[class] = block;
    pthread_mutex_unlock(&pool.lock);
}
