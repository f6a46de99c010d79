/*
 * What a compiled P4 program offers to the code that drives it (the worker with its ports, or Python).
 *
 * A program is one shared object. All of its state lives behind one pointer, so that one shared object
 * can serve several switches in one process.
 */
#ifndef SWITCH_PROGRAM_H
#define SWITCH_PROGRAM_H

#include <stdint.h>

/*
 * Takes a packet that leaves the program. The bytes are the program's and last only until the function returns.
 */
typedef void (*emit_fn)(void *context, unsigned port, const uint8_t *bytes, unsigned length);

/*
 * Takes one packet through the whole pipeline to completion, with everything that it causes (copies, resubmission,
 * recirculation); calls emit once for each packet that leaves. `bytes` is only read.
 * now_us: microseconds since the switch began; must not go backwards.
 * At most one thread may be in here at a time; any number of others may change tables meanwhile.
 */
typedef void (*process_fn)(void *state, unsigned port, const uint8_t *bytes, unsigned length, uint64_t now_us,
                           emit_fn emit, void *context);

/*
 * The processing thread says "I hold no reference to any table entry now". Entries that were removed before are
 * freed only after this was called once more. Cheap (two loads and a store): call it between batches and before sleeping.
 */
typedef void (*quiesce_fn)(void *state);

void program_process(void *state, unsigned port, const uint8_t *bytes, unsigned length, uint64_t now_us,
                     emit_fn emit, void *context);
void program_quiesce(void *state);

#endif
