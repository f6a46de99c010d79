// Step 1, continued. Is the packet whole, and meant for us? Then what it is, in one form for both families.

control Admission(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    action ours() {}

    // MACs that this switch answers to. One entry for each router MAC in the controller's configuration.
    table macs {
        key = { headers.ethernet.destination: exact @name("mac"); }
        actions = { ours; NoAction; }
        default_action = NoAction;
        size = 64;
    }

    apply {
        if (meta.gone == 0 && meta.trace == 0) {
            meta.port = standard.ingress_port;
            meta.now = standard.ingress_global_timestamp[31:18];
        }
        if (headers.vlan.isValid()) meta.vlan = headers.vlan.id;
        bool group = headers.ethernet.destination[40:40] == 1;
        bool question = headers.arp.isValid() || headers.neighbor.isValid();

        // RFC 4291 2.5.5.2: an address that stands for an IPv4 one here. In an IPv6 packet it would meet IPv4's
        // entries.
        bool mapped = headers.ipv6.isValid() && (headers.ipv6.source[127:32] == IPV4_MAPPED
            || headers.ipv6.destination[127:32] == IPV4_MAPPED);

        // Sources that nobody has (RFC 1122 3.2.1.3, RFC 4291 2.5.2, 2.5.3, 2.7).
        bit<8> octet = headers.ipv4.source[31:24];
        bool nobodys = headers.ipv4.isValid() && (octet == 0 || octet == LOOPBACK || octet >= CLASS_D);
        if (headers.ipv6.isValid() && !question)
            nobodys = headers.ipv6.source == 0 || headers.ipv6.source == IPV6_LOOPBACK
                || headers.ipv6.source[127:120] == IPV6_MULTICAST;

        bool last_hop = headers.ipv4.isValid() && headers.ipv4.ttl == 0
            || headers.ipv6.isValid() && headers.ipv6.hop_limit == 0;

        // A first fragment holds the transport header, but less than that says.
        bool fragment = headers.ipv4.isValid() && headers.ipv4.more_fragments == 1
            || headers.ipv6_fragment.isValid() && headers.ipv6_fragment.more_fragments == 1;
        bool bad_length = false;
        if (headers.udp.isValid())
            bad_length = headers.udp.length < UDP_HEADER_LENGTH || (!fragment && headers.udp.length > meta.flow.length);
        else if (headers.tcp.isValid())
            bad_length = headers.tcp.data_offset < 5
                || (!fragment && (bit<16>)headers.tcp.data_offset << 2 > meta.flow.length);

        // What RFC 9293 knows: a SYN, its answer, a reset with or without, and everything else with an ACK.
        bit<8> flags = headers.tcp.flags & TCP_HANDSHAKE_MASK;
        bool possible = flags == TCP_ACK || flags == TCP_SYN || flags == TCP_SYN_ACK || flags == TCP_FIN_ACK
            || flags == TCP_RST || flags == TCP_RST_ACK;

        if (standard.parser_error != error.NoError) DROP(drop_t.MALFORMED)
        else if (standard.checksum_error == 1) DROP(drop_t.BAD_IP_CHECKSUM)
        else if (group && !question) DROP(drop_t.IGNORED_MULTICAST)
        else if (!group && macs.apply().miss) DROP(drop_t.NOT_FOR_US)
        else if (mapped || nobodys) DROP(drop_t.MARTIAN)
        else if (!question && !headers.ipv4.isValid() && !headers.ipv6.isValid()) DROP(drop_t.UNKNOWN_PROTOCOL)
        else if (last_hop) DROP(drop_t.TTL_ZERO)
        else if (bad_length) DROP(drop_t.BAD_LENGTH)
        else if (headers.tcp.isValid() && !possible) DROP(drop_t.BAD_FLAGS)
    }
}

control DescribeFlow(in headers_t headers, inout metadata_t meta) {
    apply {
        if (headers.ipv4.isValid()) {
            meta.flow.source = IPV4_MAPPED ++ headers.ipv4.source;
            meta.flow.destination = IPV4_MAPPED ++ headers.ipv4.destination;
            meta.flow.fragment = headers.ipv4.more_fragments;
            if (headers.ipv4.fragment_offset != 0) {
                meta.flow.fragment = 1;
                meta.flow.later = 1;
            }
        } else if (headers.ipv6.isValid()) {
            meta.flow.source = headers.ipv6.source;
            meta.flow.destination = headers.ipv6.destination;
            // A datagram may be in a single fragment (RFC 6946): that is no fragment to us.
            meta.flow.fragment = headers.ipv6_fragment.isValid() ? headers.ipv6_fragment.more_fragments : 0;
            if (headers.ipv6_fragment.isValid() && headers.ipv6_fragment.fragment_offset != 0) {
                meta.flow.fragment = 1;
                meta.flow.later = 1;
            }
        }
        meta.route.asked = meta.flow.destination;
        meta.route.target = meta.flow.destination;
        if (headers.ports.isValid()) {
            meta.flow.source_port = headers.ports.source;
            meta.flow.destination_port = headers.ports.destination;
        }
        if (headers.tcp.isValid()) {
            meta.flow.tcp = 1;
            if (headers.tcp.flags & TCP_HANDSHAKE_MASK == TCP_SYN) meta.flow.syn = 1;
            if (headers.tcp.flags & TCP_FIN_RST != 0) meta.flow.closing = 1;
        }

        // An ICMP error goes where the packets come from that it is about. Hence it belongs to the flow of the
        // answers to them: what it quotes, the other way round. (A quote of somebody else's packet says nothing.)
        if (headers.quoted_ports.isValid()) {
            address_t quoted_source = headers.quoted_ipv6.source;
            address_t quoted_destination = headers.quoted_ipv6.destination;
            if (headers.quoted_ipv4.isValid()) {
                quoted_source = IPV4_MAPPED ++ headers.quoted_ipv4.source;
                quoted_destination = IPV4_MAPPED ++ headers.quoted_ipv4.destination;
            }
            if (quoted_source == meta.flow.destination) {
                meta.flow.quoted = 1;
                meta.flow.source = quoted_destination;
                meta.flow.protocol = meta.quoted_protocol;
                meta.flow.source_port = headers.quoted_ports.destination;
                meta.flow.destination_port = headers.quoted_ports.source;
                if (meta.quoted_protocol == PROTOCOL_TCP) meta.flow.tcp = 1;
            }
        }
    }
}
