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
        if (meta.gone == 0) {
            meta.port = standard.ingress_port;
            meta.now = standard.ingress_global_timestamp[31:18];
        }
        bool group = headers.ethernet.destination[40:40] == 1;
        bool question = headers.arp.isValid() || headers.neighbor.isValid();
        // RFC 4291 2.5.5.2: an address that stands for an IPv4 one here. In an IPv6 packet it would meet IPv4's entries.
        bool mapped = headers.ipv6.isValid() && (headers.ipv6.source[127:32] == IPV4_MAPPED
            || headers.ipv6.destination[127:32] == IPV4_MAPPED);

        if (standard.parser_error != error.NoError) DROP(drop_t.MALFORMED)
        else if (standard.checksum_error == 1) DROP(drop_t.BAD_IP_CHECKSUM)
        else if (group && !question) DROP(drop_t.IGNORED_MULTICAST)
        else if (!group && macs.apply().miss) DROP(drop_t.NOT_FOR_US)
        else if (mapped) DROP(drop_t.MARTIAN)
        else if (!question && !headers.ipv4.isValid() && !headers.ipv6.isValid()) DROP(drop_t.UNKNOWN_PROTOCOL)
    }
}

control DescribeFlow(in headers_t headers, inout metadata_t meta) {
    apply {
        if (headers.ipv4.isValid()) {
            meta.flow.source = IPV4_MAPPED ++ headers.ipv4.source;
            meta.flow.destination = IPV4_MAPPED ++ headers.ipv4.destination;
            meta.flow.protocol = headers.ipv4.protocol;
            meta.flow.fragment = headers.ipv4.more_fragments;
            if (headers.ipv4.fragment_offset != 0) meta.flow.fragment = 1;
        } else if (headers.ipv6.isValid()) {
            meta.flow.source = headers.ipv6.source;
            meta.flow.destination = headers.ipv6.destination;
            meta.flow.protocol = headers.ipv6.next_header;
            if (headers.ipv6.next_header == PROTOCOL_IPV6_FRAGMENT) meta.flow.fragment = 1;
        }
        if (headers.ports.isValid()) {
            meta.flow.source_port = headers.ports.source;
            meta.flow.destination_port = headers.ports.destination;
        }
        if (headers.tcp.isValid()) {
            meta.flow.tcp = 1;
            if (headers.tcp.flags & TCP_HANDSHAKE_MASK == TCP_SYN) meta.flow.syn = 1;
            if (headers.tcp.flags & TCP_FIN_RST != 0) meta.flow.closing = 1;
        }
    }
}
