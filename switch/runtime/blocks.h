/*
 * Memory for what tables are made of: large tables are looked up all over, so what counts is that an entry is within as
 * few cache lines and pages as can be. Small blocks come from chunks that the kernel is asked to map as huge pages, in
 * sizes of whole cache lines; large ones are mapped so by themselves.
 *
 * Freed blocks are kept for the next of their size. Any thread may call; what is built with AddressSanitizer uses
 * calloc and free, so that it sees every block.
 */
#ifndef SWITCH_BLOCKS_H
#define SWITCH_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

/* Where a block came from; to be given back with it. */
typedef uint8_t block_class;

/* Zeroed, and aligned for anything; NULL when there is no memory. */
void *memory_take(size_t size, block_class *class);
void memory_give(void *memory, block_class class);

#endif
