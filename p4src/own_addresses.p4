// Step 3. Answers for our own addresses, VIPs and router addresses alike: ARP (RFC 826), neighbor discovery
// (RFC 4861) and echo (RFC 792, RFC 4443), with no controller in the loop. What others answer to *our*
// questions goes to the controller, which asked them.

control OwnAddresses(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    mac_t our_mac = 0;

    action own(mac_t mac) { our_mac = mac; }
    // One of ours that probes come from.
    action prober(mac_t mac) {
        our_mac = mac;
        meta.prober = 1;
    }

    table addresses {
        key = { meta.route.asked: exact @name("address"); }
        actions = { own; prober; NoAction; }
        default_action = NoAction;
        size = 8192;
    }

    action from_us() {}

    // The same addresses, as sources of what comes to us. (On its way to somebody else such a packet may be right: a
    // dsr backend's answer comes from the VIP.)
    table own_sources {
        key = { meta.flow.source: exact @name("address"); }
        actions = { from_us; NoAction; }
        default_action = NoAction;
        size = 8192;
    }

    action back_where_it_came_from(mac_t source) {
        mac_t asker = headers.ethernet.source;
        headers.ethernet.source = source;
        headers.ethernet.destination = asker;
        standard.egress_spec = meta.port;
        meta.fate = fate_t.SENT;
    }

    action answer_arp() {
        headers.arp.operation = ARP_REPLY;
        headers.arp.target_mac = headers.arp.sender_mac;
        bit<32> asked = headers.arp.target_address;
        headers.arp.target_address = headers.arp.sender_address;
        headers.arp.sender_mac = our_mac;
        headers.arp.sender_address = asked;
        back_where_it_came_from(our_mac);
    }

    action answer_neighbor_solicitation() {
        headers.ipv6.destination = headers.ipv6.source;
        headers.ipv6.source = headers.neighbor.target;
        headers.ipv6.payload_length = 32;
        headers.icmp.type = ICMPV6_NEIGHBOR_ADVERTISEMENT;
        headers.icmp.rest = ND_ROUTER_SOLICITED_OVERRIDE;
        headers.link_layer_option.setValid();
        headers.link_layer_option = { ND_TARGET_LINK_LAYER_ADDRESS, 1, our_mac };
        meta.advertisement = 1;
        back_where_it_came_from(our_mac);
    }

    // RFC 4861 7.2.4: who asks from :: is choosing an address, and has none yet. All nodes hear that this one is
    // taken.
    action answer_address_probe() {
        answer_neighbor_solicitation();
        headers.ethernet.destination = ALL_NODES_MAC;
        headers.ipv6.destination = ALL_NODES;
        headers.icmp.rest = ND_ROUTER_OVERRIDE;
    }

    action answer_echo4() {
        bit<32> asker = headers.ipv4.source;
        headers.ipv4.source = headers.ipv4.destination;
        headers.ipv4.destination = asker;
        headers.ipv4.checksum = adjusted(headers.ipv4.checksum,
            change16(headers.ipv4.ttl ++ 8w0, DEFAULT_TTL ++ 8w0));
        headers.ipv4.ttl = DEFAULT_TTL;
        headers.icmp.checksum = adjusted(headers.icmp.checksum,
            change16(ICMP_ECHO_REQUEST ++ 8w0, ICMP_ECHO_REPLY ++ 8w0));
        headers.icmp.type = ICMP_ECHO_REPLY;
        back_where_it_came_from(headers.ethernet.destination);
    }

    action answer_echo6() {
        address_t asker = headers.ipv6.source;
        headers.ipv6.source = headers.ipv6.destination;
        headers.ipv6.destination = asker;
        headers.ipv6.hop_limit = DEFAULT_TTL;
        headers.icmp.checksum = adjusted(headers.icmp.checksum,
            change16(ICMPV6_ECHO_REQUEST ++ 8w0, ICMPV6_ECHO_REPLY ++ 8w0));
        headers.icmp.type = ICMPV6_ECHO_REPLY;
        back_where_it_came_from(headers.ethernet.destination);
    }

    apply {
        if (headers.arp.isValid()) meta.route.asked = IPV4_MAPPED ++ headers.arp.target_address;
        else if (headers.neighbor.isValid()) meta.route.asked = headers.neighbor.target;
        if (addresses.apply().hit) meta.own = 1;

        // The underlay complains about a tunnel of ours: the controller lowers its MTU, or hears what is wrong.
        bool tunnel_error = meta.quoted_protocol == PROTOCOL_IPIP || meta.quoted_protocol == PROTOCOL_IPV6
            || meta.quoted_protocol == PROTOCOL_GRE
            || (meta.quoted_protocol == PROTOCOL_UDP && headers.quoted_ports.isValid()
                && (headers.quoted_ports.destination == PORT_VXLAN || headers.quoted_ports.destination == PORT_GUE)
                && headers.quoted_ports.source & DYNAMIC_PORTS == DYNAMIC_PORTS);

        bool syn_ack = headers.tcp.isValid() && headers.tcp.flags & TCP_HANDSHAKE_MASK == TCP_SYN_ACK;
        bool echo_reply = headers.icmp.isValid()
            && headers.icmp.type == (headers.ipv4.isValid() ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY);

        if (headers.arp.isValid()) {
            bool ethernet_ipv4 = headers.arp.hardware_type == 1 && headers.arp.protocol_type == ETHERTYPE_IPV4
                && headers.arp.hardware_length == 6 && headers.arp.protocol_length == 4;
            // RFC 5227 3: an announcement is a request for the sender's own address. It tells as much as a reply.
            bool announcement = headers.arp.operation == ARP_REQUEST && meta.own == 0
                && headers.arp.sender_address == headers.arp.target_address;
            if (ethernet_ipv4 && (headers.arp.operation == ARP_REPLY || announcement)) PUNT(punt_t.ARP_REPLY)
            else if (ethernet_ipv4 && headers.arp.operation == ARP_REQUEST && meta.own == 1) answer_arp();
            else DROP(drop_t.ARP_IGNORED)
        } else if (headers.neighbor.isValid()) {
            // RFC 4861 7.1: a hop limit below 255 has crossed a router, so its sender is not on this link.
            bool valid = headers.ipv6.hop_limit == 255 && headers.icmp.code == 0;
            bool probe = headers.ipv6.source == 0;
            if (headers.icmp.type == ICMPV6_NEIGHBOR_SOLICITATION)
                valid = valid && meta.own == 1 && (!probe || headers.ipv6.destination[127:24] == SOLICITED_NODE);

            if (valid && headers.icmp.type == ICMPV6_NEIGHBOR_ADVERTISEMENT) PUNT(punt_t.NEIGHBOR_ADVERTISEMENT)
            else if (valid) {
                if (probe) answer_address_probe();
                else answer_neighbor_solicitation();
                bit<32> length = headers.vlan.isValid() ? 32w90 : 32w86;
                if (meta.trace == 1) length = length + PACKET_IN_LENGTH;
                truncate(length);
            } else DROP(drop_t.NEIGHBOR_SOLICITATION_IGNORED)
        } else if (meta.prober == 1 && syn_ack) {
            bit<32> sequence = headers.tcp.acknowledgement - 1;
            meta.liveness.backend = sequence[17:0];
            meta.liveness.echo = sequence[31:18];
            if (meta.trace == 0) meta.liveness.question = question_t.ANSWER;
            REPLY(reply_t.PROBE_RESET, drop_t.NO_SERVICE)
        } else if (meta.prober == 1 && echo_reply) {
            meta.liveness.backend = headers.icmp.rest[1:0] ++ headers.icmp.rest[31:16];
            meta.liveness.echo = headers.icmp.rest[15:2];
            if (meta.trace == 0) meta.liveness.question = question_t.ANSWER;
            DROP(drop_t.PROBE_ANSWER)
        } else if (meta.own == 1 && own_sources.apply().hit) DROP(drop_t.OWN_SOURCE)
        else if (meta.own == 1 && headers.icmp.isValid() && meta.flow.quoted == 0) {
            if (meta.flow.fragment == 1) DROP(drop_t.FRAGMENT)
            else if (headers.ipv4.isValid() && headers.icmp.type == ICMP_ECHO_REQUEST) answer_echo4();
            else if (headers.ipv6.isValid() && headers.icmp.type == ICMPV6_ECHO_REQUEST) answer_echo6();
            else if (tunnel_error) PUNT(punt_t.TUNNEL_ERROR)
            else DROP(drop_t.NO_SERVICE)
        } else if (meta.own == 1 && tunnel_error) PUNT(punt_t.TUNNEL_ERROR)
    }
}
