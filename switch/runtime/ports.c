#define _GNU_SOURCE
#include "ports.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "interface.h"
#include "packet_queue.h"

enum {
    /* Packets from one port before the next has its turn: long enough for full batches, short enough to be fair. */
    RECEIVE_BATCH = 64,
    CPU_QUEUE_BYTES = 4 * 1024 * 1024,
    /* How often, at the least, removed table entries can be freed and interfaces are looked at. */
    CHECK_INTERVAL_MS = 100,
    /* How often an interface that vanished is looked for. */
    REOPEN_INTERVAL_MS = 1000,
    /* A thread that has to wait for a core loses packets; others only come later. */
    NICENESS = -10,
};

struct program {
    process_fn process;
    quiesce_fn quiesce;
    void *state;
};

struct port {
    unsigned number;
    struct interface interface;
};

struct ports {
    unsigned cpu_port;
    unsigned count;
    struct port *all[PORT_NUMBERS];
    struct port *by_number[PORT_NUMBERS];
    struct timespec start;
    int control; /* a socket to ask the kernel about interfaces with */

    pthread_t worker;
    bool started;
    _Atomic bool stop;
    int wake; /* eventfd: the worker has something else to do than packets */

    struct program program;           /* the worker's */
    struct program next_program;      /* under the mutex, as `held` */
    bool held;                        /* the worker is to wait, and leave packets where they are */
    _Atomic bool program_changes;
    pthread_mutex_t mutex;
    pthread_cond_t program_changed;

    struct packet_queue from_cpu;
    struct packet_queue to_cpu;
    bool to_cpu_news;
    int take_event; /* eventfd: packets in to_cpu */

    const struct port *receiving;
    uint8_t *scratch; /* PACKET_ROOM bytes, for a packet from Python */
    _Atomic uint64_t no_program, no_such_port, cpu_port_full;
};

static void count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

static void signal_event(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void clear_event(int fd)
{
    uint64_t value;
    while (read(fd, &value, sizeof value) < 0 && errno == EINTR)
        ;
}

static uint64_t microseconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)((now.tv_sec - start->tv_sec) * 1000000 + (now.tv_nsec - start->tv_nsec) / 1000);
}

/* ---- The worker thread ---- */

static void emit(void *context, unsigned number, const uint8_t *bytes, unsigned length)
{
    struct ports *ports = context;
    if (number == ports->cpu_port) {
        if (packet_queue_put(&ports->to_cpu, bytes, length))
            ports->to_cpu_news = true;
        else
            count(&ports->cpu_port_full);
    } else if (number < PORT_NUMBERS && ports->by_number[number] != NULL) {
        bool part = ports->receiving != NULL && ports->receiving->interface.cutting;
        interface_queue(&ports->by_number[number]->interface, bytes, length, part);
    } else {
        count(&ports->no_such_port);
    }
}

static void take_through(struct ports *ports, unsigned number, const uint8_t *bytes, unsigned length)
{
    const struct program *program = &ports->program;
    if (program->process == NULL)
        count(&ports->no_program);
    else
        program->process(program->state, number, bytes, length, microseconds_since(&ports->start), emit, ports);
}

static void receive(void *context, const uint8_t *bytes, unsigned length)
{
    struct ports *ports = context;
    take_through(ports, ports->receiving->number, bytes, length);
}

static unsigned receive_from_cpu(struct ports *ports)
{
    unsigned received = 0;
    int64_t length;
    while (received < RECEIVE_BATCH &&
           (length = packet_queue_take(&ports->from_cpu, ports->scratch, PACKET_ROOM)) >= 0) {
        take_through(ports, ports->cpu_port, ports->scratch, (unsigned)length);
        received++;
    }
    return received;
}

