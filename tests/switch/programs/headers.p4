/*
 * Headers as values: validity, copies, stacks with push and pop, unions, varbits; loops in an action.
 */
#include <core.p4>
#include <v1model.p4>

header order_t {
    bit<8> what;
    bit<8> argument;
}

header part_t {
    bit<16> value;
}

header text_t {
    bit<8>      bytes;
    varbit<128> text;
}

header small_t { bit<8> v; }
header big_t { bit<32> v; }

header_union either_t {
    small_t small;
    big_t   big;
}

struct headers_t {
    order_t   order;
    part_t    extra;
    part_t[4] parts;
    either_t  either;
    text_t    text;
    text_t    copy;
}

struct metadata_t {
    bit<8> round;
}

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.order);
        transition select(hdr.order.what) {
            10 .. 19: parse_text;
            20: parse_small;
            default: parse_parts;
        }
    }
    state parse_parts {
        packet.extract(hdr.parts.next);
        packet.extract(hdr.parts.next);
        transition accept;
    }
    state parse_small {
        packet.extract(hdr.either.small);
        transition accept;
    }
    state parse_text {
        packet.extract(hdr.text, (bit<32>)packet.lookahead<bit<8>>() * 8);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    action sum_up_to(bit<8> limit) {
        bit<16> sum = 0;
        for (bit<8> i = 1; i <= limit; i = i + 1) {
            if (i == 3) {
                continue;
            }
            if (i == 9) {
                break;
            }
            sum = sum + (bit<16>)i;
        }
        hdr.parts[0].value = sum;
    }

    apply {
        sm.egress_spec = sm.ingress_port;
        if (hdr.order.what == 1) {
            hdr.parts.push_front(1);
            hdr.parts[0].setValid();
            hdr.parts[0].value = 0xaaaa;
        } else if (hdr.order.what == 2) {
            hdr.parts.pop_front(1);
        } else if (hdr.order.what == 3) {
            hdr.extra = hdr.parts[1];
            hdr.parts[0].setInvalid();
        } else if (hdr.order.what == 4) {
            hdr.parts[0] = hdr.extra;           // an invalid header
        } else if (hdr.order.what == 5) {
            hdr.parts[0].setInvalid();
            hdr.parts[0].setValid();            // zero again
        } else if (hdr.order.what == 6) {
            if (hdr.parts[0] == hdr.parts[1]) {
                hdr.order.argument = 1;
            } else {
                hdr.order.argument = 2;
            }
        } else if (hdr.order.what == 7) {
            sum_up_to(hdr.order.argument);
        } else if (hdr.order.what == 10) {
            hdr.copy = hdr.text;
            hdr.text.setInvalid();
        } else if (hdr.order.what == 11) {
            hdr.copy.setValid();
            hdr.copy.bytes = hdr.text.bytes;
            hdr.copy.text = hdr.text.text;
        } else if (hdr.order.what == 20) {
            hdr.either.big.setValid();
            hdr.either.big.v = 0xb16;
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
