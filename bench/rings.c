/* Forwarders over AF_PACKET; see rings.h. */
#define _GNU_SOURCE
#include "rings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum {
    BLOCK_BYTES = 64 * 1024,
    RING_BYTES = FRAMES * FRAME_BYTES,
    BLOCKS = RING_BYTES / BLOCK_BYTES,
    BLOCK_TIMER_MS = 1, /* TPACKET_V3: how long a block that is not full may wait; the shortest there is */
    SOCKET_BUFFER = 4 << 20,
    TX_DATA = TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), /* where a packet begins in a slot that is to be sent */
};

enum { BY_RECVMMSG, BY_V2, BY_V3 };  /* receive */
enum { BY_SENDMMSG, BY_TX_RING };    /* send */

struct receiver {
    int kind, fd;
    uint8_t *ring;
    unsigned slot;              /* V2: of the next packet; V3: block */
    unsigned taken;             /* V2: slots to give back */
    unsigned left;              /* V3: packets left of the block */
    struct tpacket3_hdr *next;  /* V3 */
    uint8_t buffers[BATCH][FRAME_BYTES]; /* recvmmsg */
};

struct sender {
    int kind, fd;
    uint8_t *ring;
    unsigned slot;
};

void rings_count(struct tally *tally, uint64_t packets, uint64_t calls)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    tally->packets += packets;
    tally->calls += calls;
    tally->processor_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int set(int fd, int option, int value)
{
    return setsockopt(fd, SOL_PACKET, option, &value, sizeof value);
}

static int bind_to(int fd, int interface, int protocol)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = interface};
    return bind(fd, (struct sockaddr *)&address, sizeof address);
}

static uint8_t *map(int fd)
{
    void *ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    return ring == MAP_FAILED ? NULL : ring;
}

