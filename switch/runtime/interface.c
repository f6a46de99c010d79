#define _GNU_SOURCE
#include "interface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "headers.h"

enum {
    /* A slot holds a packet of an ordinary MTU with some encapsulation; longer ones take the slow way (RING_COPY). */
    SLOT_BYTES = 2048,
    /* 32 ms of 500 thousand packets a second: the thread may have to wait for a core. */
    MOST_SLOTS = 16384,
    LEAST_SLOTS = 1024, /* when memory is short */
    BLOCK_BYTES = 64 * 1024,
    SOCKET_BUFFER = 4 * 1024 * 1024,
    /* In front of each packet, in both directions: what is left to be done to it (offload.h). */
    LEFT_BYTES = sizeof(struct virtio_net_hdr),
    ADDRESSES_BYTES = 2 * ETH_ALEN, /* what comes before a VLAN tag */
    OUTGOING_BYTES = PACKET_ROOM + SEND_BATCH * LEFT_BYTES,
};

/* Only the worker thread writes counters, so that they need no locked instruction. */
static void count(struct interface *interface, enum interface_counter which, uint64_t amount)
{
    _Atomic uint64_t *counter = &interface->counters[which];
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

const char *interface_create(struct interface *interface, const char *name)
{
    memset(interface, 0, sizeof *interface);
    interface->fd = -1;
    if (strlen(name) >= IFNAMSIZ) {
        errno = ENODEV;
        return "find the interface";
    }
    strcpy(interface->name, name);
    interface->long_packet = malloc(PACKET_ROOM);
    interface->outgoing = malloc(OUTGOING_BYTES);
    if (interface->long_packet == NULL || interface->outgoing == NULL)
        return "allocate buffers";
    for (unsigned i = 0; i < SEND_BATCH; i++) {
        interface->messages[i].msg_hdr.msg_iov = &interface->vectors[i];
        interface->messages[i].msg_hdr.msg_iovlen = 1;
    }
    return NULL;
}

void interface_destroy(struct interface *interface)
{
    interface_close(interface);
    free(interface->long_packet);
    free(interface->outgoing);
}

static int set_option(int fd, int option, int value)
{
    return setsockopt(fd, SOL_PACKET, option, &value, sizeof value);
}

static const char *check_kind(const struct interface *interface, int fd)
{
    struct ifreq request = {0};
    strcpy(request.ifr_name, interface->name);
    if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
        return "find the interface";
    int kind = request.ifr_hwaddr.sa_family;
    if (kind != ARPHRD_ETHER && kind != ARPHRD_LOOPBACK) {
        errno = EPROTOTYPE;
        return "use the interface, which is not Ethernet";
    }
    return NULL;
}

static bool ask_for_slots(int fd, unsigned slots)
{
    struct tpacket_req request = {
        .tp_block_size = BLOCK_BYTES,
        .tp_block_nr = slots / (BLOCK_BYTES / SLOT_BYTES),
        .tp_frame_size = SLOT_BYTES,
        .tp_frame_nr = slots,
    };
    return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) == 0;
}

static const char *map_ring(struct interface *interface, int fd)
{
    /* RESERVE: room to put a VLAN tag back in place. COPY_THRESH: packets too long for a slot come whole, by recv. */
    if (set_option(fd, PACKET_VERSION, TPACKET_V2) < 0 || set_option(fd, PACKET_VNET_HDR, 1) < 0 ||
        set_option(fd, PACKET_RESERVE, VLAN_TAG_BYTES) < 0 || set_option(fd, PACKET_COPY_THRESH, 1) < 0)
        return "set up the receive ring";
    unsigned slots = MOST_SLOTS;
    while (!ask_for_slots(fd, slots)) {
        slots /= 2;
        if (errno != ENOMEM || slots < LEAST_SLOTS)
            return "set up the receive ring";
    }
    void *ring = mmap(NULL, (size_t)SLOT_BYTES * slots, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (ring == MAP_FAILED)
        return "map the receive ring";
    interface->ring = ring;
    interface->slots = slots;
    interface->next = 0;
    return NULL;
}

static const char *attach(struct interface *interface, int fd)
{
    const char *failed = check_kind(interface, fd);
    if (failed != NULL)
        return failed;
    interface->index = (int)if_nametoindex(interface->name);
    if (interface->index == 0)
        return "find the interface";
    if (set_option(fd, PACKET_IGNORE_OUTGOING, 1) < 0)
        return "ignore the packets that leave the interface (this needs Linux 4.20)";
    int buffer = SOCKET_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer); /* up to what the system allows */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    failed = map_ring(interface, fd);
    if (failed != NULL)
        return failed;
    struct packet_mreq promiscuous = {.mr_ifindex = interface->index, .mr_type = PACKET_MR_PROMISC};
    if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) < 0)
        return "make the interface promiscuous";
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = interface->index,
    };
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return "bind to the interface";
    return NULL;
}

