/*
 * Every kind of table. A packet names the table and carries the key; what the table says comes back in `result`.
 */
#include <core.p4>
#include <v1model.p4>

header query_t {
    bit<8>   which;
    bit<32>  a;
    bit<16>  b;
    bit<8>   c;
    bit<128> wide;
    bit<32>  result;
    bit<8>   path;      // what ran after the table
}

struct headers_t { query_t query; }
struct metadata_t { }

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.query);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    direct_counter(CounterType.packets_and_bytes) exact_hits;
    direct_counter(CounterType.packets_and_bytes) ternary_hits;

    action give(bit<32> result) { hdr.query.result = result; }
    action give_wide(bit<128> mask, bit<32> result) {
        hdr.query.wide = hdr.query.wide & mask;
        hdr.query.result = result;
    }
    // The parameters are alike, so that wide becomes 0; they fill three cache lines.
    action give_alike(bit<128> p1, bit<128> p2, bit<128> p3, bit<128> p4, bit<128> p5, bit<128> p6, bit<128> p7,
                      bit<128> p8, bit<32> result) {
        hdr.query.wide = p1 ^ p2 ^ p3 ^ p4 ^ p5 ^ p6 ^ p7 ^ p8;
        hdr.query.result = result;
    }
    action deny() { mark_to_drop(sm); }
    action leave() {
        hdr.query.result = 0xe;
        exit;
    }
    action counted(bit<32> result) {
        hdr.query.result = result;
        exact_hits.count();
    }
    action counted_ternary(bit<32> result) {
        hdr.query.result = result;
        ternary_hits.count();
    }

    table exact_one {
        key = { hdr.query.a: exact; }
        actions = { counted; NoAction; }
        default_action = NoAction;
        counters = exact_hits;
        size = 4096;
    }
    table exact_many {
        key = { hdr.query.a: exact; hdr.query.wide: exact; hdr.query.b: exact; hdr.query.c: exact; hdr.query.isValid(): exact; }
        actions = { give; give_wide; give_alike; deny; leave; }
        default_action = give(0xdefa);
        size = 16;
    }
    table lpm_32 {
        key = { hdr.query.a: lpm; }
        actions = { give; NoAction; }
        default_action = NoAction;
        size = 1024;
    }
    table lpm_128 {
        key = { hdr.query.b: exact; hdr.query.wide: lpm; }
        actions = { give; NoAction; }
        default_action = NoAction;
        size = 1024;
    }
    table masked {
        key = { hdr.query.a: ternary; hdr.query.b: ternary; hdr.query.wide: ternary; }
        actions = { counted_ternary; NoAction; }
        default_action = NoAction;
        counters = ternary_hits;
        size = 1024;
    }
    table mixed {
        key = { hdr.query.a: lpm; hdr.query.b: range; hdr.query.c: exact; hdr.query.wide: optional; }
        actions = { give; NoAction; }
        default_action = NoAction;
        size = 64;
    }
    table fixed {
        key = { hdr.query.a: ternary; hdr.query.b: range; }
        actions = { give; deny; }
        const default_action = give(0xd);
        const entries = {
            (0x0a000000 &&& 0xff000000, 10..20): give(1);
            (0x0a0b0000 &&& 0xffff0000, 15..30): give(2);
            (_, 0xffff): deny();
        }
    }
    table fixed_lpm {
        key = { hdr.query.a: lpm; }
        actions = { give; }
        default_action = give(0);
        const entries = {
            0x0a000000 &&& 0xff000000: give(8);
            0x0a0b0000 &&& 0xffff0000: give(16);
        }
    }
    table by_action {
        key = { hdr.query.a: exact; }
        actions = { give; leave; NoAction; }
        default_action = NoAction;
    }
    table keyless {
        actions = { give; NoAction; }
        default_action = give(0x5);
    }

    apply {
        sm.egress_spec = sm.ingress_port;
        if (hdr.query.which == 1) {
            if (exact_one.apply().hit) {
                hdr.query.path = 1;
            } else {
                hdr.query.path = 2;
            }
        } else if (hdr.query.which == 2) {
            exact_many.apply();
            hdr.query.path = 3;
        } else if (hdr.query.which == 3) {
            lpm_32.apply();
        } else if (hdr.query.which == 4) {
            lpm_128.apply();
        } else if (hdr.query.which == 5) {
            masked.apply();
        } else if (hdr.query.which == 6) {
            mixed.apply();
        } else if (hdr.query.which == 7) {
            fixed.apply();
        } else if (hdr.query.which == 8) {
            fixed_lpm.apply();
        } else if (hdr.query.which == 9) {
            switch (by_action.apply().action_run) {
                give: { hdr.query.path = 4; }
                leave: { hdr.query.path = 5; }
                default: { hdr.query.path = 6; }
            }
            hdr.query.c = hdr.query.c + 1;
        } else if (hdr.query.which == 10) {
            keyless.apply();
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }

control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr);
    }
}

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
