/*
 * Fields of more than 128 bits: computed with, matched, kept in a register, given by an entry. Keys of more than 1024.
 */
#include <core.p4>
#include <v1model.p4>

header wide_t {
    bit<256> a;
    bit<256> b;
    bit<8>   by;
    bit<256> sum;
    bit<256> difference;
    bit<256> product;
    bit<256> saturated;
    bit<256> left;
    bit<256> right;
    int<256> signed_right;
    bit<512> joined;
    bit<8>   slice;
    bit<8>   comparisons;
    bit<304> before;        // what the register held
    bit<304> given;         // by the entry
}

struct headers_t { wide_t wide; }
struct metadata_t { }

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.wide);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    register<bit<304>>(2) kept;

    action give(bit<304> data) { hdr.wide.given = data; }

    table exactly {
        key = { hdr.wide.a: exact; }
        actions = { give; NoAction; }
        default_action = NoAction;
    }
    table masked {
        key = { hdr.wide.a: ternary; hdr.wide.b: lpm; }
        actions = { give; NoAction; }
        default_action = NoAction;
    }
    table between {
        key = { hdr.wide.a: range; hdr.wide.b: range; hdr.wide.by: exact; }
        actions = { give; NoAction; }
        default_action = NoAction;
    }
    table longest {
        key = {
            hdr.wide.a:       exact;
            hdr.wide.b:       range;
            hdr.wide.joined:  ternary;
            hdr.wide.product: optional;
        }
        actions = { give; NoAction; }
        default_action = NoAction;
    }
    table fixed {
        key = { hdr.wide.b: range; }
        actions = { give; NoAction; }
        default_action = NoAction;
        const entries = {
            0x1_0000000000000000 .. 0x5_00000000000000ff:                              give(1);
            0x5_0000000000000000 .. 0x8_0000000000000000_0000000000000000_0000000000000000: give(2);
        }
    }

    apply {
        sm.egress_spec = sm.ingress_port;
        hdr.wide.sum = hdr.wide.a + hdr.wide.b;
        hdr.wide.difference = hdr.wide.a - hdr.wide.b;
        hdr.wide.product = hdr.wide.a * hdr.wide.b;
        hdr.wide.saturated = hdr.wide.a |-| hdr.wide.b;
        hdr.wide.left = hdr.wide.a << hdr.wide.by;
        hdr.wide.right = hdr.wide.a >> hdr.wide.by;
        hdr.wide.signed_right = (int<256>)hdr.wide.a >> hdr.wide.by;
        hdr.wide.joined = hdr.wide.a ++ (hdr.wide.b ^ ~hdr.wide.a);
        hdr.wide.slice = hdr.wide.a[200:193];
        hdr.wide.comparisons = 0;
        if (hdr.wide.a < hdr.wide.b) { hdr.wide.comparisons[0:0] = 1; }
        if ((int<256>)hdr.wide.a < (int<256>)hdr.wide.b) { hdr.wide.comparisons[1:1] = 1; }
        if (hdr.wide.a == hdr.wide.b) { hdr.wide.comparisons[2:2] = 1; }
        kept.read(hdr.wide.before, 1);
        kept.write(1, hdr.wide.a ++ hdr.wide.b[47:0]);
        if (!exactly.apply().hit) {
            masked.apply();
        }
        if (!between.apply().hit) {
            longest.apply();
        }
        if (hdr.wide.by == 0xfe) {
            fixed.apply();
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }
control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }
control MyDeparser(packet_out packet, in headers_t hdr) { apply { packet.emit(hdr.wide); } }

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
