/*
 * What simple_switch_grpc's own tests do with eleven programs, in one: the packet says which table it is for. What
 * nothing else is said about goes out where it came in, the controller's packets too.
 */
#include <core.p4>
#include <v1model.p4>

enum bit<8> what_t {
    LOOP      = 0,
    CHOSEN    = 1, // an action selector: by `value`, and `entropy` for the hash
    ROUTED    = 2,
    COUNTED   = 3,
    LEARNED   = 4,
    AGING     = 5,
    MASKED    = 6,
    OPTIONAL  = 7,
    MULTICAST = 8, // `value` is the group, and on the copies their instance
    CLONED    = 9, // the same with the session
    METERED   = 10
}

header request_t {
    what_t  what;
    bit<16> value;
    bit<32> entropy;
}

struct headers_t {
    request_t request;
}

struct learned_t {
    bit<16> value;
    bit<9>  port;
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
    action_selector(HashAlgorithm.crc32, 1024, 16) members;
    direct_counter(CounterType.packets_and_bytes) hits;
    direct_meter<bit<8>>(MeterType.packets) speed;
    bit<8> color = 0;

    action send(bit<9> port) {
        sm.egress_spec = port;
    }

    action give_up() {
        mark_to_drop(sm);
    }

    action measure() {
        speed.read(color);
    }

    table chosen {
        key = {
            hdr.request.value: exact;
            hdr.request.entropy: selector;
        }
        actions = { send; }
        implementation = members;
    }

    table routed {
        key = { hdr.request.entropy: lpm; }
        actions = { send; give_up; NoAction; }
    }

    table counted {
        key = { hdr.request.value: exact; }
        actions = { send; }
        counters = hits;
    }

    table aging {
        key = { hdr.request.value: exact; }
        actions = { send; }
        support_timeout = true;
    }

    table masked {
        key = { hdr.request.value: ternary; }
        actions = { send; }
    }

    table optionally {
        key = { hdr.request.value: optional; }
        actions = { send; }
    }

    table metered {
        key = { hdr.request.value: exact; }
        actions = { measure; }
        meters = speed;
    }

    apply {
        sm.egress_spec = sm.ingress_port;
        if (hdr.request.what == what_t.CHOSEN) {
            chosen.apply();
        } else if (hdr.request.what == what_t.ROUTED) {
            routed.apply();
        } else if (hdr.request.what == what_t.COUNTED) {
            counted.apply();
        } else if (hdr.request.what == what_t.LEARNED) {
            digest<learned_t>(1, { hdr.request.value, sm.ingress_port });
        } else if (hdr.request.what == what_t.AGING) {
            aging.apply();
        } else if (hdr.request.what == what_t.MASKED) {
            masked.apply();
        } else if (hdr.request.what == what_t.OPTIONAL) {
            optionally.apply();
        } else if (hdr.request.what == what_t.MULTICAST) {
            sm.mcast_grp = hdr.request.value;
        } else if (hdr.request.what == what_t.CLONED) {
            clone(CloneType.I2E, (bit<32>)hdr.request.value);
        } else if (hdr.request.what == what_t.METERED) {
            metered.apply();
        }
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    apply {
        if (hdr.request.what == what_t.MULTICAST || hdr.request.what == what_t.CLONED) {
            hdr.request.value = sm.egress_rid;
        }
    }
}

control MyDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr);
    }
}

V1Switch(MyParser(), NoChecksum(), MyIngress(), MyEgress(), NoChecksum(), MyDeparser()) main;