static void read_mtu(struct interface *interface)
{
    struct ifreq request = {0};
    strcpy(request.ifr_name, interface->name);
    interface->mtu = ioctl(interface->fd, SIOCGIFMTU, &request) == 0 ? (unsigned)request.ifr_mtu : 0;
}

const char *interface_open(struct interface *interface)
{
    /* Protocol 0: nothing arrives before bind, when the ring is there. */
    interface->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (interface->fd < 0)
        return "open a packet socket";
    const char *failed = attach(interface, interface->fd);
    if (failed != NULL) {
        int error = errno;
        interface_close(interface);
        errno = error;
        return failed;
    }
    read_mtu(interface);
    return NULL;
}

void interface_close(struct interface *interface)
{
    if (interface->ring != NULL)
        munmap(interface->ring, (size_t)SLOT_BYTES * interface->slots);
    if (interface->fd >= 0)
        close(interface->fd);
    interface->ring = NULL;
    interface->fd = -1;
    interface->index = 0;
    interface->queued = 0;
    interface->queued_bytes = 0;
    interface->train.packet = NULL;
}

/* A packet as it lies in memory, and what was left to be done to it. */
struct received {
    uint8_t *bytes;
    unsigned length;
    struct virtio_net_hdr left;
};

/* The kernel keeps an outer VLAN tag beside the packet; puts it back. */
static void restore_vlan_tag(struct received *packet, const struct tpacket2_hdr *slot)
{
    uint16_t kind = slot->tp_status & TP_STATUS_VLAN_TPID_VALID ? slot->tp_vlan_tpid : ETH_P_8021Q;
    uint8_t *start = packet->bytes - VLAN_TAG_BYTES;
    memmove(start, packet->bytes, ADDRESSES_BYTES);
    start[ADDRESSES_BYTES] = (uint8_t)(kind >> 8);
    start[ADDRESSES_BYTES + 1] = (uint8_t)kind;
    start[ADDRESSES_BYTES + 2] = (uint8_t)(slot->tp_vlan_tci >> 8);
    start[ADDRESSES_BYTES + 3] = (uint8_t)slot->tp_vlan_tci;
    packet->bytes = start;
    packet->length += VLAN_TAG_BYTES;
    packet->left.csum_start += VLAN_TAG_BYTES;
}

/* A packet longer than a slot waits in the socket's own queue. Returns NULL when it is not to be had. */
static uint8_t *receive_long(struct interface *interface, const struct tpacket2_hdr *slot)
{
    enum { ROOM = PACKET_ROOM - VLAN_TAG_BYTES };
    uint8_t *left = interface->long_packet + VLAN_TAG_BYTES;
    if (!(slot->tp_status & TP_STATUS_COPY))
        return NULL;
    ssize_t length = recv(interface->fd, left, ROOM, MSG_DONTWAIT | MSG_TRUNC);
    return length == LEFT_BYTES + (ssize_t)slot->tp_len && length <= ROOM ? left + LEFT_BYTES : NULL;
}

static bool take_slot(struct interface *interface, struct tpacket2_hdr *slot, struct received *packet)
{
    packet->length = slot->tp_len;
    packet->bytes =
        slot->tp_snaplen == slot->tp_len ? (uint8_t *)slot + slot->tp_mac : receive_long(interface, slot);
    if (packet->bytes == NULL)
        return false;
    memcpy(&packet->left, packet->bytes - LEFT_BYTES, LEFT_BYTES);
    if (slot->tp_status & TP_STATUS_VLAN_VALID)
        restore_vlan_tag(packet, slot);
    return true;
}

/* Who gets the packets of a super-packet, which are counted on the way. */
struct counting {
    struct interface *interface;
    receive_fn receive;
    void *context;
};

static void count_received(void *context, const uint8_t *bytes, unsigned length)
{
    const struct counting *counting = context;
    count(counting->interface, RX_PACKETS, 1);
    count(counting->interface, RX_BYTES, length);
    counting->receive(counting->context, bytes, length);
}

static void receive_slot(struct tpacket2_hdr *slot, struct counting *counting)
{
    struct interface *interface = counting->interface;
    struct received packet;
    if (!take_slot(interface, slot, &packet)) {
        count(interface, RX_TOO_LONG, 1);
    } else if (offload_is_super_packet(&packet.left)) {
        interface->cutting = true;
        bool cut = offload_cut(packet.bytes, packet.length, &packet.left, count_received, counting) > 0;
        interface->cutting = false;
        count(interface, cut ? RX_SUPER_PACKETS : RX_MALFORMED, 1);
    } else if (packet.left.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        bool completed = offload_complete_checksum(packet.bytes, packet.length, &packet.left);
        count(interface, completed ? RX_CHECKSUMS : RX_MALFORMED, 1);
        if (completed)
            count_received(counting, packet.bytes, packet.length);
    } else {
        count_received(counting, packet.bytes, packet.length);
    }
}

