/*
 * A forwarder over AF_XDP in copy mode, with the kernel's own interface and no library; see rings.h.
 * (linux/Documentation/networking/af_xdp.rst, bpf(2).)
 */
#define _GNU_SOURCE
#include "rings.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { RING = FRAMES / 2 }; /* half of the frames are to be received into, half are on their way out */

struct ring {
    _Atomic uint32_t *producer, *consumer;
    void *entries;
    void *memory;
    size_t size;
};

/* One socket for each interface, both over the same memory. */
struct endpoint {
    int fd, map, program, link;
    struct ring receive, send, fill, completion;
};

static long bpf(int command, union bpf_attr *attributes)
{
    return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

/* The program that hands every packet of a queue to the socket in that place of the map: return
 * bpf_redirect_map(&map, context->rx_queue_index, XDP_PASS). */
static int load_program(int map)
{
    struct bpf_insn code[] = {
        {.code = BPF_LDX | BPF_W | BPF_MEM, .dst_reg = 2, .src_reg = 1, .off = offsetof(struct xdp_md, rx_queue_index)},
        {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
        {0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attributes = {
        .prog_type = BPF_PROG_TYPE_XDP,
        .insns = (uint64_t)(uintptr_t)code,
        .insn_cnt = sizeof code / sizeof *code,
        .license = (uint64_t)(uintptr_t) "Apache-2.0",
    };
    return (int)bpf(BPF_PROG_LOAD, &attributes);
}

static const char *map_ring(int fd, struct ring *ring, const struct xdp_ring_offset *offset, size_t entry, long page)
{
    ring->size = offset->desc + RING * entry;
    ring->memory = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
    if (ring->memory == MAP_FAILED) {
        ring->memory = NULL;
        return "map a ring";
    }
    ring->producer = (_Atomic uint32_t *)((uint8_t *)ring->memory + offset->producer);
    ring->consumer = (_Atomic uint32_t *)((uint8_t *)ring->memory + offset->consumer);
    ring->entries = (uint8_t *)ring->memory + offset->desc;
    return NULL;
}

static int set_size(int fd, int option)
{
    int size = RING;
    return setsockopt(fd, SOL_XDP, option, &size, sizeof size);
}

static const char *open_rings(struct endpoint *end)
{
    struct xdp_mmap_offsets offsets;
    socklen_t size = sizeof offsets;
    if (set_size(end->fd, XDP_UMEM_FILL_RING) < 0 || set_size(end->fd, XDP_UMEM_COMPLETION_RING) < 0 ||
        set_size(end->fd, XDP_RX_RING) < 0 || set_size(end->fd, XDP_TX_RING) < 0 ||
        getsockopt(end->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) < 0)
        return "set up the rings";
    const char *failed = map_ring(end->fd, &end->receive, &offsets.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
    if (failed == NULL)
        failed = map_ring(end->fd, &end->send, &offsets.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
    if (failed == NULL)
        failed = map_ring(end->fd, &end->fill, &offsets.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
    if (failed == NULL)
        failed = map_ring(end->fd, &end->completion, &offsets.cr, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING);
    return failed;
}

static const char *attach(struct endpoint *end, int interface, int native)
{
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_XSKMAP, .key_size = 4, .value_size = 4, .max_entries = 1};
    end->map = (int)bpf(BPF_MAP_CREATE, &map);
    if (end->map < 0)
        return "make a map of sockets";
    end->program = load_program(end->map);
    if (end->program < 0)
        return "load the XDP program";
    union bpf_attr link = {0};
    link.link_create.prog_fd = (uint32_t)end->program;
    link.link_create.target_ifindex = (uint32_t)interface;
    link.link_create.attach_type = BPF_XDP;
    link.link_create.flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    end->link = (int)bpf(BPF_LINK_CREATE, &link);
    if (end->link < 0)
        return "attach the XDP program";
    uint32_t queue = 0;
    union bpf_attr place = {0};
    place.map_fd = (uint32_t)end->map;
    place.key = (uint64_t)(uintptr_t)&queue;
    place.value = (uint64_t)(uintptr_t)&end->fd;
    return bpf(BPF_MAP_UPDATE_ELEM, &place) < 0 ? "put the socket into the map" : NULL;
}

/* shared: the socket whose memory this one uses too; -1: it brings `memory`. */
static const char *open_endpoint(struct endpoint *end, int interface, int native, uint8_t *memory, int shared)
{
    end->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (end->fd < 0)
        return "open an AF_XDP socket";
    struct xdp_umem_reg region = {
        .addr = (uint64_t)(uintptr_t)memory, .len = (uint64_t)FRAMES * FRAME_BYTES, .chunk_size = FRAME_BYTES};
    if (shared < 0 && setsockopt(end->fd, SOL_XDP, XDP_UMEM_REG, &region, sizeof region) < 0)
        return "register memory";
    const char *failed = open_rings(end);
    if (failed != NULL)
        return failed;
    struct sockaddr_xdp address = {.sxdp_family = AF_XDP, .sxdp_ifindex = (uint32_t)interface};
    address.sxdp_flags = shared < 0 ? XDP_COPY : XDP_SHARED_UMEM;
    address.sxdp_shared_umem_fd = shared < 0 ? 0 : (uint32_t)shared;
    if (bind(end->fd, (struct sockaddr *)&address, sizeof address) < 0)
        return "bind the AF_XDP socket";
    return attach(end, interface, native);
}

static void close_ring(const struct ring *ring)
{
    if (ring->memory != NULL)
        munmap(ring->memory, ring->size);
}

static void close_endpoint(const struct endpoint *end)
{
    close_ring(&end->receive);
    close_ring(&end->send);
    close_ring(&end->fill);
    close_ring(&end->completion);
    const int fds[] = {end->link, end->program, end->map, end->fd};
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] > 0)
            close(fds[i]);
}

static void give(struct ring *fill, uint64_t frame)
{
    uint32_t at = *fill->producer;
    ((uint64_t *)fill->entries)[at % RING] = frame;
    atomic_store_explicit(fill->producer, at + 1, memory_order_release);
}

/* Frames that were sent can be received into again. */
static void recycle(struct endpoint *sender, struct endpoint *receiver)
{
    uint32_t at = *sender->completion.consumer;
    uint32_t end = atomic_load_explicit(sender->completion.producer, memory_order_acquire);
    for (; at != end; at++)
        give(&receiver->fill, ((uint64_t *)sender->completion.entries)[at % RING] / FRAME_BYTES * FRAME_BYTES);
    atomic_store_explicit(sender->completion.consumer, at, memory_order_release);
}

static unsigned move(struct endpoint *receiver, struct endpoint *sender)
{
    uint32_t at = *receiver->receive.consumer, to = *sender->send.producer;
    uint32_t ready = atomic_load_explicit(receiver->receive.producer, memory_order_acquire) - at;
    unsigned count = ready < BATCH ? ready : BATCH;
    for (unsigned i = 0; i < count; i++)
        ((struct xdp_desc *)sender->send.entries)[(to + i) % RING] =
            ((struct xdp_desc *)receiver->receive.entries)[(at + i) % RING];
    atomic_store_explicit(sender->send.producer, to + count, memory_order_release);
    atomic_store_explicit(receiver->receive.consumer, at + count, memory_order_release);
    return count;
}

static void forward(struct endpoint *receiver, struct endpoint *sender, const volatile int *stop, struct tally *tally)
{
    for (uint64_t frame = 0; frame < RING; frame++)
        give(&receiver->fill, frame * FRAME_BYTES);
    while (!*stop) {
        unsigned count = move(receiver, sender), calls = 1;
        if (*sender->send.producer != *sender->send.consumer) {
            sendto(sender->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
        } else {
            struct pollfd wait = {.fd = receiver->fd, .events = POLLIN};
            poll(&wait, 1, WAIT_MS);
        }
        recycle(sender, receiver);
        rings_count(tally, count, calls);
    }
}

EXPORT int64_t rings_xdp(int in, int out, int native, const volatile int *stop, struct tally *tally,
                         const char **failed)
{
    struct endpoint receiver = {0}, sender = {0};
    uint8_t *memory = mmap(NULL, (size_t)FRAMES * FRAME_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    *failed = memory == MAP_FAILED ? "allocate memory" : open_endpoint(&receiver, in, native, memory, -1);
    if (*failed == NULL)
        *failed = open_endpoint(&sender, out, native, memory, receiver.fd);
    int64_t result = *failed == NULL ? 0 : -errno;
    if (*failed == NULL)
        forward(&receiver, &sender, stop, tally);
    close_endpoint(&sender);
    close_endpoint(&receiver);
    if (memory != MAP_FAILED)
        munmap(memory, (size_t)FRAMES * FRAME_BYTES);
    return result;
}
