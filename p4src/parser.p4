// Step 1. Bytes to headers. What does not parse is dropped as malformed: the parser only raises the error.

error { BadVersion, BadLength }

parser SluiceParser(packet_in packet, out headers_t headers, inout metadata_t meta,
                    inout standard_metadata_t standard) {
    bit<32> before;                  // bytes before the IP header
    bit<16> payload;                 // bytes that the IP packet has behind its headers

    state start {
        transition select(standard.ingress_port) {
            CPU_PORT: order;
            default: ethernet;
        }
    }

    state order {
        packet.extract(headers.packet_out);
        transition accept;
    }

    state ethernet {
        packet.extract(headers.ethernet);
        before = 14;
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
        before = 18;
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

    state ipv4 {
        packet.extract(headers.ipv4);
        verify(headers.ipv4.version == 4, error.BadVersion);
        bit<16> header_length = (bit<16>)headers.ipv4.header_words << 2;
        verify(header_length >= 20 && headers.ipv4.total_length >= header_length, error.BadLength);
        payload = headers.ipv4.total_length - header_length;
        // Ethernet may pad a packet, never cut it.
        verify(before + (bit<32>)headers.ipv4.total_length <= standard.packet_length, error.BadLength);
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
            (0, PROTOCOL_ICMP): icmp;
            default: accept;
        }
    }

    state ipv6 {
        packet.extract(headers.ipv6);
        verify(headers.ipv6.version == 6, error.BadVersion);
        payload = headers.ipv6.payload_length;
        verify(before + 40 + (bit<32>)payload <= standard.packet_length, error.BadLength);
        transition select(headers.ipv6.next_header) {
            PROTOCOL_TCP: tcp;
            PROTOCOL_UDP: udp;
            PROTOCOL_ICMPV6: icmp6;
            default: accept;
        }
    }

    // What is extracted below lies within the IP packet, not in padding behind it.

    state tcp {
        verify(payload >= TCP_HEADER_LENGTH, error.BadLength);
        packet.extract(headers.ports);
        packet.extract(headers.tcp);
        transition accept;
    }

    state udp {
        verify(payload >= UDP_HEADER_LENGTH, error.BadLength);
        packet.extract(headers.ports);
        packet.extract(headers.udp);
        transition accept;
    }

    state icmp {
        verify(payload >= ICMP_HEADER_LENGTH, error.BadLength);
        packet.extract(headers.icmp);
        transition accept;
    }

    state icmp6 {
        verify(payload >= ICMP_HEADER_LENGTH, error.BadLength);
        packet.extract(headers.icmp);
        transition select(headers.icmp.type) {
            ICMPV6_NEIGHBOR_SOLICITATION: neighbor;
            ICMPV6_NEIGHBOR_ADVERTISEMENT: neighbor;
            default: accept;
        }
    }

    // The options that may follow stay in the payload: an answer truncates them and adds its own.
    state neighbor {
        verify(payload >= NEIGHBOR_MESSAGE_LENGTH, error.BadLength);
        packet.extract(headers.neighbor);
        transition accept;
    }
}
