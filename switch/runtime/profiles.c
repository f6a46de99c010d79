/* See profiles.h. All functions are called by profiles.py, under the engine's lock. */
#include "profiles.h"

#define EXPORT __attribute__((visibility("default")))

static const struct table_shape member_shape = {.data_offset = MEMBER_DATA};

/* False when memory ran out, and then nothing has changed. */
EXPORT bool profile_member_set(void *state, struct member *member, uint32_t action, const void *data,
                               uint32_t data_size)
{
    struct core *core = state;
    struct entry *e = entry_new(&member_shape, NULL, 0, action, data, data_size);
    if (!e)
        return false;
    block_retire(&core->reclaimer, (void *)atomic_exchange_explicit(&member->action, e, memory_order_acq_rel));
    return true;
}

/* A member without an action yet; NULL when memory ran out. */
EXPORT struct member *profile_member_new(void)
{
    return block_new(sizeof(struct member));
}

/* Nothing refers to it any more. */
EXPORT void profile_member_retire(void *state, struct member *member)
{
    struct core *core = state;
    block_retire(&core->reclaimer, (void *)atomic_load_explicit(&member->action, memory_order_relaxed));
    block_retire(&core->reclaimer, member);
}

EXPORT bool profile_group_set(void *state, struct selector_group *group, const struct member *const *members,
                              uint32_t count)
{
    struct core *core = state;
    struct choices *choices = block_new(sizeof *choices + count * sizeof *members);
    if (!choices)
        return false;
    choices->count = count;
    if (count)
        memcpy(choices->members, members, count * sizeof *members);
    block_retire(&core->reclaimer, atomic_exchange_explicit(&group->choices, choices, memory_order_acq_rel));
    return true;
}

/* A group that holds nothing yet, not even an empty list of choices; NULL when memory ran out. */
EXPORT struct selector_group *profile_group_new(void)
{
    return block_new(sizeof(struct selector_group));
}

EXPORT void profile_group_retire(void *state, struct selector_group *group)
{
    struct core *core = state;
    block_retire(&core->reclaimer, atomic_load_explicit(&group->choices, memory_order_relaxed));
    block_retire(&core->reclaimer, group);
}
