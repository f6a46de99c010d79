/*
 * Header unions, stacks of them, varbits, and what the parser chooses by: value sets, ranges, several fields at once.
 * `path` says how the parser went.
 */
#include <core.p4>
#include <v1model.p4>

header start_t {
    bit<8>  what;
    bit<16> kind;
    bit<8>  path;
}

header short_t { bit<8> tag; bit<8> v; }
header long_t  { bit<8> tag; bit<24> v; }
header text_t  { bit<8> tag; bit<8> length; varbit<80> text; }

header_union option_t {
    short_t small;
    long_t  large;
    text_t  text;
}

header tail_t { bit<8> count; bit<8> kinds; }

struct headers_t {
    start_t     begin;
    option_t    first;
    option_t[3] options;
    text_t      copy;
    tail_t      tail;
}
struct metadata_t { }

struct kind_t {
    @match(exact) bit<8>  what;
    @match(exact) bit<16> kind;
}

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    value_set<bit<16>>(4) kinds;
    value_set<kind_t>(4) pairs;

    state start {
        packet.extract(hdr.begin);
        hdr.begin.path = 0;
        transition select(hdr.begin.what) {
            1 .. 5:            options;
            0x10 &&& 0xf0:     by_kind;
            0x20:              by_pair;
            default:           accept;
        }
    }
    state by_kind {
        hdr.begin.path = 1;
        transition select(hdr.begin.kind) {
            kinds:   known;
            default: accept;
        }
    }
    state by_pair {
        hdr.begin.path = 2;
        transition select(hdr.begin.what, hdr.begin.kind) {
            pairs: known;
            (_, 0x100 .. 0x1ff): ranged;
            default: accept;
        }
    }
    state known {
        hdr.begin.path = hdr.begin.path | 0x80;
        transition accept;
    }
    state ranged {
        hdr.begin.path = hdr.begin.path | 0x40;
        transition accept;
    }
    state options {
        transition select(packet.lookahead<bit<8>>()) {
            1: small;
            2: large;
            3: text;
            9: first;
            default: tail;
        }
    }
    state first {
        packet.extract(hdr.first.small);
        transition options;
    }
    state small {
        packet.extract(hdr.options.next.small);
        transition options;
    }
    state large {
        packet.extract(hdr.options.next.large);
        transition options;
    }
    state text {
        packet.extract(hdr.options.next.text, (bit<32>)(packet.lookahead<bit<16>>() & 0xff) << 3);
        transition options;
    }
    state tail {
        packet.extract(hdr.tail);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    apply {
        sm.egress_spec = sm.ingress_port;
        if (hdr.tail.isValid()) {
            // One bit for each member that is there.
            hdr.tail.kinds = 0;
            if (hdr.options[0].small.isValid() || hdr.options[0].large.isValid() || hdr.options[0].text.isValid()) {
                hdr.tail.kinds = hdr.tail.kinds | 1;
            }
            if (hdr.options[0].small.isValid()) { hdr.tail.kinds = hdr.tail.kinds | 2; }
            if (hdr.options[1].large.isValid()) { hdr.tail.kinds = hdr.tail.kinds | 4; }
            if (hdr.options[2].text.isValid())  { hdr.tail.kinds = hdr.tail.kinds | 8; }
            if (hdr.first.isValid())            { hdr.tail.kinds = hdr.tail.kinds | 16; }
        }
        if (hdr.begin.what == 2) {           // another member in its place
            hdr.options[0].large.setValid();
            hdr.options[0].large.tag = 2;
            hdr.options[0].large.v = 0xabcdef;
        } else if (hdr.begin.what == 3) {    // none
            hdr.options[0].small.setInvalid();
            hdr.options[0].large.setInvalid();
            hdr.options[0].text.setInvalid();
        } else if (hdr.begin.what == 4) {    // a whole union
            hdr.first = hdr.options[1];
        } else if (hdr.begin.what == 5) {    // a varbit
            hdr.copy = hdr.options[0].text;
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }
control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }
control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.begin);
        packet.emit(hdr.first);
        packet.emit(hdr.options);
        packet.emit(hdr.copy);
        packet.emit(hdr.tail);
    }
}

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
