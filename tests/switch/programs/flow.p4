/*
 * The flow of control: conditions, loops and exits in actions, `switch` over actions and values, tables that hit and
 * miss, functions, early returns. `trail` gathers a digit for each place that was passed.
 */
#include <core.p4>
#include <v1model.p4>

header ask_t {
    bit<8>  what;
    bit<8>  a;
    bit<8>  b;
    bit<64> trail;
    bit<32> sum;
}

struct headers_t { ask_t ask; }
struct metadata_t { }

bit<64> step(in bit<64> trail, in bit<4> digit) {
    if (digit == 0) {
        return trail;
    }
    return trail << 4 | (bit<64>)digit;
}

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.ask);
        transition accept;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control Counting(inout headers_t hdr, in bit<4> digit) {
    apply {
        hdr.ask.trail = step(hdr.ask.trail, digit);
        if (hdr.ask.a == 0) {
            return;
        }
        hdr.ask.trail = step(hdr.ask.trail, 0xc);
    }
}

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    Counting() counting;

    action branches() {
        if (hdr.ask.a > hdr.ask.b) {
            hdr.ask.trail = step(hdr.ask.trail, 1);
        } else if (hdr.ask.a == hdr.ask.b) {
            hdr.ask.trail = step(hdr.ask.trail, 2);
            if (hdr.ask.a == 7) {
                return;
            }
            hdr.ask.trail = step(hdr.ask.trail, 3);
        } else {
            hdr.ask.trail = step(hdr.ask.trail, 4);
        }
        hdr.ask.trail = step(hdr.ask.trail, 5);
    }
    action sum_of_odd() {
        hdr.ask.sum = 0;
        for (bit<8> i = 0; i < hdr.ask.a; i = i + 1) {
            if (i & 1 == 0) {
                continue;
            }
            if (i > 20) {
                break;
            }
            hdr.ask.sum = hdr.ask.sum + (bit<32>)i;
        }
    }
    action sum_in(bit<8> by) {
        hdr.ask.sum = 0;
        bit<8> left = hdr.ask.b;
        for (; left != 0; left = left - 1) {
            hdr.ask.sum = hdr.ask.sum + (bit<32>)(by * left);
        }
    }
    action skipping() {
        hdr.ask.sum = 0;
        for (bit<8> i = 1; i != hdr.ask.a; i = i + 2) {     // without an end if a is even
            hdr.ask.sum = hdr.ask.sum + 1;
        }
    }
    action leave() {
        hdr.ask.trail = step(hdr.ask.trail, 0xe);
        exit;
    }

    table chosen {
        key = { hdr.ask.a: exact; }
        actions = { branches; sum_of_odd; sum_in; leave; NoAction; }
        default_action = NoAction;
    }

    table found {
        key = { hdr.ask.a: exact; }
        actions = { NoAction; leave; }
        default_action = NoAction;
    }

    apply {
        sm.egress_spec = sm.ingress_port;
        switch (hdr.ask.what) {
            1: { branches(); }
            2: { sum_of_odd(); }
            3: {
                switch (chosen.apply().action_run) {
                    branches:   { hdr.ask.trail = step(hdr.ask.trail, 6); }
                    sum_in:
                    sum_of_odd: { hdr.ask.trail = step(hdr.ask.trail, 7); }
                    leave:      { hdr.ask.trail = step(hdr.ask.trail, 8); }
                    default:    { hdr.ask.trail = step(hdr.ask.trail, 9); }
                }
                hdr.ask.trail = step(hdr.ask.trail, 0xa);
            }
            4: {
                if (found.apply().hit) {
                    hdr.ask.trail = step(hdr.ask.trail, 0xb);
                } else {
                    leave();
                }
            }
            5: {
                counting.apply(hdr, 1);
                counting.apply(hdr, 2);
            }
            6: { skipping(); }
        }
        hdr.ask.trail = step(hdr.ask.trail, 0xf);
    }
}

control MyEgress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    apply {
        if (hdr.ask.b == 0xee) {
            exit;
        }
        hdr.ask.trail = step(hdr.ask.trail, 0xd);
    }
}

control MyComputeChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }
control MyDeparser(packet_out packet, in headers_t hdr) { apply { packet.emit(hdr.ask); } }

V1Switch(MyParser(), MyVerifyChecksum(), MyIngress(), MyEgress(), MyComputeChecksum(), MyDeparser()) main;
