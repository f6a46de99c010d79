/*
 * Tables whose entries do more than name an action: members and groups of action profiles, direct meters and counters,
 * idle timeouts. `key` is matched, `flow` chooses within a group; what happened comes back in the rest.
 */
#include <core.p4>
#include <v1model.p4>

header ask_t {
    bit<8>  which;
    bit<16> key;
    bit<16> flow;
    bit<8>  color;
    bit<8>  result;
}

struct headers_t { ask_t ask; }
struct metadata_t { bit<8> color; }

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.ask);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    action_profile(8) members;
    action_selector(HashAlgorithm.identity, 16, 16) hashed;
    direct_meter<bit<8>>(MeterType.packets) rate;
    direct_counter(CounterType.packets_and_bytes) hits;

    action give(bit<8> result) { hdr.ask.result = result; }
    action send(bit<9> port) { sm.egress_spec = port; }
    action refuse() { mark_to_drop(sm); }
    action measure(bit<8> result) {
        rate.read(meta.color);
        hdr.ask.result = result;
    }

    table by_member {
        key = { hdr.ask.key: lpm; }
        actions = { give; send; refuse; }
        implementation = members;
        counters = hits;
    }
    table by_group {
        key = {
            hdr.ask.key:  exact;
            hdr.ask.flow: selector;
        }
        actions = { give; send; }
        implementation = hashed;
    }
    table metered {
        key = { hdr.ask.key: exact; }
        actions = { measure; NoAction; }
        default_action = NoAction;
        meters = rate;
        support_timeout = true;
    }

    apply {
        sm.egress_spec = sm.ingress_port;
        if (hdr.ask.which == 1) {
            by_member.apply();
        } else if (hdr.ask.which == 2) {
            if (by_group.apply().miss) {
                hdr.ask.result = 0xee;
            }
        } else {
            metered.apply();
            hdr.ask.color = meta.color;
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }
control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }
control MyDeparser(packet_out packet, in headers_t hdr) { apply { packet.emit(hdr.ask); } }

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
