/*
 * One of every kind of entity that P4Runtime knows and v1model has. A packet of the controller's that is sent to
 * CPU_PORT comes back to it, so that a client needs nothing else to see packets, digests and counts.
 */
#include <core.p4>
#include <v1model.p4>

const bit<9> CPU_PORT = 255;

const bit<8> LEARNED = 1; /* `what` of a packet that is reported by digest */

@controller_header("packet_in")
header packet_in_t {
    bit<9> ingress_port;
    bit<7> mark;
}

@controller_header("packet_out")
header packet_out_t {
    bit<7> unused;
    bit<9> egress_port;
}

header request_t {
    bit<8>  what;
    bit<16> value;
    bit<32> address;
}

struct headers_t {
    packet_in_t  packet_in;
    packet_out_t packet_out;
    request_t    request;
}

struct learned_t {
    bit<16> value;
    bit<9>  port;
}

struct metadata_t {
    bit<7> mark;
}

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    value_set<bit<16>>(4) special;

    state start {
        transition select(sm.ingress_port) {
            CPU_PORT: from_controller;
            default: request;
        }
    }
    state from_controller {
        packet.extract(hdr.packet_out);
        transition request;
    }
    state request {
        packet.extract(hdr.request);
        transition select(hdr.request.value) {
            special: marked;
            default: accept;
        }
    }
    state marked {
        meta.mark = 99;
        transition accept;
    }
}

control NoChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    action_selector(HashAlgorithm.crc32, 64, 16) members;
    action_profile(64) actions_of_pairs;
    direct_counter(CounterType.packets_and_bytes) hits;
    direct_meter<bit<7>>(MeterType.packets) speed;
    counter(8, CounterType.packets_and_bytes) counts;
    meter(8, MeterType.packets) rates;
    register<bit<32>>(8) kept;

    action mark(bit<7> value) { meta.mark = value; }

    action measure() { speed.read(meta.mark); }

    table exactly {
        key = { hdr.request.value: exact @name("value"); }
        actions = { mark; NoAction; }
    }

    table longest {
        key = { hdr.request.address: lpm @name("address"); }
        actions = { mark; NoAction; }
    }

    table masked {
        key = { hdr.request.value: ternary @name("value"); }
        actions = { mark; NoAction; }
    }

    table between {
        key = { sm.ingress_port: range @name("port"); }
        actions = { mark; NoAction; }
    }

    table optionally {
        key = { hdr.request.value: optional @name("value"); }
        actions = { mark; NoAction; }
    }

    table fixed {
        key = { hdr.request.what: exact @name("what"); }
        actions = { mark; NoAction; }
        const entries = { 0xff: mark(8); }
    }

    table counted {
        key = { hdr.request.value: exact @name("value"); }
        actions = { mark; NoAction; }
        counters = hits;
    }

    table metered {
        key = { hdr.request.value: exact @name("value"); }
        actions = { measure; NoAction; }
        meters = speed;
    }

    table aging {
        key = { hdr.request.value: exact @name("value"); }
        actions = { mark; NoAction; }
        support_timeout = true;
    }

    table paired {
        key = { hdr.request.value: exact @name("value"); }
        actions = { mark; NoAction; }
        implementation = actions_of_pairs;
    }

    table chosen {
        key = {
            hdr.request.value: exact @name("value");
            hdr.request.address: selector;
        }
        actions = { mark; NoAction; }
        implementation = members;
    }

    apply {
        exactly.apply();
        longest.apply();
        masked.apply();
        between.apply();
        optionally.apply();
        fixed.apply();
        counted.apply();
        metered.apply();
        aging.apply();
        paired.apply();
        chosen.apply();
        counts.count((bit<32>)hdr.request.what);
        bit<2> color;
        rates.execute_meter((bit<32>)hdr.request.what, color);
        kept.write((bit<32>)hdr.request.what, hdr.request.address);
        if (hdr.request.what == LEARNED) {
            digest<learned_t>(1, { hdr.request.value, sm.ingress_port });
        }
        sm.egress_spec = CPU_PORT;
        if (hdr.packet_out.isValid()) {
            sm.egress_spec = hdr.packet_out.egress_port;
            hdr.packet_out.setInvalid();
        }
        if (sm.egress_spec == CPU_PORT) {
            hdr.packet_in.setValid();
            hdr.packet_in.ingress_port = sm.ingress_port;
            hdr.packet_in.mark = meta.mark;
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }

control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.packet_in);
        packet.emit(hdr.request);
    }
}

V1Switch(MyParser(), NoChecksum(), MyIngress(), MyEgress(), NoChecksum(), MyDeparser()) main;