static const char *open_receiver(struct receiver *receiver, int kind, int interface)
{
    receiver->kind = kind;
    receiver->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int buffer = SOCKET_BUFFER;
    if (receiver->fd < 0 || setsockopt(receiver->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0 ||
        set(receiver->fd, PACKET_IGNORE_OUTGOING, 1) < 0)
        return "open a packet socket";
    if (kind != BY_RECVMMSG) {
        struct tpacket_req3 request = {
            .tp_block_size = BLOCK_BYTES, .tp_block_nr = BLOCKS, .tp_frame_size = FRAME_BYTES, .tp_frame_nr = FRAMES};
        request.tp_retire_blk_tov = BLOCK_TIMER_MS;
        socklen_t size = kind == BY_V3 ? sizeof request : sizeof(struct tpacket_req);
        if (set(receiver->fd, PACKET_VERSION, kind == BY_V3 ? TPACKET_V3 : TPACKET_V2) < 0 ||
            setsockopt(receiver->fd, SOL_PACKET, PACKET_RX_RING, &request, size) < 0 ||
            (receiver->ring = map(receiver->fd)) == NULL)
            return "set up the receive ring";
    }
    return bind_to(receiver->fd, interface, ETH_P_ALL) < 0 ? "bind" : NULL;
}

static const char *open_sender(struct sender *sender, int kind, bool bypass, int interface)
{
    sender->kind = kind;
    sender->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int buffer = SOCKET_BUFFER;
    if (sender->fd < 0 || setsockopt(sender->fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0)
        return "open a packet socket";
    if (bypass && set(sender->fd, PACKET_QDISC_BYPASS, 1) < 0)
        return "go past the queueing discipline";
    if (kind == BY_TX_RING) {
        struct tpacket_req request = {
            .tp_block_size = BLOCK_BYTES, .tp_block_nr = BLOCKS, .tp_frame_size = FRAME_BYTES, .tp_frame_nr = FRAMES};
        if (set(sender->fd, PACKET_VERSION, TPACKET_V2) < 0 ||
            setsockopt(sender->fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof request) < 0 ||
            (sender->ring = map(sender->fd)) == NULL)
            return "set up the send ring";
    }
    return bind_to(sender->fd, interface, 0) < 0 ? "bind" : NULL;
}

/* ---- Receiving: up to BATCH packets, which last until `release` ---- */

static unsigned receive_v2(struct receiver *receiver, struct packet *packets)
{
    for (receiver->taken = 0; receiver->taken < BATCH; receiver->taken++) {
        struct tpacket2_hdr *slot =
            (struct tpacket2_hdr *)(receiver->ring + (size_t)((receiver->slot + receiver->taken) % FRAMES) * FRAME_BYTES);
        if (!(atomic_load_explicit((_Atomic uint32_t *)&slot->tp_status, memory_order_acquire) & TP_STATUS_USER))
            break;
        packets[receiver->taken] = (struct packet){(uint8_t *)slot + slot->tp_mac, slot->tp_snaplen};
    }
    return receiver->taken;
}

static struct tpacket_block_desc *block_of(struct receiver *receiver)
{
    return (struct tpacket_block_desc *)(receiver->ring + (size_t)receiver->slot * BLOCK_BYTES);
}

static unsigned receive_v3(struct receiver *receiver, struct packet *packets)
{
    struct tpacket_block_desc *block = block_of(receiver);
    if (receiver->left == 0) {
        _Atomic uint32_t *status = (_Atomic uint32_t *)&block->hdr.bh1.block_status;
        if (!(atomic_load_explicit(status, memory_order_acquire) & TP_STATUS_USER))
            return 0;
        receiver->left = block->hdr.bh1.num_pkts;
        receiver->next = (struct tpacket3_hdr *)((uint8_t *)block + block->hdr.bh1.offset_to_first_pkt);
    }
    unsigned count = 0;
    for (; count < BATCH && receiver->left > 0; count++, receiver->left--) {
        struct tpacket3_hdr *slot = receiver->next;
        packets[count] = (struct packet){(uint8_t *)slot + slot->tp_mac, slot->tp_snaplen};
        receiver->next = (struct tpacket3_hdr *)((uint8_t *)slot + slot->tp_next_offset);
    }
    return count;
}

static unsigned receive_messages(struct receiver *receiver, struct packet *packets)
{
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){receiver->buffers[i], FRAME_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(receiver->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        packets[i] = (struct packet){receiver->buffers[i], messages[i].msg_len};
    return count < 0 ? 0 : (unsigned)count;
}

static unsigned receive_batch(struct receiver *receiver, struct packet *packets)
{
    return receiver->kind == BY_V2   ? receive_v2(receiver, packets)
           : receiver->kind == BY_V3 ? receive_v3(receiver, packets)
                                     : receive_messages(receiver, packets);
}

static void release(struct receiver *receiver)
{
    if (receiver->kind == BY_V2) {
        for (unsigned i = 0; i < receiver->taken; i++) {
            size_t slot = (receiver->slot + i) % FRAMES;
            struct tpacket2_hdr *header = (struct tpacket2_hdr *)(receiver->ring + slot * FRAME_BYTES);
            atomic_store_explicit((_Atomic uint32_t *)&header->tp_status, TP_STATUS_KERNEL, memory_order_release);
        }
        receiver->slot = (receiver->slot + receiver->taken) % FRAMES;
    } else if (receiver->kind == BY_V3 && receiver->left == 0) {
        _Atomic uint32_t *status = (_Atomic uint32_t *)&block_of(receiver)->hdr.bh1.block_status;
        atomic_store_explicit(status, TP_STATUS_KERNEL, memory_order_release);
        receiver->slot = (receiver->slot + 1) % BLOCKS;
    }
}

/* ---- Sending: both return how many calls they made ---- */

static unsigned send_messages(struct sender *sender, const struct packet *packets, unsigned count)
{
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    for (unsigned i = 0; i < count; i++) {
        parts[i] = (struct iovec){packets[i].bytes, packets[i].length};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    unsigned calls = 0;
    for (unsigned done = 0; done < count; calls++) {
        int sent = sendmmsg(sender->fd, messages + done, count - done, MSG_DONTWAIT);
        done += sent > 0 ? (unsigned)sent : 1; /* one that is refused is lost */
    }
    return calls;
}

static unsigned send_ring(struct sender *sender, const struct packet *packets, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct tpacket2_hdr *slot = (struct tpacket2_hdr *)(sender->ring + (size_t)sender->slot * FRAME_BYTES);
        _Atomic uint32_t *status = (_Atomic uint32_t *)&slot->tp_status;
        if (atomic_load_explicit(status, memory_order_acquire) != TP_STATUS_AVAILABLE)
            break; /* the rest is lost */
        memcpy((uint8_t *)slot + TX_DATA, packets[i].bytes, packets[i].length);
        slot->tp_len = packets[i].length;
        atomic_store_explicit(status, TP_STATUS_SEND_REQUEST, memory_order_release);
        sender->slot = (sender->slot + 1) % FRAMES;
    }
    send(sender->fd, NULL, 0, MSG_DONTWAIT);
    return 1;
}

static void forward(struct receiver *receiver, struct sender *sender, const volatile int *stop, struct tally *tally)
{
    struct packet packets[BATCH];
    while (!*stop) {
        unsigned count = receive_batch(receiver, packets), calls = receiver->kind == BY_RECVMMSG;
        if (count == 0) {
            struct pollfd wait = {.fd = receiver->fd, .events = POLLIN};
            poll(&wait, 1, WAIT_MS);
            calls++;
        } else {
            calls += sender->kind == BY_TX_RING ? send_ring(sender, packets, count)
                                                : send_messages(sender, packets, count);
            release(receiver);
        }
        rings_count(tally, count, calls);
    }
}

EXPORT int64_t rings_packet(int in, int out, int receive, int send, int bypass, const volatile int *stop,
                            struct tally *tally, const char **failed)
{
    static __thread struct receiver receiver;
    struct sender sender = {0};
    memset(&receiver, 0, sizeof receiver);
    *failed = open_receiver(&receiver, receive, in);
    if (*failed == NULL)
        *failed = open_sender(&sender, send, bypass, out);
    int64_t result = *failed == NULL ? 0 : -errno;
    if (*failed == NULL)
        forward(&receiver, &sender, stop, tally);
    if (receiver.ring != NULL)
        munmap(receiver.ring, RING_BYTES);
    if (sender.ring != NULL)
        munmap(sender.ring, RING_BYTES);
    close(receiver.fd);
    close(sender.fd);
    return result;
}
