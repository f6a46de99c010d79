/*
 * Action profiles: actions that table entries refer to, directly (a member) or through a group of them, from which
 * each packet's hash selects one.
 *
 * A member and a group are places that stay where they are; what they hold is replaced as a whole, so that a packet
 * sees the member's old action or the new one, and a group before its change or after it.
 */
#ifndef SWITCH_PROFILES_H
#define SWITCH_PROFILES_H

#include "core.h"

struct member {
    _Atomic(const struct entry *) action;
};

struct choices {
    uint32_t count;
    const struct member *members[]; /* each as often as its weight says */
};

struct selector_group {
    _Atomic(struct choices *) choices;
};

/* The data of a table entry whose table has an action profile: one of the two, the other is NULL. */
struct target {
    const struct member *member;
    const struct selector_group *group;
};

enum { MEMBER_DATA = 16 }; /* where a member's action data begins, in bytes */

static inline const struct target *entry_target(const struct entry *e, unsigned data_offset)
{
    return (const struct target *)((const char *)e + data_offset);
}

static inline const struct entry *member_action(const struct member *member)
{
    return atomic_load_explicit(&member->action, memory_order_acquire);
}

/* NULL, and counted, when there is none to choose. BMv2 loses the packet or divides by zero then. */
static inline const struct entry *group_action(struct core *core, const struct selector_group *group, uint64_t hash)
{
    const struct choices *choices = atomic_load_explicit(&group->choices, memory_order_acquire);
    if (choices->count == 0) {
        drop(core, DROP_EMPTY_GROUP);
        return NULL;
    }
    return member_action(choices->members[hash % choices->count]);
}

#endif
