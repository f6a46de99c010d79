// Step 11. Route, next hop, port; and does the packet fit there?

// A packet that is larger than the link, or than what its tunnel carries, cannot go on: P4 does not split a payload.
// Whoever asked for that to be told is told the size that fits (RFC 1191, RFC 8201); so are all IPv6 senders.
control FitSize(in headers_t headers, inout metadata_t meta) {
    apply {
        bit<32> length;
        bit<1> tell = 1;
        if (headers.ipv4.isValid()) {
            length = (bit<32>)headers.ipv4.total_length;
            tell = headers.ipv4.dont_fragment;
        } else length = (bit<32>)headers.ipv6.payload_length + 40;

        bit<16> limit = meta.route.mtu;
        if (limit != 0) limit = limit - meta.tunnel.overhead;
        if (meta.tunnel.mtu != 0 && (limit == 0 || meta.tunnel.mtu < limit)) limit = meta.tunnel.mtu;

        if (limit != 0 && length > (bit<32>)limit) {
            meta.routed = 0;
            meta.reply.mtu = limit;
            if (tell == 1) REPLY(reply_t.PACKET_TOO_BIG, drop_t.TOO_BIG)
            else DROP(drop_t.TOO_BIG)
        }
    }
}

control Route(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    action connected() { meta.route.next_hop = meta.route.target; }
    action via(address_t gateway) { meta.route.next_hop = gateway; }

    table routes {
        key = { meta.route.target: lpm @name("destination"); }
        actions = { connected; via; NoAction; }
        default_action = NoAction;
        size = 16384;
    }

    action forward(bit<9> port, mac_t source_mac, mac_t destination_mac, bit<12> vlan) {
        standard.egress_spec = port;
        meta.route.source_mac = source_mac;
        meta.route.destination_mac = destination_mac;
        meta.route.vlan = vlan;
    }

    table neighbors {
        key = { meta.route.next_hop: exact @name("address"); }
        actions = { forward; NoAction; }
        default_action = NoAction;
        size = 65536;
    }

    action link(bit<16> mtu) { meta.route.mtu = mtu; }

    // The largest IP packet that leaves by a port (and VLAN). Without an entry nothing is too big.
    table links {
        key = {
            standard.egress_spec: exact @name("port");
            meta.route.vlan: exact @name("vlan");
        }
        actions = { link; NoAction; }
        default_action = NoAction;
        size = 4096;
    }

    FitSize() fit_size;

    apply {
        bit<8> ttl = headers.ipv4.isValid() ? headers.ipv4.ttl : headers.ipv6.hop_limit;
        if (ttl <= 1) REPLY(reply_t.TIME_EXCEEDED, drop_t.TTL_EXPIRED)
        else if (routes.apply().miss) DROP(drop_t.NO_ROUTE)
        else {
            meta.routed = 1;
            if (neighbors.apply().hit) {
                meta.fate = fate_t.SENT;
                links.apply();
                fit_size.apply(headers, meta);
            } else PUNT(punt_t.GLEAN)
        }
    }
}
