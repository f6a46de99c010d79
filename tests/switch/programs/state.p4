/*
 * Registers, indirect counters, hashes and random numbers.
 */
#include <core.p4>
#include <v1model.p4>

header request_t {
    bit<8>   what;
    bit<32>  index;
    bit<128> value;
}

header hashes_t {
    bit<32> crc32;
    bit<16> crc16;
    bit<16> csum16;
    bit<64> identity;
    bit<16> xor16;
    bit<16> bounded;        // crc32, base 100, max 16
    bit<16> unaligned;      // crc16 over 3 + 13 + 5 bits
    bit<32> with_payload;   // crc32
}

header drawn_t {
    bit<16> a;
    bit<16> b;
}

struct headers_t {
    request_t request;
    hashes_t  hashes;
    drawn_t   drawn;
}

struct metadata_t { }

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.request);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    register<bit<8>>(4) small;
    register<bit<33>>(16) odd;
    register<bit<128>>(3) large;
    register<int<16>>(2) signed;
    counter(8, CounterType.packets_and_bytes) indexed;

    action compute_hashes() {
        hdr.hashes.setValid();
        hash(hdr.hashes.crc32, HashAlgorithm.crc32, (bit<32>)0, { hdr.request.index, hdr.request.value }, (bit<64>)0x1_0000_0000);
        hash(hdr.hashes.crc16, HashAlgorithm.crc16, (bit<32>)0, { hdr.request.index, hdr.request.value }, (bit<32>)0x1_0000);
        hash(hdr.hashes.csum16, HashAlgorithm.csum16, (bit<32>)0, { hdr.request.index, hdr.request.value }, (bit<32>)0x1_0000);
        hash(hdr.hashes.identity, HashAlgorithm.identity, (bit<64>)0, { hdr.request.index, hdr.request.value }, 64w0xffff_ffff_ffff_ffff);
        hash(hdr.hashes.xor16, HashAlgorithm.xor16, (bit<32>)0, { hdr.request.what, hdr.request.value }, (bit<32>)0x1_0000);
        hash(hdr.hashes.bounded, HashAlgorithm.crc32, (bit<16>)100, { hdr.request.value }, (bit<16>)16);
        hash(hdr.hashes.unaligned, HashAlgorithm.crc16, (bit<32>)0,
             { hdr.request.value[2:0], hdr.request.value[15:3], hdr.request.what[4:0] }, (bit<32>)0x1_0000);
    }

    apply {
        sm.egress_spec = sm.ingress_port;
        if (hdr.request.what == 1) {
            bit<8> old;
            small.read(old, hdr.request.index);
            small.write(hdr.request.index, hdr.request.value[7:0]);
            hdr.request.value = (bit<128>)old;
        } else if (hdr.request.what == 2) {
            bit<33> old;
            odd.read(old, hdr.request.index & 0xf);
            odd.write(hdr.request.index & 0xf, hdr.request.value[32:0]);
            hdr.request.value = (bit<128>)old;
        } else if (hdr.request.what == 3) {
            bit<128> old;
            large.read(old, hdr.request.index);
            large.write(hdr.request.index, hdr.request.value);
            hdr.request.value = old;
        } else if (hdr.request.what == 4) {
            int<16> old;
            signed.read(old, hdr.request.index);
            signed.write(hdr.request.index, old - 1);
            hdr.request.value = (bit<128>)(int<128>)old;
        } else if (hdr.request.what == 5) {
            indexed.count(hdr.request.index);
        } else if (hdr.request.what == 6) {
            compute_hashes();
        } else if (hdr.request.what == 7) {
            hdr.drawn.setValid();
            random(hdr.drawn.a, (bit<16>)10, (bit<16>)13);
            random(hdr.drawn.b, (bit<16>)5, (bit<16>)5);
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }

control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) {
    apply {
        update_checksum_with_payload(hdr.hashes.isValid(), { hdr.request.index }, hdr.hashes.with_payload, HashAlgorithm.crc32);
    }
}

control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr);
    }
}

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
