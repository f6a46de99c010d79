/*
 * The life of a packet in v1model as BMv2's simple_switch has it (targets/simple_switch/simple_switch.cpp): what comes
 * after ingress and in which order, copies, resubmission, recirculation, and which metadata each of them begins with.
 *
 * Included at the end of a generated program, which defines before it: struct metadata, struct packet, struct state, and
 *   parse, verify_checksums, ingress, egress, update_checksums, before_deparsing, deparse, learn, copy_field_list,
 *   and get_X / set_X for the standard metadata (a field that the program lacks reads as 0).
 *
 * The program runs to completion: there are no queues, so enq_qdepth, deq_qdepth and deq_timedelta are 0.
 */
#ifndef SWITCH_V1MODEL_H
#define SWITCH_V1MODEL_H

static void egress_and_after(struct state *s, struct packet *p, uint32_t port);

/* A packet before its parser: everything zero, as BMv2 has it and programs expect. */
static void packet_begin(struct packet *p, const uint8_t *bytes, uint32_t length, uint32_t ingress_length, uint32_t port)
{
    memset(p, 0, sizeof *p);
    p->c.bytes = bytes;
    p->c.length = length;
    p->c.ingress_length = ingress_length;
    p->c.length_now = length;
    p->c.truncate_to = UINT32_MAX;
    p->c.ingress_port = (uint16_t)port;
    set_instance_type(p, INSTANCE_NORMAL);
}

/*
 * BMv2 makes copies of a packet from the *end* of its buffer, with the length that truncate left; the copy knows
 * nothing of the truncation any more.
 */
static void settle_truncation(struct packet_context *c)
{
    const uint32_t seen = payload_seen(c);
    c->payload += c->payload_length - seen;
    c->payload_length = seen;
    c->truncate_to = UINT32_MAX;
}

/* The same of the bytes as they came, for copies that begin with those. */
static void settle_original(struct packet_context *c)
{
    if (c->truncate_to < c->length) {
        c->bytes += c->length - c->truncate_to;
        c->length = c->truncate_to;
    }
}

/* Requests that a copy does not inherit. */
static void forget_requests(struct packet_context *c)
{
    c->clone = c->clone_list = c->resubmit_list = c->recirculate_list = c->learn_list = 0;
    c->stop = RUNNING;
}

/* Whether an assertion failed or a loop did not end; then the packet goes no further. */
static inline bool failed(struct state *s, const struct packet *p)
{
    if (p->c.stop < FAILED)
        return false;
    drop(&s->core, p->c.stop == FAILED ? DROP_ASSERTION : DROP_LOOP);
    return true;
}

/* Whether the packet may go through (part of) the pipeline once more; counts it. */
static bool another_pass(struct state *s, struct packet_context *c)
{
    if (c->passes >= MAX_PASSES || s->core.requests >= MAX_REQUESTS) {
        drop(&s->core, DROP_PASSES);
        return false;
    }
    c->passes++;
    s->core.requests++;
    return true;
}

/* Queues bytes to be parsed again, with the metadata of the field list and nothing else. */
static void pass_again(struct state *s, struct packet *p, enum instance_type type, uint16_t field_list,
                       const uint8_t *bytes, uint32_t length)
{
    if (!another_pass(s, &p->c))
        return;
    TRACE_WORDS(TRACE_AGAIN, type);
    if (s->pending_count == PENDING) {
        drop(&s->core, DROP_PENDING_FULL);
        return;
    }
    struct pending *next = &s->pending[(s->pending_first + s->pending_count++) % PENDING];
    memcpy(next->bytes, bytes, length);
    next->length = length;
    next->ingress_length = type == INSTANCE_RECIRCULATED ? length : p->c.ingress_length;
    next->ingress_port = p->c.ingress_port;
    next->passes = p->c.passes;
    next->type = type;
    memset(&next->meta, 0, sizeof next->meta);
    copy_field_list(&next->meta, &p->meta, field_list);
}

static void replicate(struct state *s, const struct packet *p, const struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        struct packet copy = *p;
        settle_truncation(&copy.c);
        forget_requests(&copy.c);
        set_egress_rid(&copy, group->replicas[i].rid);
        egress_and_after(s, &copy, group->replicas[i].port);
    }
}

static const struct group *clone_session(struct state *s, const struct packet *p)
{
    const uint16_t session = p->c.clone & (uint16_t)~CLONE_REQUESTED;
    TRACE_WORDS(TRACE_CLONE, session);
    const struct group *group = atomic_load_explicit(&s->core.sessions[session], memory_order_acquire);
    if (!group)
        drop(&s->core, DROP_NO_SESSION);
    return group;
}

/* The packet as it came, parsed once more with only its ingress port known. */
static __attribute__((noinline)) void clone_ingress(struct state *s, const struct packet *p)
{
    const struct group *group = clone_session(s, p);
    if (!group)
        return;
    struct packet copy;
    struct packet_context original = p->c;
    settle_original(&original);
    packet_begin(&copy, original.bytes, original.length, original.ingress_length, original.ingress_port);
    copy.c.passes = p->c.passes;
    if (!another_pass(s, &copy.c))
        return;
    set_ingress_port(&copy, p->c.ingress_port);
    parse(s, &copy);
    memset(&copy.meta, 0, sizeof copy.meta);
    copy_field_list(&copy.meta, &p->meta, p->c.clone_list);
    set_instance_type(&copy, INSTANCE_INGRESS_CLONE);
    replicate(s, &copy, group);
}

