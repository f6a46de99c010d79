// Egress. A copy of a probe order becomes a probe, from headers alone: a TCP SYN, whose sequence number is 14 bits of
// the round and the backend, or an ICMP echo request, which has 16 bits of the backend as identifier, and the round
// and the other two as sequence number. A SYN's source port follows the round: were it always the same, a backend
// that missed one RST would answer the next SYNs on that half-open connection, and not as a listener does. It follows
// the backend, too: one server may be a backend of several pools, and would take the second pool's SYN from the same
// port for a strange copy of the first.

control Probe(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    bool tcp = false;
    bool ipv6 = false;
    address_t source_address = 0;
    address_t target_address = 0;
    bit<16> target_port = 0;
    backend_t backend = NOBODY;

    action frame(mac_t source_mac, mac_t destination_mac, bit<12> vlan, address_t source, address_t destination) {
        headers.ethernet.setValid();
        headers.ethernet = { destination_mac, source_mac, 0 };
        meta.route.vlan = vlan;
        source_address = source;
        target_address = destination;
    }

    action syn(mac_t source_mac, mac_t destination_mac, bit<12> vlan, address_t source, address_t destination,
               bit<16> port) {
        frame(source_mac, destination_mac, vlan, source, destination);
        tcp = true;
        target_port = port;
    }

    action echo(mac_t source_mac, mac_t destination_mac, bit<12> vlan, address_t source, address_t destination) {
        frame(source_mac, destination_mac, vlan, source, destination);
    }

    // One entry for each backend that is probed. For dsr the destination is the VIP at the backend's MAC, which asks
    // what clients ask.
    table probe_targets {
        key = { backend: exact @name("backend"); }
        actions = { syn; echo; NoAction; }
        default_action = NoAction;
        size = BACKENDS;
    }

    apply {
        backend = meta.liveness.page ++ standard.egress_rid;
        if (probe_targets.apply().hit) {
            bit<8> protocol;
            bit<16> length;
            bit<32> frame_length;
            ipv6 = source_address[127:32] != IPV4_MAPPED;
            if (tcp) {
                headers.ports.setValid();
                bit<16> port = meta.liveness.round[15:0] + backend[15:0];
                headers.ports = { PROBE_PORTS | (port & ~PROBE_PORTS), target_port };
                headers.tcp.setValid();
                headers.tcp = { meta.liveness.round[13:0] ++ backend, 0, 5, 0, TCP_SYN, PROBE_WINDOW,
                    0, 0 };
                meta.reply.segment = 1;
                protocol = PROTOCOL_TCP;
                length = TCP_HEADER_LENGTH;
            } else {
                headers.icmp.setValid();
                headers.icmp.code = 0;
                headers.icmp.rest = backend[15:0] ++ meta.liveness.round[13:0] ++ backend[17:16];
                if (ipv6) {
                    headers.icmp.type = ICMPV6_ECHO_REQUEST;
                    protocol = PROTOCOL_ICMPV6;
                } else {
                    headers.icmp.type = ICMP_ECHO_REQUEST;
                    protocol = PROTOCOL_ICMP;
                }
                meta.reply.echo = 1;
                length = ICMP_HEADER_LENGTH;
            }
            if (ipv6) {
                headers.ipv6.setValid();
                headers.ipv6 = { 6, 0, 0, length, protocol, DEFAULT_TTL, source_address, target_address };
                headers.ethernet.type = ETHERTYPE_IPV6;
                frame_length = (bit<32>)length + 54;
            } else {
                headers.ipv4.setValid();
                headers.ipv4 = { 4, 5, 0, length + IPV4_HEADER_LENGTH, 0, 0, 1, 0, 0, DEFAULT_TTL, protocol, 0,
                    source_address[31:0], target_address[31:0] };
                headers.ethernet.type = ETHERTYPE_IPV4;
                frame_length = (bit<32>)length + 34;
            }
            if (meta.route.vlan != 0) {
                headers.vlan.setValid();
                headers.vlan = { 0, 0, meta.route.vlan, headers.ethernet.type };
                headers.ethernet.type = ETHERTYPE_VLAN;
                frame_length = frame_length + 4;
            }
            truncate(frame_length);
        } else mark_to_drop(standard);
    }
}
