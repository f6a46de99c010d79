/*
 * The ports of a switch and the one thread that takes packets from them, through the program, and out again.
 * Knows nothing of any particular program; Python drives it through these functions (switch/worker.py).
 */
#ifndef SWITCH_PORTS_H
#define SWITCH_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "program.h"

enum {
    PORT_NUMBERS = 512, /* v1model's PortId_t has 9 bits */
    NO_CPU_PORT = PORT_NUMBERS,
};

struct ports;

#pragma GCC visibility push(default)

/*
 * cpu_port: the number of the port whose packets go to and come from Python, or NO_CPU_PORT. began: time 0 of the
 * packets' time, in nanoseconds of CLOCK_MONOTONIC. NULL: no memory.
 */
struct ports *ports_create(unsigned cpu_port, uint64_t began);

/* Gives a port number to an interface, before ports_start. Returns NULL, or says what failed, with errno set. */
const char *ports_attach(struct ports *ports, unsigned number, const char *interface);

/* Starts the worker thread. Returns 0 or an errno. */
int ports_start(struct ports *ports);

/* Stops the worker thread, closes the interfaces and frees everything. */
void ports_destroy(struct ports *ports);

/* From here on packets go through this program (process NULL: are dropped). On return the worker no longer uses
 * the program before it. */
void ports_run(struct ports *ports, process_fn process, quiesce_fn quiesce, void *state);

/* While held, the worker takes no packets: they wait in the interfaces' rings. On return it is between two packets. */
void ports_hold(struct ports *ports, bool hold);

/* Gives the program a packet as if it had come in at the CPU port. Returns 0, or -1 if the queue is full.
 * One thread at a time. */
int ports_inject(struct ports *ports, const uint8_t *bytes, uint32_t length);

/* Takes a packet that the program sent to the CPU port; returns its length, or -1 if there is none.
 * One thread at a time. */
int64_t ports_take(struct ports *ports, uint8_t *bytes, uint32_t room);

/* A file descriptor that becomes readable when there may be packets to take. */
int ports_take_event(struct ports *ports);

/* Fills the INTERFACE_COUNTERS of a port. Returns 0, or -1 if there is no such port. */
int ports_read_counters(struct ports *ports, unsigned number, uint64_t *counters);

/* Whether the port's interface exists, is up and has a carrier. */
int ports_link_is_up(struct ports *ports, unsigned number);

/* Packets that the switch itself lost. */
struct ports_losses {
    uint64_t no_program;    /* came in while no program was loaded */
    uint64_t no_such_port;  /* sent to a port number that has no interface */
    uint64_t cpu_port_full; /* to the CPU port faster than Python takes them */
};
void ports_read_losses(struct ports *ports, struct ports_losses *losses);

#pragma GCC visibility pop

#endif
