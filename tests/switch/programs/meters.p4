/*
 * Indirect meters of packets and of bytes: a packet names a cell and is sent back with the colour.
 */
#include <core.p4>
#include <v1model.p4>

header request_t {
    bit<8>  what;       // 1: packets, 2: bytes, 3: bytes into one bit
    bit<8>  color;
    bit<32> index;
}

struct headers_t {
    request_t request;
}

struct metadata_t { }

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.request);
        transition accept;
    }
}

control NoChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    meter(4, MeterType.packets) packets;
    meter(3, MeterType.bytes) octets;

    apply {
        sm.egress_spec = sm.ingress_port;
        if (hdr.request.what == 1) {
            packets.execute_meter(hdr.request.index, hdr.request.color);
        } else if (hdr.request.what == 2) {
            octets.execute_meter(hdr.request.index, hdr.request.color);
        } else if (hdr.request.what == 3) {
            bit<1> low = 0;
            octets.execute_meter(hdr.request.index, low);
            hdr.request.color = (bit<8>)low;
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) { apply { } }

control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr);
    }
}

V1Switch(MyParser(), NoChecksum(), MyIngress(), MyEgress(), NoChecksum(), MyDeparser()) main;