/* Takes a batch from every port and sends what came of it; returns how many packets were taken. */
static unsigned one_round(struct ports *ports)
{
    unsigned received = receive_from_cpu(ports);
    for (unsigned i = 0; i < ports->count; i++) {
        ports->receiving = ports->all[i];
        received += interface_receive(&ports->all[i]->interface, RECEIVE_BATCH, receive, ports);
    }
    for (unsigned i = 0; i < ports->count; i++)
        interface_flush(&ports->all[i]->interface);
    if (ports->to_cpu_news) {
        ports->to_cpu_news = false;
        signal_event(ports->take_event);
    }
    if (ports->program.quiesce != NULL)
        ports->program.quiesce(ports->program.state);
    return received;
}

/* Uses the next program from here on, and stays here while the ports are held. */
static void adopt_program(struct ports *ports)
{
    pthread_mutex_lock(&ports->mutex);
    for (;;) {
        ports->program = ports->next_program;
        atomic_store(&ports->program_changes, false);
        pthread_cond_broadcast(&ports->program_changed);
        if (!ports->held)
            break;
        pthread_cond_wait(&ports->program_changed, &ports->mutex);
    }
    pthread_mutex_unlock(&ports->mutex);
}

static void check_interfaces(struct ports *ports, bool reopen)
{
    for (unsigned i = 0; i < ports->count; i++) {
        struct interface *interface = &ports->all[i]->interface;
        interface_check(interface);
        if (reopen && interface->fd < 0)
            interface_open(interface); /* may still be gone; the next time, then */
    }
}

static void wait_for_packets(struct ports *ports)
{
    struct pollfd waits[PORT_NUMBERS + 1];
    waits[0] = (struct pollfd){.fd = ports->wake, .events = POLLIN};
    for (unsigned i = 0; i < ports->count; i++) /* poll passes over negative file descriptors */
        waits[i + 1] = (struct pollfd){.fd = ports->all[i]->interface.fd, .events = POLLIN};
    if (poll(waits, ports->count + 1, CHECK_INTERVAL_MS) <= 0)
        return;
    if (waits[0].revents != 0)
        clear_event(ports->wake);
    for (unsigned i = 0; i < ports->count; i++)
        if (waits[i + 1].revents & (POLLERR | POLLHUP | POLLNVAL))
            interface_check(&ports->all[i]->interface);
}

static void *work(void *argument)
{
    struct ports *ports = argument;
    uint64_t next_check = 0, next_reopen = 0;
    setpriority(PRIO_PROCESS, 0, NICENESS); /* in Linux: this thread's; without the right it stays as it is */
    while (!atomic_load_explicit(&ports->stop, memory_order_relaxed)) {
        if (atomic_load(&ports->program_changes))
            adopt_program(ports);
        if (one_round(ports) == 0)
            wait_for_packets(ports);
        uint64_t now = microseconds_since(&ports->start);
        if (now >= next_check) {
            bool reopen = now >= next_reopen;
            check_interfaces(ports, reopen);
            next_check = now + CHECK_INTERVAL_MS * 1000;
            if (reopen)
                next_reopen = now + REOPEN_INTERVAL_MS * 1000;
        }
    }
    return NULL;
}

/* ---- Called by Python ---- */

struct ports *ports_create(unsigned cpu_port, uint64_t began)
{
    struct ports *ports = calloc(1, sizeof *ports);
    if (ports == NULL)
        return NULL;
    ports->cpu_port = cpu_port;
    ports->control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ports->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ports->take_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ports->scratch = malloc(PACKET_ROOM);
    pthread_mutex_init(&ports->mutex, NULL);
    pthread_cond_init(&ports->program_changed, NULL);
    ports->start = (struct timespec){.tv_sec = (time_t)(began / 1000000000), .tv_nsec = (long)(began % 1000000000)};
    bool queues = packet_queue_open(&ports->from_cpu, CPU_QUEUE_BYTES);
    queues = packet_queue_open(&ports->to_cpu, CPU_QUEUE_BYTES) && queues;
    if (!queues || ports->scratch == NULL || ports->wake < 0 || ports->take_event < 0 || ports->control < 0) {
        ports_destroy(ports);
        return NULL;
    }
    return ports;
}

