// Step 1. Bytes to headers. What does not parse is dropped as malformed: the parser only raises the error.

error { BadVersion, BadLength }

parser SluiceParser(packet_in packet, out headers_t headers, inout metadata_t meta,
                    inout standard_metadata_t standard) {
    bit<32> before = 0;              // bytes before the IP header

    state start {
        transition select(standard.ingress_port) {
            CPU_PORT: order;
            default: ethernet;
        }
    }

    state order {
        packet.extract(headers.packet_out);
        before = PACKET_OUT_LENGTH;
        transition select(headers.packet_out.order) {
            order_t.TRACE: ethernet;
            default: accept;
        }
    }

    state ethernet {
        packet.extract(headers.ethernet);
        before = before + 14;
        transition select(headers.ethernet.type) {
            ETHERTYPE_VLAN: vlan;
            ETHERTYPE_IPV4: ipv4;
            ETHERTYPE_IPV6: ipv6;
            ETHERTYPE_ARP: arp;
            default: accept;
        }
    }

    state vlan {
        packet.extract(headers.vlan);
        before = before + 4;
        transition select(headers.vlan.type) {
            ETHERTYPE_IPV4: ipv4;
            ETHERTYPE_IPV6: ipv6;
            ETHERTYPE_ARP: arp;
            default: accept;
        }
    }

    state arp {
        packet.extract(headers.arp);
        transition accept;
    }

    // `length` is what the lengths in the headers leave for the payload. A header that need not be there is looked
    // for only if there is room for it: what follows the packet in the frame is padding.
    state ipv4 {
        packet.extract(headers.ipv4);
        verify(headers.ipv4.version == 4, error.BadVersion);
        bit<16> header_length = (bit<16>)headers.ipv4.header_words << 2;
        verify(header_length >= 20 && headers.ipv4.total_length >= header_length, error.BadLength);
        meta.flow.length = headers.ipv4.total_length - header_length;
        // Ethernet may pad a packet, never cut it.
        verify(before + (bit<32>)headers.ipv4.total_length <= standard.packet_length, error.BadLength);
        meta.flow.protocol = headers.ipv4.protocol;
        transition select(headers.ipv4.header_words) {
            5: ipv4_payload;
            default: ipv4_options;
        }
    }

    state ipv4_options {
        packet.extract(headers.ipv4_options, ((bit<32>)headers.ipv4.header_words - 5) << 5);
        transition ipv4_payload;
    }

    state ipv4_payload {
        transition select(headers.ipv4.fragment_offset, headers.ipv4.protocol) {
            (0, PROTOCOL_TCP): tcp;
            (0, PROTOCOL_UDP): udp;
            (0, PROTOCOL_ICMP): icmp4;
            (0, _): other;
            default: accept;
        }
    }

    // Two extension headers of at most 64 bytes may stand before the payload or the fragment header: hop-by-hop
    // options and one more. A longer one does not parse; a third is a protocol like any that we do not balance.
    state ipv6 {
        packet.extract(headers.ipv6);
        verify(headers.ipv6.version == 6, error.BadVersion);
        verify(before + 40 + (bit<32>)headers.ipv6.payload_length <= standard.packet_length, error.BadLength);
        meta.flow.length = headers.ipv6.payload_length;
        meta.flow.protocol = headers.ipv6.next_header;
        transition select(headers.ipv6.next_header) {
            PROTOCOL_IPV6_HOP_BY_HOP: ipv6_extension;
            PROTOCOL_IPV6_ROUTING: ipv6_extension;
            PROTOCOL_IPV6_DESTINATION: ipv6_extension;
            default: ipv6_fragmented;
        }
    }

    state ipv6_extension {
        bit<16> beginning = packet.lookahead<bit<16>>();
        packet.extract(headers.ipv6_extension, (bit<32>)beginning[7:0] << 6);
        bit<16> extension_length = 8 + ((bit<16>)headers.ipv6_extension.length << 3);
        verify(meta.flow.length >= extension_length, error.BadLength);
        meta.flow.length = meta.flow.length - extension_length;
        meta.flow.protocol = headers.ipv6_extension.next_header;
        transition select(headers.ipv6_extension.next_header) {
            PROTOCOL_IPV6_ROUTING: ipv6_extension_too;
            PROTOCOL_IPV6_DESTINATION: ipv6_extension_too;
            default: ipv6_fragmented;
        }
    }

    state ipv6_extension_too {
        bit<16> beginning = packet.lookahead<bit<16>>();
        packet.extract(headers.ipv6_extension_too, (bit<32>)beginning[7:0] << 6);
        bit<16> extension_length = 8 + ((bit<16>)headers.ipv6_extension_too.length << 3);
        verify(meta.flow.length >= extension_length, error.BadLength);
        meta.flow.length = meta.flow.length - extension_length;
        meta.flow.protocol = headers.ipv6_extension_too.next_header;
        transition ipv6_fragmented;
    }

    state ipv6_fragmented {
        transition select(meta.flow.protocol) {
            PROTOCOL_IPV6_FRAGMENT: ipv6_fragment;
            default: ipv6_payload;
        }
    }

    state ipv6_fragment {
        verify(meta.flow.length >= 8, error.BadLength);
        packet.extract(headers.ipv6_fragment);
        meta.flow.length = meta.flow.length - 8;
        meta.flow.protocol = headers.ipv6_fragment.next_header;
        transition select(headers.ipv6_fragment.fragment_offset) {
            0: ipv6_payload;
            default: accept;
        }
    }

    state ipv6_payload {
        transition select(meta.flow.protocol) {
            PROTOCOL_TCP: tcp;
            PROTOCOL_UDP: udp;
            PROTOCOL_ICMPV6: icmp6;
            default: other;
        }
    }

    // What is extracted below lies within the IP packet, not in padding behind it.

    state tcp {
        verify(meta.flow.length >= TCP_HEADER_LENGTH, error.BadLength);
        packet.extract(headers.ports);
        packet.extract(headers.tcp);
        transition accept;
    }

    state udp {
        verify(meta.flow.length >= UDP_HEADER_LENGTH, error.BadLength);
        packet.extract(headers.ports);
        packet.extract(headers.udp);
        transition accept;
    }

    state other {
        transition select((bit<1>)(meta.flow.length >= OTHER_LENGTH)) {
            1: other_beginning;
            default: accept;
        }
    }

    state other_beginning {
        packet.extract(headers.other);
        transition accept;
    }

    state icmp4 {
        verify(meta.flow.length >= ICMP_HEADER_LENGTH, error.BadLength);
        packet.extract(headers.icmp);
        transition select(headers.icmp.type) {
            ICMP_UNREACHABLE: quote4;
            ICMP_TIME_EXCEEDED: quote4;
            ICMP_PARAMETER_PROBLEM: quote4;
            default: accept;
        }
    }

    state icmp6 {
        verify(meta.flow.length >= ICMP_HEADER_LENGTH, error.BadLength);
        packet.extract(headers.icmp);
        transition select(headers.icmp.type) {
            ICMPV6_NEIGHBOR_SOLICITATION: neighbor;
            ICMPV6_NEIGHBOR_ADVERTISEMENT: neighbor;
            ICMPV6_UNREACHABLE: quote6;
            ICMPV6_TOO_BIG: quote6;
            ICMPV6_TIME_EXCEEDED: quote6;
            ICMPV6_PARAMETER_PROBLEM: quote6;
            default: accept;
        }
    }

    // The options that may follow stay in the payload: an answer truncates them and adds its own.
    state neighbor {
        verify(meta.flow.length >= NEIGHBOR_MESSAGE_LENGTH, error.BadLength);
        packet.extract(headers.neighbor);
        transition accept;
    }

    // ---- the packet that an ICMP error quotes: its addresses, ports, and its checksum if the quote reaches so far

    state quote4 {
        transition select((bit<1>)(meta.flow.length >= ICMP_HEADER_LENGTH + 28)) {
            1: quoted_ipv4;
            default: accept;
        }
    }

    state quoted_ipv4 {
        packet.extract(headers.quoted_ipv4);
        meta.room = meta.flow.length - ICMP_HEADER_LENGTH - ((bit<16>)headers.quoted_ipv4.header_words << 2);
        transition select(headers.quoted_ipv4.header_words) {
            5: quoted_ipv4_payload;
            0 .. 4: accept;
            default: quoted_ipv4_options;
        }
    }

    state quoted_ipv4_options {
        packet.extract(headers.quoted_ipv4_options, ((bit<32>)headers.quoted_ipv4.header_words - 5) << 5);
        transition select((bit<1>)(meta.room >= 8)) {
            1: quoted_ipv4_payload;
            default: accept;
        }
    }

    state quoted_ipv4_payload {
        meta.quoted_protocol = headers.quoted_ipv4.protocol;
        transition select(headers.quoted_ipv4.fragment_offset, headers.quoted_ipv4.protocol) {
            (0, PROTOCOL_TCP): quoted_tcp_ports;
            (0, PROTOCOL_UDP): quoted_udp;
            default: accept;
        }
    }

    state quote6 {
        transition select((bit<1>)(meta.flow.length >= ICMP_HEADER_LENGTH + 48)) {
            1: quoted_ipv6;
            default: accept;
        }
    }

    state quoted_ipv6 {
        packet.extract(headers.quoted_ipv6);
        meta.room = meta.flow.length - ICMP_HEADER_LENGTH - 40;
        meta.quoted_protocol = headers.quoted_ipv6.next_header;
        transition select(headers.quoted_ipv6.next_header) {
            PROTOCOL_TCP: quoted_tcp_ports;
            PROTOCOL_UDP: quoted_udp;
            PROTOCOL_IPV6_FRAGMENT: quoted_ipv6_fragment;
            default: accept;
        }
    }

    state quoted_ipv6_fragment {
        packet.extract(headers.quoted_ipv6_fragment);
        meta.room = meta.room - 8;
        meta.quoted_protocol = headers.quoted_ipv6_fragment.next_header;
        bit<1> enough = (bit<1>)(meta.room >= 8);
        transition select(enough, headers.quoted_ipv6_fragment.fragment_offset,
                          headers.quoted_ipv6_fragment.next_header) {
            (1, 0, PROTOCOL_TCP): quoted_tcp_ports;
            (1, 0, PROTOCOL_UDP): quoted_udp;
            default: accept;
        }
    }

    state quoted_udp {
        packet.extract(headers.quoted_ports);
        packet.extract(headers.quoted_udp);
        transition accept;
    }

    // A quote may end after 8 bytes of TCP (RFC 792), before the checksum.
    state quoted_tcp_ports {
        packet.extract(headers.quoted_ports);
        transition select((bit<1>)(meta.room >= TCP_HEADER_LENGTH)) {
            1: quoted_tcp;
            default: accept;
        }
    }

    state quoted_tcp {
        packet.extract(headers.quoted_tcp);
        transition accept;
    }
}
