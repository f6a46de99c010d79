/* See meters.h. */
#include "meters.h"

#include "core.h"

/* rates: CIR, committed burst, PIR, peak burst; NULL: back to green. False when memory ran out. engine.py has the lock. */
__attribute__((visibility("default"))) bool meter_configure(void *state, void *meters, uint64_t index,
                                                            const uint64_t *rates)
{
    struct core *core = state;
    struct meter *meter = (struct meter *)meters + index;
    struct rates *block = NULL;
    if (rates) {
        block = block_new(sizeof *block);
        if (!block)
            return false;
        block->committed = (struct bucket){.rate = rates[0], .burst = rates[1], .tokens = rates[1]};
        block->peak = (struct bucket){.rate = rates[2], .burst = rates[3], .tokens = rates[3]};
    }
    block_retire(&core->reclaimer, atomic_exchange_explicit(&meter->rates, block, memory_order_acq_rel));
    return true;
}

void meters_free(struct meter *meters, size_t cells)
{
    for (size_t i = 0; meters && i < cells; i++)
        block_free(atomic_load(&meters[i].rates));
}