const char *ports_attach(struct ports *ports, unsigned number, const char *interface)
{
    struct port *port = calloc(1, sizeof *port);
    if (port == NULL)
        return "allocate the port";
    port->number = number;
    const char *failed = interface_create(&port->interface, interface);
    if (failed == NULL)
        failed = interface_open(&port->interface);
    if (failed != NULL) {
        int error = errno;
        interface_destroy(&port->interface);
        free(port);
        errno = error;
        return failed;
    }
    ports->all[ports->count++] = port;
    ports->by_number[number] = port;
    return NULL;
}

int ports_start(struct ports *ports)
{
    /* Signals are for Python's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&ports->worker, NULL, work, ports);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) {
        ports->started = true;
        pthread_setname_np(ports->worker, "packets");
    }
    return error;
}

void ports_destroy(struct ports *ports)
{
    if (ports->started) {
        atomic_store(&ports->stop, true);
        signal_event(ports->wake);
        pthread_join(ports->worker, NULL);
    }
    for (unsigned i = 0; i < ports->count; i++) {
        interface_destroy(&ports->all[i]->interface);
        free(ports->all[i]);
    }
    packet_queue_close(&ports->from_cpu);
    packet_queue_close(&ports->to_cpu);
    pthread_cond_destroy(&ports->program_changed);
    pthread_mutex_destroy(&ports->mutex);
    close(ports->take_event);
    close(ports->wake);
    close(ports->control);
    free(ports->scratch);
    free(ports);
}

/* With the mutex: until the worker knows of `next_program` and `held`. */
static void await_worker(struct ports *ports)
{
    if (!ports->started) {
        ports->program = ports->next_program;
        return;
    }
    atomic_store(&ports->program_changes, true);
    signal_event(ports->wake);
    pthread_cond_broadcast(&ports->program_changed);
    while (atomic_load(&ports->program_changes))
        pthread_cond_wait(&ports->program_changed, &ports->mutex);
}

void ports_run(struct ports *ports, process_fn process, quiesce_fn quiesce, void *state)
{
    struct program program = {.process = process, .quiesce = quiesce, .state = state};
    pthread_mutex_lock(&ports->mutex);
    ports->next_program = program;
    await_worker(ports);
    pthread_mutex_unlock(&ports->mutex);
}

void ports_hold(struct ports *ports, bool hold)
{
    pthread_mutex_lock(&ports->mutex);
    ports->held = hold;
    await_worker(ports);
    pthread_mutex_unlock(&ports->mutex);
}

int ports_inject(struct ports *ports, const uint8_t *bytes, uint32_t length)
{
    if (length > PACKET_ROOM || !packet_queue_put(&ports->from_cpu, bytes, length))
        return -1;
    signal_event(ports->wake);
    return 0;
}

int64_t ports_take(struct ports *ports, uint8_t *bytes, uint32_t room)
{
    return packet_queue_take(&ports->to_cpu, bytes, room);
}

int ports_take_event(struct ports *ports)
{
    return ports->take_event;
}

int ports_read_counters(struct ports *ports, unsigned number, uint64_t *counters)
{
    if (number >= PORT_NUMBERS || ports->by_number[number] == NULL)
        return -1;
    struct interface *interface = &ports->by_number[number]->interface;
    for (unsigned i = 0; i < INTERFACE_COUNTERS; i++)
        counters[i] = atomic_load_explicit(&interface->counters[i], memory_order_relaxed);
    return 0;
}

int ports_link_is_up(struct ports *ports, unsigned number)
{
    if (number >= PORT_NUMBERS || ports->by_number[number] == NULL)
        return 0;
    struct ifreq request = {0};
    strcpy(request.ifr_name, ports->by_number[number]->interface.name);
    if (ioctl(ports->control, SIOCGIFFLAGS, &request) < 0)
        return 0;
    return (request.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
}

void ports_read_losses(struct ports *ports, struct ports_losses *losses)
{
    losses->no_program = atomic_load_explicit(&ports->no_program, memory_order_relaxed);
    losses->no_such_port = atomic_load_explicit(&ports->no_such_port, memory_order_relaxed);
    losses->cpu_port_full = atomic_load_explicit(&ports->cpu_port_full, memory_order_relaxed);
}
