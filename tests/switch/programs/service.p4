/*
 * One of everything that the P4Runtime service deals with: every match kind, entries and defaults that are const
 * or may be used in one place only, counters of every unit, registers, a digest, multicast, a clone, and packets
 * to and from the controller.
 */
#include <core.p4>
#include <v1model.p4>

const bit<9> CPU_PORT = 255;

const bit<16> TYPE_LEARN = 0x1111; /* is reported by digest */
const bit<16> TYPE_COUNT = 0x2222; /* is counted in the indirect counters and kept in a register, cell 3 */
const bit<16> TYPE_CLONE = 0x3333; /* is cloned to session 7 */

header ethernet_t {
    bit<48> destination;
    bit<48> source;
    bit<16> type;
}

@controller_header("packet_in")
header packet_in_t {
    bit<9> ingress_port;
    bit<7> reason;
}

@controller_header("packet_out")
header packet_out_t {
    bit<7> unused;
    bit<9> egress_port;
}

struct headers_t {
    packet_in_t packet_in;
    packet_out_t packet_out;
    ethernet_t ethernet;
}

struct metadata_t {
    bit<8> mark;
}

struct learned_t {
    bit<48> source;
    bit<9> port;
}

parser ServiceParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t std) {
    state start {
        transition select(std.ingress_port) {
            CPU_PORT: from_controller;
            default: ethernet;
        }
    }
    state from_controller {
        packet.extract(hdr.packet_out);
        transition ethernet;
    }
    state ethernet {
        packet.extract(hdr.ethernet);
        transition accept;
    }
}

control NoChecksum(inout headers_t hdr, inout metadata_t meta) {
    apply { }
}

control ServiceIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t std) {
    direct_counter(CounterType.packets_and_bytes) bridge_counter;
    direct_counter(CounterType.packets) route_counter;
    direct_counter(CounterType.bytes) acl_counter;
    direct_counter(CounterType.packets_and_bytes) fixed_counter;
    counter(8, CounterType.packets_and_bytes) both;
    counter(4, CounterType.packets) only_packets;
    register<bit<32>>(8) last_source;
    register<bit<64>>(4) wide;

    action drop() {
        mark_to_drop(std);
    }

    action forward(bit<9> port) {
        std.egress_spec = port;
    }

    action flood(bit<16> group) {
        std.mcast_grp = group;
    }

    action to_controller(bit<7> reason) {
        std.egress_spec = CPU_PORT;
        hdr.packet_in.setValid();
        hdr.packet_in.ingress_port = std.ingress_port;
        hdr.packet_in.reason = reason;
    }

    action mark(bit<8> value) {
        meta.mark = value;
    }

    table bridge {
        key = { hdr.ethernet.destination: exact @name("destination"); }
        actions = { forward; flood; to_controller; drop; }
        default_action = drop();
        counters = bridge_counter;
        size = 4096;
    }

    table routes {
        key = { hdr.ethernet.source: lpm @name("source"); }
        actions = { mark; NoAction; }
        counters = route_counter;
        size = 64;
    }

    table acl {
        key = {
            hdr.ethernet.source: ternary @name("source");
            hdr.ethernet.type: optional @name("type");
            std.ingress_port: range @name("port");
        }
        actions = { drop; mark; NoAction; }
        counters = acl_counter;
        size = 64;
    }

    table small {
        key = { hdr.ethernet.type: exact @name("type"); }
        actions = { mark; NoAction; }
        size = 2;
    }

    table fixed {
        key = { hdr.ethernet.type: ternary @name("type"); }
        actions = { mark; NoAction; }
        const entries = {
            0x0800 &&& 0xffff: mark(1);
            _: mark(2);
        }
        counters = fixed_counter;
    }

    table constant_default {
        key = { hdr.ethernet.type: exact @name("type"); }
        actions = { mark; }
        const default_action = mark(9);
    }

    table scoped {
        key = { hdr.ethernet.type: exact @name("type"); }
        actions = { @tableonly mark; @defaultonly drop; NoAction; }
    }

    table keyless {
        actions = { mark; NoAction; }
    }

    apply {
        if (hdr.packet_out.isValid()) {
            std.egress_spec = hdr.packet_out.egress_port;
            hdr.packet_out.setInvalid();
        } else {
            routes.apply();
            acl.apply();
            small.apply();
            fixed.apply();
            constant_default.apply();
            scoped.apply();
            keyless.apply();
            if (hdr.ethernet.type == TYPE_LEARN) {
                digest<learned_t>(1, { hdr.ethernet.source, std.ingress_port });
            } else if (hdr.ethernet.type == TYPE_COUNT) {
                both.count(3);
                only_packets.count(3);
                last_source.write(3, (bit<32>) hdr.ethernet.source);
                wide.write(3, (bit<64>) hdr.ethernet.source);
            } else if (hdr.ethernet.type == TYPE_CLONE) {
                clone(CloneType.I2E, 7);
            }
            bridge.apply();
        }
    }
}

control ServiceEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t std) {
    apply { }
}

control ServiceDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.packet_in);
        packet.emit(hdr.ethernet);
    }
}

V1Switch(
    ServiceParser(), NoChecksum(), ServiceIngress(), ServiceEgress(), NoChecksum(), ServiceDeparser()
) main;
