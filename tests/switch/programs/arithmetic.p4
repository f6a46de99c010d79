/*
 * Operators over many widths, signed and saturating ones too: two operands in, all results out.
 */
#include <core.p4>
#include <v1model.p4>

header operands_t {
    bit<8>   a8;
    bit<8>   b8;
    bit<16>  a16;
    bit<16>  b16;
    bit<32>  a32;
    bit<32>  b32;
    bit<48>  a48;
    bit<48>  b48;
    bit<64>  a64;
    bit<64>  b64;
    bit<128> a128;
    bit<128> b128;
    bit<8>   shift;
}

header unsigned_t {
    bit<8>   sum8;
    bit<16>  difference16;
    bit<32>  product32;
    bit<48>  sum48;
    bit<64>  product64;
    bit<128> sum128;
    bit<128> difference128;
    bit<128> product128;
    bit<32>  left32;
    bit<64>  right64;
    bit<128> left128;
    bit<128> right128;
    bit<16>  logic16;
    bit<64>  joined64;      // a32 ++ b32
    bit<24>  slice24;       // a48[35:12]
    bit<8>   saturated_sum8;
    bit<64>  saturated_difference64;
    bit<8>   comparisons;
    bit<16>  choice16;
    bit<32>  negated32;
    bit<32>  carry33;       // bit 32 of a 33-bit sum, then shifted down
}

header signed_t {
    int<8>   sum8;
    int<16>  product16;
    int<64>  difference64;
    int<8>   saturated_sum8;
    int<32>  saturated_difference32;
    int<32>  right32;       // arithmetic shift
    int<64>  extended64;    // from 8 bits
    bit<8>   comparisons;
    int<128> sum128;
}

struct headers_t {
    operands_t operands;
    unsigned_t unsigned;
    signed_t   signed;
}

struct metadata_t { }

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.operands);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    apply {
        sm.egress_spec = sm.ingress_port;
        hdr.unsigned.setValid();
        hdr.unsigned.sum8 = hdr.operands.a8 + hdr.operands.b8;
        hdr.unsigned.difference16 = hdr.operands.a16 - hdr.operands.b16;
        hdr.unsigned.product32 = hdr.operands.a32 * hdr.operands.b32;
        hdr.unsigned.sum48 = hdr.operands.a48 + hdr.operands.b48;
        hdr.unsigned.product64 = hdr.operands.a64 * hdr.operands.b64;
        hdr.unsigned.sum128 = hdr.operands.a128 + hdr.operands.b128;
        hdr.unsigned.difference128 = hdr.operands.a128 - hdr.operands.b128;
        hdr.unsigned.product128 = hdr.operands.a128 * hdr.operands.b128;
        hdr.unsigned.left32 = hdr.operands.a32 << hdr.operands.shift;
        hdr.unsigned.right64 = hdr.operands.a64 >> hdr.operands.shift;
        hdr.unsigned.left128 = hdr.operands.a128 << hdr.operands.shift;
        hdr.unsigned.right128 = hdr.operands.a128 >> hdr.operands.shift;
        hdr.unsigned.logic16 = (hdr.operands.a16 & ~hdr.operands.b16) | (hdr.operands.a16 ^ 0x0ff0);
        hdr.unsigned.joined64 = hdr.operands.a32 ++ hdr.operands.b32;
        hdr.unsigned.slice24 = hdr.operands.a48[35:12];
        hdr.unsigned.saturated_sum8 = hdr.operands.a8 |+| hdr.operands.b8;
        hdr.unsigned.saturated_difference64 = hdr.operands.a64 |-| hdr.operands.b64;
        hdr.unsigned.comparisons = 0;
        if (hdr.operands.a128 < hdr.operands.b128) { hdr.unsigned.comparisons = hdr.unsigned.comparisons | 1; }
        if (hdr.operands.a64 >= hdr.operands.b64) { hdr.unsigned.comparisons = hdr.unsigned.comparisons | 2; }
        if (hdr.operands.a32 - hdr.operands.b32 > 0x8000_0000) { hdr.unsigned.comparisons = hdr.unsigned.comparisons | 4; }
        if (hdr.operands.a8 == hdr.operands.b8 || !(hdr.operands.a16 != hdr.operands.b16)) {
            hdr.unsigned.comparisons = hdr.unsigned.comparisons | 8;
        }
        hdr.unsigned.choice16 = hdr.operands.a8 > hdr.operands.b8 ? hdr.operands.a16 : hdr.operands.b16 + 1;
        hdr.unsigned.negated32 = -hdr.operands.a32;
        hdr.unsigned.carry33 = (bit<32>)(((bit<33>)hdr.operands.a32 + (bit<33>)hdr.operands.b32) >> 32);

        hdr.signed.setValid();
        hdr.signed.sum8 = (int<8>)hdr.operands.a8 + (int<8>)hdr.operands.b8;
        hdr.signed.product16 = (int<16>)hdr.operands.a16 * (int<16>)hdr.operands.b16;
        hdr.signed.difference64 = (int<64>)hdr.operands.a64 - (int<64>)hdr.operands.b64;
        hdr.signed.saturated_sum8 = (int<8>)hdr.operands.a8 |+| (int<8>)hdr.operands.b8;
        hdr.signed.saturated_difference32 = (int<32>)hdr.operands.a32 |-| (int<32>)hdr.operands.b32;
        hdr.signed.right32 = (int<32>)hdr.operands.a32 >> hdr.operands.shift;
        hdr.signed.extended64 = (int<64>)(int<8>)hdr.operands.a8;
        hdr.signed.comparisons = 0;
        if ((int<8>)hdr.operands.a8 < (int<8>)hdr.operands.b8) { hdr.signed.comparisons = hdr.signed.comparisons | 1; }
        if ((int<64>)hdr.operands.a64 < 0) { hdr.signed.comparisons = hdr.signed.comparisons | 2; }
        if (hdr.signed.extended64 >= (int<64>)hdr.operands.b64) { hdr.signed.comparisons = hdr.signed.comparisons | 4; }
        hdr.signed.sum128 = (int<128>)hdr.operands.a128 + (int<128>)hdr.operands.b128;
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }

control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.unsigned);
        packet.emit(hdr.signed);
    }
}

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
