// Step 1. Bytes to headers. What does not parse is dropped as malformed: the parser only raises the error.

error { BadIpv4HeaderLength }

parser SluiceParser(packet_in packet, out headers_t headers, inout metadata_t meta,
                    inout standard_metadata_t standard) {
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
        verify(headers.ipv4.header_words >= 5, error.BadIpv4HeaderLength);
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
        transition select(headers.ipv6.next_header) {
            PROTOCOL_TCP: tcp;
            PROTOCOL_UDP: udp;
            PROTOCOL_ICMPV6: icmp6;
            default: accept;
        }
    }

    state tcp {
        packet.extract(headers.ports);
        packet.extract(headers.tcp);
        transition accept;
    }

    state udp {
        packet.extract(headers.ports);
        packet.extract(headers.udp);
        transition accept;
    }

    state icmp {
        packet.extract(headers.icmp);
        transition accept;
    }

    state icmp6 {
        packet.extract(headers.icmp);
        transition select(headers.icmp.type) {
            ICMPV6_NEIGHBOR_SOLICITATION: neighbor;
            ICMPV6_NEIGHBOR_ADVERTISEMENT: neighbor;
            default: accept;
        }
    }

    // The options that may follow stay in the payload: an answer truncates them and adds its own.
    state neighbor {
        packet.extract(headers.neighbor);
        transition accept;
    }
}
