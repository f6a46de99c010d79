/*
 * What a program tells besides packets: digests, log messages, assertions; in the parser, the controls and the
 * deparser, whose statements come after the checksums and before the first header.
 */
#include <core.p4>
#include <v1model.p4>

header ask_t {
    bit<8>  what;
    bit<8>  a;
    bit<16> b;
    bit<16> checksum;
}

header wide_t { bit<130> value; int<6> small; }

struct headers_t {
    ask_t  ask;
    wide_t wide;
}
struct metadata_t { }

struct seen_t {
    bit<8>   a;
    bit<16>  b;
    bit<130> wide;
    bit<9>   port;
    bit<4>   constant;
}

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        log_msg("a packet");
        packet.extract(hdr.ask);
        log_msg("what {} of port {}", { hdr.ask.what, sm.ingress_port });
        transition select(hdr.ask.what) {
            2:       wide;
            default: accept;
        }
    }
    state wide {
        packet.extract(hdr.wide);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    apply {
        sm.egress_spec = sm.ingress_port;
        log_msg("in ingress");
        assert(hdr.ask.what != 0xa1);
        assume(hdr.ask.what != 0xa2);
        if (hdr.ask.what < 3) {
            digest<seen_t>(1, { hdr.ask.a, hdr.ask.b, hdr.wide.value, sm.ingress_port, 5 });
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    apply {
        assert(hdr.ask.what != 0xa3);
    }
}

control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) {
    apply {
        update_checksum(true, { hdr.ask.what, hdr.ask.a, hdr.ask.b }, hdr.ask.checksum, HashAlgorithm.csum16);
    }
}

control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        log_msg("checksum {}", { hdr.ask.checksum });
        assert(hdr.ask.what != 0xa4);
        packet.emit(hdr.ask);
        assume(hdr.ask.checksum != 0xdead);
        packet.emit(hdr.wide);
    }
}

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
