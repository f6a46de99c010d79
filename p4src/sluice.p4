// Sluice's data plane: a layer-4 load balancer and the router around it.
//
//   port ─► parser ─► ingress: what becomes of the packet ─► egress: do it ─► deparser ─► port
//                        │ ▲                                    │
//              packet-in ▼ │ packet-out                         └ addresses, ports, checksums, TTL, MACs
//                     controller
//
// Ingress below is the life of a packet, one line a step, each step a control in a file of its own. A step that
// decides the packet's fate ends the walk. Both families take the same path: an IPv4 address is an IPv4-mapped one
// of 128 bits.

#include <core.p4>
#include <v1model.p4>

#include "constants.p4"
#include "headers.p4"
#include "metadata.p4"
#include "parser.p4"
#include "checksums.p4"
#include "fates.p4"
#include "admission.p4"
#include "controller_orders.p4"
#include "own_addresses.p4"
#include "service.p4"
#include "policy.p4"
#include "liveness.p4"
#include "exceptions.p4"
#include "fragments.p4"
#include "backend.p4"
#include "nat_answers.p4"
#include "routing.p4"
#include "trace.p4"
#include "replies.p4"
#include "rewrite.p4"
#include "tunnels.p4"
#include "probes.p4"

control SluiceIngress(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    Admission()      admission;
    DescribeFlow()   describe_flow;
    FollowOrder()    follow_order;
    OwnAddresses()   own_addresses;
    FindService()    find_service;
    Policy()         policy;
    FindBucket()     find_bucket;
    Liveness()       liveness;
    FindOwner()      find_owner;
    Fragments()      fragments;
    ReachBackend()   reach_backend;
    RestoreAnswers() restore_answers;
    Route()          route;
    Reply()          reply;
    Report()         report;
    Punt()           punt;
    Drop()           drop;

#define UNDECIDED meta.fate == fate_t.UNDECIDED
#define BALANCED meta.service.mode != mode_t.NONE

    apply {
        if (standard.ingress_port == CPU_PORT)
            follow_order.apply(headers, meta, standard);                         // 2  an order of the controller
        if (UNDECIDED) admission.apply(headers, meta, standard);                 // 1  whole, and for us?
        if (UNDECIDED) describe_flow.apply(headers, meta);
        if (UNDECIDED) own_addresses.apply(headers, meta, standard);             // 3  ARP, NDP, ping, answers to probes
        if (UNDECIDED) find_service.apply(headers, meta);                        // 4  VIP, pool
        if (UNDECIDED && BALANCED) policy.apply(meta);                           // 5  who may, and how much
        if (UNDECIDED && BALANCED) find_bucket.apply(meta);                      // 6  flow hash, bucket
        if (meta.liveness.question != question_t.NONE)
            liveness.apply(meta, standard);                                      // 7  who is alive,
        if ((UNDECIDED && BALANCED) || meta.exception.scrub == 1)
            find_owner.apply(meta);                                              //    exceptions, owner
        if (UNDECIDED && meta.flow.fragment == 1)
            fragments.apply(headers, meta);                                      // 8  as their first one went
        if (UNDECIDED && BALANCED)
            reach_backend.apply(headers, meta, standard);                        // 9  rewrite or tunnel, where to
        else if (UNDECIDED)
            restore_answers.apply(headers, meta);                                // 10 answers of nat backends
        if (UNDECIDED) route.apply(headers, meta, standard);                     // 11 route, next hop, port, size

        if (meta.fate == fate_t.REPLIED) reply.apply(headers, meta, standard);
        if (meta.trace == 1) report.apply(headers, meta, standard);
        else if (meta.fate == fate_t.PUNTED) punt.apply(headers, meta, standard);
        else if (meta.fate == fate_t.AGAIN) resubmit_preserving_field_list(1);
        else if (meta.fate != fate_t.SENT && meta.fate != fate_t.REPLIED) drop.apply(headers, meta, standard);
    }
}

control SluiceEgress(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    BuildReply()     build_reply;
    MeasureTranslation() measure_translation;
    Translate()      translate;
    TranslateQuote() translate_quote;
    OneHop()         one_hop;
    Encapsulate()    encapsulate;
    Probe()          probe;

    apply {
        if (standard.instance_type == REPLICATED) probe.apply(headers, meta, standard);
        else if (meta.fate == fate_t.REPLIED) build_reply.apply(headers, meta);
        else if (meta.fate != fate_t.DROPPED) {
            if (meta.translation.rewrite != rewrite_t.NONE) {
                measure_translation.apply(meta);
                if (meta.flow.quoted == 1) translate_quote.apply(headers, meta);
                else translate.apply(headers, meta);
            }
            if (meta.routed == 1) one_hop.apply(headers, meta);
            if (meta.tunnel.mode != mode_t.NONE) encapsulate.apply(headers, meta);
        }
    }
}

control SluiceDeparser(packet_out packet, in headers_t headers) {
    apply { packet.emit(headers); }
}

V1Switch(SluiceParser(), VerifyChecksums(), SluiceIngress(), SluiceEgress(), ComputeChecksums(), SluiceDeparser()) main;