unsigned interface_receive(struct interface *interface, unsigned budget, receive_fn receive, void *context)
{
    struct counting counting = {interface, receive, context};
    unsigned received = 0;
    if (interface->fd < 0)
        return 0;
    for (; received < budget; received++) {
        struct tpacket2_hdr *slot = (struct tpacket2_hdr *)(interface->ring + (size_t)interface->next * SLOT_BYTES);
        _Atomic uint32_t *status = (_Atomic uint32_t *)&slot->tp_status;
        if (!(atomic_load_explicit(status, memory_order_acquire) & TP_STATUS_USER))
            break;
        receive_slot(slot, &counting);
        atomic_store_explicit(status, TP_STATUS_KERNEL, memory_order_release);
        interface->next = (interface->next + 1) % interface->slots;
    }
    return received;
}

/* The bytes in `outgoing` before the next message. */
static unsigned filled(const struct interface *interface)
{
    return interface->queued_bytes + interface->queued * LEFT_BYTES;
}

/* The last message is what it is. */
static void end_train(struct interface *interface)
{
    struct train *train = &interface->train;
    if (train->packet != NULL && train->packets > 1)
        merge_end(train, (struct virtio_net_hdr *)(train->packet - LEFT_BYTES));
    train->packet = NULL;
}

/* Puts a packet to the last message. Returns false when it must be one of its own. */
static bool extend_train(struct interface *interface, const uint8_t *bytes, unsigned length)
{
    struct train *train = &interface->train;
    unsigned before = train->length;
    if (train->packet == NULL || interface->queued_bytes + length > PACKET_ROOM ||
        !merge_append(train, bytes, length))
        return false;
    unsigned last = interface->queued - 1;
    interface->sending[last].packets++;
    interface->sending[last].bytes += length;
    interface->vectors[last].iov_len += train->length - before;
    interface->queued_bytes += train->length - before;
    return true;
}

void interface_queue(struct interface *interface, const uint8_t *bytes, unsigned length, bool part)
{
    if (length > PACKET_ROOM) {
        count(interface, TX_TOO_LONG, 1);
        return;
    }
    if (part && extend_train(interface, bytes, length))
        return;
    end_train(interface);
    if (interface->queued == SEND_BATCH || interface->queued_bytes + length > PACKET_ROOM)
        interface_flush(interface);
    uint8_t *message = interface->outgoing + filled(interface);
    memset(message, 0, LEFT_BYTES);
    memcpy(message + LEFT_BYTES, bytes, length);
    interface->vectors[interface->queued] = (struct iovec){.iov_base = message, .iov_len = LEFT_BYTES + length};
    interface->sending[interface->queued] = (struct sending){1, length};
    interface->queued++;
    interface->queued_bytes += length;
    if (part && length <= interface->mtu + ETH_HLEN) /* the kernel does not look at what it cuts from a super-packet */
        merge_begin(&interface->train, message + LEFT_BYTES, length);
}

static void count_sent(struct interface *interface, unsigned first, unsigned messages)
{
    uint64_t packets = 0, bytes = 0, super_packets = 0;
    for (const struct sending *one = interface->sending + first; one < interface->sending + first + messages; one++) {
        packets += one->packets;
        bytes += one->bytes;
        super_packets += one->packets > 1;
    }
    count(interface, TX_PACKETS, packets);
    count(interface, TX_BYTES, bytes);
    count(interface, TX_SUPER_PACKETS, super_packets);
}

void interface_flush(struct interface *interface)
{
    unsigned done = 0;
    end_train(interface);
    while (done < interface->queued) {
        int sent = -1;
        errno = ENODEV;
        if (interface->fd >= 0) {
            sent = sendmmsg(interface->fd, interface->messages + done, interface->queued - done, MSG_DONTWAIT);
            count(interface, TX_CALLS, 1);
        }
        if (sent > 0) {
            count_sent(interface, done, (unsigned)sent);
            done += (unsigned)sent;
        } else if (errno != EINTR) { /* the first packet is refused: leave it out and go on */
            count(interface, errno == EMSGSIZE ? TX_TOO_LONG : TX_DROPPED, interface->sending[done].packets);
            done++;
        }
    }
    interface->queued = 0;
    interface->queued_bytes = 0;
}

void interface_check(struct interface *interface)
{
    if (interface->fd < 0)
        return;
    read_mtu(interface);
    struct tpacket_stats statistics;
    socklen_t size = sizeof statistics;
    if (getsockopt(interface->fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size) == 0)
        count(interface, RX_DROPPED, statistics.tp_drops);
    /* A pending error (the interface went down) would make poll return at once, for ever. Reading it clears it. */
    int error;
    size = sizeof error;
    getsockopt(interface->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    /* The socket's interface, which is none when it has gone or has moved to another namespace. Asked for its name,
     * the kernel would wait for whoever renames any interface anywhere. */
    struct sockaddr_ll address;
    size = sizeof address;
    if (getsockname(interface->fd, (struct sockaddr *)&address, &size) < 0 || address.sll_ifindex != interface->index)
        interface_close(interface);
}
