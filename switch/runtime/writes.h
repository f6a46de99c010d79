/*
 * P4Runtime's usual writes straight into the tables: one pass from the network's bytes to an entry.
 *
 * An update is done here only when nothing at all is wrong with it. What is refused, or is not of the usual kind
 * (messages.h), is left to the server's Python, which finds the words for it; so there is one place for each error.
 */
#ifndef SWITCH_WRITES_H
#define SWITCH_WRITES_H

#include <stdint.h>

#include "described.h"
#include "messages.h"

enum { MOST_DATA = 1024 }; /* bytes of an action's data: tables that have more are not written here */

/*
 * Does the updates from `first` on, until one is left to others; returns its number, or `count`. now: microseconds.
 * Whoever changes tables is serialised by the caller.
 */
uint64_t writes_apply(void *state, const struct described *described, const uint8_t *request,
                      const struct update_span *updates, uint64_t first, uint64_t count, uint64_t now);

#endif
