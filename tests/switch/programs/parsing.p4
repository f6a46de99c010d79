/*
 * What a parser can do: select by value and mask, variable-length headers, looking ahead, advancing, verifying,
 * stacks with a loop. Every packet comes back on its port behind a report of what the parser found.
 */
#include <core.p4>
#include <v1model.p4>

error { BadMagic }

header report_t {
    bit<32> parser_error;
    bit<8>  kinds;      // valid headers: options 1, split 2, items 4 each, wide 32
    bit<16> ahead;      // what was looked at ahead of the packet's second part
    bit<8>  items;      // value of the last item
}

header kind_t {         // says what follows
    bit<8> kind;
}

header options_t {
    bit<4>      unused;
    bit<4>      words;  // of options, 4 bytes each
    varbit<480> options;
}

header split_t {        // fields that share bytes
    bit<3>  a;
    bit<13> b;
    bit<1>  c;
    bit<33> d;
    bit<6>  e;
}

header item_t {
    bit<1> last;
    bit<7> value;
}

header wide_t {
    bit<128> address;
    bit<48>  mac;
}

struct headers_t {
    report_t  report;
    kind_t    kind;
    options_t options;
    wide_t    wide;
    split_t   split;
    item_t[3] items;
}

struct metadata_t {
    bit<16> ahead;
    bit<8>  last_item;
}

parser MyParser(packet_in packet, out headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    state start {
        packet.extract(hdr.kind);
        transition select(hdr.kind.kind) {
            1: parse_options;
            2: parse_split;
            3: parse_items;
            4: parse_wide;
            5: skip_ahead;
            6: check;
            0x80 &&& 0xf0: parse_split;
            default: accept;
        }
    }
    state parse_options {
        packet.extract(hdr.options, (bit<32>)(packet.lookahead<bit<8>>()[3:0]) * 32);
        transition accept;
    }
    state parse_split {
        packet.extract(hdr.split);
        transition accept;
    }
    state parse_items {
        packet.extract(hdr.items.next);
        meta.last_item = (bit<8>)hdr.items.last.value;
        transition select(hdr.items.last.last) {
            0: parse_items;
            1: accept;
        }
    }
    state parse_wide {
        packet.extract(hdr.wide);
        transition select(hdr.wide.address, hdr.wide.mac) {
            (0xfe80_0000_0000_0000_0000_0000_0000_0001, 0x0000_0000_0002): parse_split;
            (0xfe80_0000_0000_0000_0000_0000_0000_0000 &&& 0xffc0_0000_0000_0000_0000_0000_0000_0000, _): accept;
            (_, 1): parse_items;
        }
    }
    state skip_ahead {
        meta.ahead = packet.lookahead<bit<16>>();
        packet.advance((bit<32>)packet.lookahead<bit<8>>() * 8);
        transition parse_split;
    }
    state check {
        meta.ahead = packet.lookahead<bit<16>>();
        verify(meta.ahead == 0xcafe, error.BadMagic);
        transition parse_split;
    }
}

control MyVerifyChecksum(inout headers_t hdr, inout metadata_t meta) { apply { } }

control MyIngress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t sm) {
    apply {
        sm.egress_spec = sm.ingress_port;
        hdr.report.setValid();
        hdr.report.kinds = 0;
        if (sm.parser_error == error.NoError) {
            hdr.report.parser_error = 0;
        } else if (sm.parser_error == error.PacketTooShort) {
            hdr.report.parser_error = 1;
        } else if (sm.parser_error == error.NoMatch) {
            hdr.report.parser_error = 2;
        } else if (sm.parser_error == error.StackOutOfBounds) {
            hdr.report.parser_error = 3;
        } else if (sm.parser_error == error.HeaderTooShort) {
            hdr.report.parser_error = 4;
        } else if (sm.parser_error == error.BadMagic) {
            hdr.report.parser_error = 5;
        } else {
            hdr.report.parser_error = 99;
        }
        if (hdr.options.isValid()) {
            hdr.report.kinds = hdr.report.kinds + 1;
        }
        if (hdr.split.isValid()) {
            hdr.report.kinds = hdr.report.kinds + 2;
        }
        if (hdr.items[0].isValid()) {
            hdr.report.kinds = hdr.report.kinds + 4;
        }
        if (hdr.items[1].isValid()) {
            hdr.report.kinds = hdr.report.kinds + 4;
        }
        if (hdr.items[2].isValid()) {
            hdr.report.kinds = hdr.report.kinds + 4;
        }
        if (hdr.wide.isValid()) {
            hdr.report.kinds = hdr.report.kinds + 32;
        }
        hdr.report.ahead = meta.ahead;
        hdr.report.items = meta.last_item;
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
