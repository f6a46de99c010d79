/*
 * What p4c writes in a way that simple_switch_grpc does not read, or breaks on: an element of a stack by a run-time
 * index as a key, and its validity in a condition; whether a union in a stack is valid; digests with more than plain
 * bits; an action profile that two tables share.
 */
#include <core.p4>
#include <v1model.p4>

header ask_t {
    bit<8> what;        // 1: a sign comes last; 2, 3: which table
    bit<8> items;       // how many follow
    bit<8> index;
    bit<8> result;
}

header item_t { bit<16> value; }
header sign_t { int<8> value; }

header_union either_t {
    item_t item;
    sign_t sign;
}

struct headers_t {
    ask_t       ask;
    item_t[3]   items;
    either_t[2] eithers;
}

struct seen_t {
    bool   any;
    int<8> sign;
    int<6> narrow;
}
struct metadata_t { }

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.ask);
        transition next;
    }
    state next {
        transition select(hdr.items.lastIndex + 1 == (bit<32>)hdr.ask.items, hdr.ask.what) {
            (true, 1): sign;
            (true, _): accept;
            default:   item;
        }
    }
    state sign {
        packet.extract(hdr.eithers.next.sign);
        transition accept;
    }
    state item {
        packet.extract(hdr.items.next);
        transition next;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    action_profile(4) shared;

    action give(bit<8> result) { hdr.ask.result = result; }

    table element {
        key = { hdr.items[hdr.ask.index].value: lpm; }
        actions = { give; NoAction; }
        default_action = NoAction;
    }

    // p4c repeats an action for each table; a member that both have brings that of one of them.
    table one {
        key = { hdr.ask.index: exact; }
        actions = { give; }
        implementation = shared;
    }
    table other {
        key = { hdr.ask.index: exact; }
        actions = { give; }
        implementation = shared;
    }

    apply {
        sm.egress_spec = sm.ingress_port;
        if (hdr.ask.what == 2) {
            one.apply();
        } else if (hdr.ask.what == 3) {
            other.apply();
        } else {
            element.apply();
        }
        if (hdr.items[hdr.ask.index].isValid()) {
            hdr.items[hdr.ask.index].value = hdr.items[hdr.ask.index].value + 1;
        }
        if (hdr.eithers[0].isValid()) {
            hdr.ask.result = 0xee;
            digest<seen_t>(1, { hdr.eithers[1].isValid(), hdr.eithers[0].sign.value,
                                (int<6>)hdr.eithers[0].sign.value });
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }
control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }
control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.ask);
        packet.emit(hdr.items);
        packet.emit(hdr.eithers);
    }
}

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
