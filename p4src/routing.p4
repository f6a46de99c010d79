// Step 10. Route, next hop, port. (The check against the next hop's MTU will stand here.)

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

    apply {
        bit<8> ttl = headers.ipv4.isValid() ? headers.ipv4.ttl : headers.ipv6.hop_limit;
        if (ttl <= 1) DROP(drop_t.TTL_EXPIRED)
        else if (routes.apply().miss) DROP(drop_t.NO_ROUTE)
        else {
            meta.routed = 1;
            if (neighbors.apply().hit) meta.fate = fate_t.SENT;
            else PUNT(punt_t.GLEAN)
        }
    }
}
