/*
 * What a key can be: ranges and optional values of any width, fields wider than a machine's words, masked fields, the
 * validity of a header; and entries that the program brings along.
 */
#include <core.p4>
#include <v1model.p4>

header ask_t {
    bit<8>   which;
    bit<8>   items;     // how many follow
    bit<16>  port;
    bit<64>  word;
    bit<128> address;
    bit<8>   result;
}

header item_t { bit<16> value; }

struct headers_t {
    ask_t     ask;
    item_t[3] items;
}
struct metadata_t { }

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.ask);
        transition select(hdr.ask.items) {
            0: accept;
            1: one;
            2: two;
            default: three;
        }
    }
    state three {
        packet.extract(hdr.items.next);
        transition two;
    }
    state two {
        packet.extract(hdr.items.next);
        transition one;
    }
    state one {
        packet.extract(hdr.items.next);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    action give(bit<8> result) { hdr.ask.result = result; }
    action keep() { }

    table ranges {
        key = {
            hdr.ask.port: range;
            hdr.ask.word: range;
        }
        actions = { give; keep; }
        default_action = keep;
    }
    table options {
        key = {
            hdr.ask.address: optional;
            hdr.ask.port:    optional;
        }
        actions = { give; keep; }
        default_action = keep;
    }
    table parts {
        key = {
            hdr.ask.word[47:16]:              exact;
            hdr.ask.address & 0xffff << 100:  exact @name("part");
            hdr.items[1].isValid():           exact;
        }
        actions = { give; keep; }
        default_action = keep;
    }
    table fixed {
        key = {
            hdr.ask.port: ternary;
            hdr.ask.word: range;
        }
        actions = { give; keep; }
        default_action = give(0xdd);
        const entries = {
            (0x0a00 &&& 0xff00, 1 .. 5):                  give(1);
            (0x0000 &&& 0xf000, 0 .. 0x7fffffffffffffff): give(2);
            (_, 0x8000000000000000 .. 0xffffffffffffffff):   give(3);
        }
    }
    table ordered {
        key = { hdr.ask.port: ternary; }
        actions = { give; keep; }
        default_action = keep;
        entries = {
            const priority = 30: 0x0a0c: give(3);
            priority = 20: 0x0a0b: give(2);
            const priority = 10: 0x0a00 &&& 0xff00: give(1);
        }
    }

    apply {
        sm.egress_spec = sm.ingress_port;
        switch (hdr.ask.which) {
            1: { ranges.apply(); }
            3: { options.apply(); }
            4: { parts.apply(); }
            6: { fixed.apply(); }
            7: { ordered.apply(); }
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }
control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }
control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.ask);
        packet.emit(hdr.items);
    }
}

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