/* The packet as egress left it, not deparsed. */
static __attribute__((noinline)) void clone_egress(struct state *s, const struct packet *p)
{
    const struct group *group = clone_session(s, p);
    if (!group)
        return;
    struct packet copy = *p;
    if (!another_pass(s, &copy.c))
        return;
    memset(&copy.meta, 0, sizeof copy.meta);
    copy_field_list(&copy.meta, &p->meta, p->c.clone_list);
    set_instance_type(&copy, INSTANCE_EGRESS_CLONE);
    replicate(s, &copy, group);
}

static __attribute__((noinline)) void multicast(struct state *s, struct packet *p, uint32_t id)
{
    TRACE_WORDS(TRACE_MULTICAST, id);
    const struct group *group = atomic_load_explicit(&s->core.groups[id % GROUPS], memory_order_acquire);
    if (!group || group->count == 0) {
        drop(&s->core, DROP_NO_GROUP);
        return;
    }
    set_instance_type(p, INSTANCE_REPLICATED);
    replicate(s, p, group);
}

static void ingress_and_after(struct state *s, struct packet *p)
{
    parse(s, p);
    verify_checksums(s, p);
    set_parser_error(p, p->c.parser_error);
    set_checksum_error(p, p->c.checksum_error);
    ingress(s, p);
    if (failed(s, p))
        return;
    p->c.stop = RUNNING;
    if (p->c.clone) {
        clone_ingress(s, p);
        p->c.clone = p->c.clone_list = 0;
    }
    if (p->c.learn_list) {
        TRACE_WORDS(TRACE_DIGEST, p->c.learn_list);
        learn(s, p);
    }
    if (p->c.resubmit_list) {
        settle_original(&p->c);
        pass_again(s, p, INSTANCE_RESUBMITTED, p->c.resubmit_list, p->c.bytes, p->c.length);
        return;
    }
    const uint32_t group = get_mcast_grp(p);
    if (group) {
        multicast(s, p, group);
        return;
    }
    const uint32_t port = get_egress_spec(p);
    if (port == DROP_PORT) {
        drop(&s->core, DROP_INGRESS);
        return;
    }
    set_instance_type(p, INSTANCE_NORMAL);
    egress_and_after(s, p, port);
}

static void egress_and_after(struct state *s, struct packet *p, uint32_t port)
{
    TRACE_WORDS(TRACE_EGRESS, port);
    set_enq_timestamp(p, s->core.now);
    set_egress_global_timestamp(p, s->core.now);
    set_egress_port(p, port);
    set_egress_spec(p, DROP_PORT + 1);
    set_packet_length(p, p->c.length_now);
    egress(s, p);
    if (failed(s, p))
        return;
    if (p->c.clone) {
        clone_egress(s, p);
        p->c.clone = p->c.clone_list = 0;
    }
    if (get_egress_spec(p) == DROP_PORT) {
        drop(&s->core, DROP_EGRESS);
        return;
    }
    update_checksums(s, p);
    before_deparsing(s, p);
    if (failed(s, p))
        return;
    uint8_t *end = deparse(p, s->out);
    memcpy(end, p->c.payload, p->c.payload_length);
    const uint32_t whole = (uint32_t)(end - s->out) + p->c.payload_length;
    const uint32_t length = whole < p->c.truncate_to ? whole : p->c.truncate_to;
    if (p->c.recirculate_list)
        pass_again(s, p, INSTANCE_RECIRCULATED, p->c.recirculate_list, s->out + whole - length, length);
    else {
        TRACE_WORDS(TRACE_EMIT, port, length);
        s->core.emit(s->core.emit_context, port, s->out, length);
    }
}

static void run_pending(struct state *s)
{
    while (s->pending_count > 0) {
        const struct pending *from = &s->pending[s->pending_first];
        struct packet *p = &s->packet;
        packet_begin(p, from->bytes, from->length, from->ingress_length, from->ingress_port);
        p->c.passes = from->passes;
        p->meta = from->meta;
        set_instance_type(p, from->type);
        set_packet_length(p, from->length);
        TRACE_WORDS(TRACE_PACKET, from->type, from->ingress_port, from->length);
        if (from->length > MAX_PACKET)
            drop(&s->core, DROP_TOO_LONG);
        else
            ingress_and_after(s, p);
        s->pending_first = (s->pending_first + 1) % PENDING;
        s->pending_count--;
    }
}

__attribute__((visibility("default"))) void program_process(void *state, unsigned port, const uint8_t *bytes,
                                                            unsigned length, uint64_t now_us, emit_fn emit,
                                                            void *context)
{
    struct state *s = state;
    if (length > MAX_PACKET) {
        drop(&s->core, DROP_TOO_LONG);
        return;
    }
    reader_enter(&s->core.reclaimer);
    s->core.now = now_us;
    s->core.requests = 0;
    s->core.emit = emit;
    s->core.emit_context = context;
    struct packet *p = &s->packet;
    packet_begin(p, bytes, length, length, port);
    set_ingress_port(p, port);
    set_packet_length(p, length);
    set_ingress_global_timestamp(p, now_us);
    TRACE_WORDS(TRACE_PACKET, INSTANCE_NORMAL, port, length);
    ingress_and_after(s, p);
    if (s->pending_count)
        run_pending(s);
}

#ifdef TRACE
/* As program_process, and notes events in up to `capacity` words; returns how many words they are. */
__attribute__((visibility("default"))) uint64_t program_trace(void *state, unsigned port, const uint8_t *bytes,
                                                              unsigned length, uint64_t now_us, emit_fn emit,
                                                              void *context, uint64_t *words, uint64_t capacity)
{
    hashes_init(); /* this library's own tables */
    trace = (struct trace){.words = words, .capacity = capacity};
    program_process(state, port, bytes, length, now_us, emit, context);
    trace.words = NULL;
    return trace.used;
}
#endif

__attribute__((visibility("default"))) void program_quiesce(void *state)
{
    struct state *s = state;
    reader_leave(&s->core.reclaimer);
}

#endif
