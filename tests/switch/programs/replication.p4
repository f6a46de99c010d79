/*
 * The life of a packet beyond one pass: multicast, clones, resubmission, recirculation, truncation, digests.
 * `report` says what each copy saw.
 */
#include <core.p4>
#include <v1model.p4>

header order_t {
    bit<8>  what;
    bit<16> argument;
}

header report_t {
    bit<32> instance_type;
    bit<16> rid;
    bit<16> kept;           // metadata that the field list names
    bit<16> lost;           // metadata that it does not name
    bit<16> ingress_port;
    bit<32> packet_length;
    bit<48> timestamp;
}

struct headers_t {
    report_t report;
    order_t  order;
}

struct metadata_t {
    @field_list(1)
    bit<16> kept;
    bit<16> lost;
    bit<1>  again;
}

struct learned_t {
    bit<16>  argument;
    bit<9>   port;
    bit<128> wide;
}

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.order);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    apply {
        sm.egress_spec = 9;
        if (hdr.order.what == 1) {
            sm.mcast_grp = hdr.order.argument;
        } else if (hdr.order.what == 2 && sm.instance_type == 0) {
            meta.kept = hdr.order.argument;
            meta.lost = hdr.order.argument;
            hdr.order.argument = 0;     // a resubmitted packet begins with the original bytes
            resubmit_preserving_field_list(1);
        } else if (hdr.order.what == 3) {
            meta.lost = 7;
            if (sm.instance_type == 0) {    // egress sees 0 in each pass
                meta.kept = hdr.order.argument;
                meta.again = 1;
            }
        } else if (hdr.order.what == 4) {
            meta.kept = 0x1234;
            meta.lost = 7;
            hdr.order.argument = 0;     // a clone begins with the original bytes
            clone_preserving_field_list(CloneType.I2E, 5, 1);
        } else if (hdr.order.what == 5) {
            meta.kept = 0x1234;
            meta.lost = 7;
        } else if (hdr.order.what == 6) {
            truncate((bit<32>)hdr.order.argument);
        } else if (hdr.order.what == 7) {
            digest<learned_t>(1, { hdr.order.argument, sm.ingress_port, 0x1_0000_0000_0000_0002 });
        } else if (hdr.order.what == 8) {
            mark_to_drop(sm);
        } else if (hdr.order.what == 9) {
            sm.mcast_grp = 1;
            mark_to_drop(sm);
            sm.egress_spec = 4;         // dropping is an assignment, which can be taken back
        } else if (hdr.order.what == 10) {
            resubmit_preserving_field_list(1);
        } else if (hdr.order.what == 12) {
            assert(hdr.order.argument != 0);
        } else if (hdr.order.what == 13) {
            truncate((bit<32>)hdr.order.argument);
            sm.mcast_grp = 1;
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    apply {
        if (hdr.order.what == 15) {
            clone_preserving_field_list(CloneType.E2E, 5, 1);
        } else if (meta.again == 1) {
            hdr.order.argument = hdr.order.argument + 1;
            recirculate_preserving_field_list(1);
        } else if (hdr.order.what == 11) {
            recirculate_preserving_field_list(1);
        } else {
            if (hdr.order.what == 5 && sm.instance_type == 0) {
                hdr.order.argument = hdr.order.argument + 1;
                clone_preserving_field_list(CloneType.E2E, 5, 1);
            } else if (hdr.order.what == 14) {
                mark_to_drop(sm);
            }
            hdr.report.setValid();
            hdr.report.instance_type = sm.instance_type;
            hdr.report.rid = sm.egress_rid;
            hdr.report.kept = meta.kept;
            hdr.report.lost = meta.lost;
            hdr.report.ingress_port = (bit<16>)sm.ingress_port;
            hdr.report.packet_length = sm.packet_length;
            hdr.report.timestamp = sm.ingress_global_timestamp;
        }
    }
}

control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr);
    }
}

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
