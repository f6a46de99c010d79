// What the switch says on its own behalf about a packet: ICMP errors (RFC 792, 1812, 4443) that quote it, and TCP
// resets (RFC 9293 3.5.2). Ingress decides whether one may be sent, from which address and how often; egress builds
// it from the packet's own headers. Of the packet an error quotes the IP headers and 8 bytes, which is what RFC 792
// asks for and enough to find the socket; RFC 4443 would have more, which a switch that never looks at payloads
// cannot sum.

control Reply(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    action reply_from(bit<32> address4, address_t address6) {
        meta.reply.source = headers.ipv4.isValid() ? IPV4_MAPPED ++ address4 : address6;
    }

    // The router's addresses on the link that a packet came from, by which traceroute knows it. 0: it has none.
    table interfaces {
        key = {
            meta.port: exact @name("port");
            meta.vlan: exact @name("vlan");
        }
        actions = { reply_from; NoAction; }
        default_action = NoAction;
        size = 4096;
    }

    // In packets a second, by ingress port, so that one neighbor's noise does not silence the answers to the others.
    meter(PORTS, MeterType.packets) reply_rate;

    direct_counter(CounterType.packets_and_bytes) reply_counter;

    action time_exceeded() {}
    action packet_too_big() {}
    action unreachable() {}
    action reset() {}
    action probe_reset() {}

    table replies {
        key = { meta.reply.kind: exact @name("reply"); }
        actions = { time_exceeded; packet_too_big; unreachable; reset; probe_reset; @defaultonly NoAction; }
        const entries = {
            reply_t.TIME_EXCEEDED: time_exceeded();
            reply_t.PACKET_TOO_BIG: packet_too_big();
            reply_t.UNREACHABLE: unreachable();
            reply_t.RESET: reset();
            reply_t.PROBE_RESET: probe_reset();
        }
        const default_action = NoAction;
        counters = reply_counter;
    }

    apply {
        // What is refused at the VIP is refused by the VIP; on the way, the router speaks, or else the VIP.
        bool router = meta.reply.kind == reply_t.TIME_EXCEEDED || meta.reply.kind == reply_t.PACKET_TOO_BIG;
        if (router) interfaces.apply();
        bool addressless = meta.reply.source == 0 || meta.reply.source == IPV4_MAPPED ++ 32w0;
        if (addressless && meta.own == 1) {
            meta.reply.source = meta.route.asked;
            addressless = false;
        }

        // RFC 1122 3.2.2, RFC 4443 2.4(e): never about an error, nor about a fragment that is not the first.
        bool complaint = headers.icmp.isValid() && (headers.ipv4.isValid()
            ? headers.icmp.type != ICMP_ECHO_REQUEST && headers.icmp.type != ICMP_ECHO_REPLY
            : headers.icmp.type[7:7] == 0);
        // Nor about less than an error has to quote (RFC 792: 8 bytes): what follows is Ethernet's padding, or nothing.
        bool too_short = !headers.ports.isValid() && !headers.icmp.isValid() && !headers.other.isValid();
        if (addressless || complaint || too_short || meta.flow.later == 1) DROP(meta.reason)
        else if (meta.reply.kind != reply_t.PROBE_RESET && meta.trace == 0) {
            bit<2> color;
            reply_rate.execute_meter((bit<32>)meta.port & (PORTS - 1), color);
            if (color == METER_RED) DROP(drop_t.OVER_REPLY_RATE)
        }

        if (meta.fate == fate_t.REPLIED) {
            if (meta.trace == 0) replies.apply();
            mac_t ours = headers.ethernet.destination;
            headers.ethernet.destination = headers.ethernet.source;
            headers.ethernet.source = ours;
            standard.egress_spec = meta.port;
        }
    }
}

control BuildReply(inout headers_t headers, inout metadata_t meta) {
    apply {
        bit<32> length = headers.vlan.isValid() ? 32w18 : 32w14;
        if (meta.trace == 1) length = length + PACKET_IN_LENGTH;
        if (meta.reply.kind >= reply_t.RESET) {
            // A segment that acknowledges something is answered from there on, any other is acknowledged.
            bit<32> payload = (bit<32>)meta.flow.length - ((bit<32>)headers.tcp.data_offset << 2);
            bit<32> flags = (bit<32>)(headers.tcp.flags & TCP_FIN) + (bit<32>)((headers.tcp.flags & TCP_SYN) >> 1);
            bit<32> next = headers.tcp.sequence + payload + flags;
            if (headers.tcp.flags & TCP_ACK != 0) {
                headers.tcp.sequence = headers.tcp.acknowledgement;
                headers.tcp.acknowledgement = 0;
                headers.tcp.flags = TCP_RST;
            } else {
                headers.tcp.sequence = 0;
                headers.tcp.acknowledgement = next;
                headers.tcp.flags = TCP_RST | TCP_ACK;
            }
            headers.tcp.data_offset = 5;
            headers.tcp.reserved = 0;
            headers.tcp.window = 0;
            headers.tcp.urgent = 0;
            headers.ports.source = meta.flow.destination_port;
            headers.ports.destination = meta.flow.source_port;
            if (headers.ipv4.isValid()) {
                headers.ipv4_options.setInvalid();
                headers.ipv4.header_words = 5;
                headers.ipv4.tos = 0;
                headers.ipv4.total_length = IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH;
                headers.ipv4.identification = 0;
                headers.ipv4.dont_fragment = 1;
                headers.ipv4.more_fragments = 0;
                headers.ipv4.ttl = DEFAULT_TTL;
                headers.ipv4.source = meta.flow.destination[31:0];
                headers.ipv4.destination = meta.flow.source[31:0];
                length = length + 40;
            } else {
                headers.ipv6_extension.setInvalid();
                headers.ipv6_extension_too.setInvalid();
                headers.ipv6_fragment.setInvalid();
                headers.ipv6.traffic_class = 0;
                headers.ipv6.next_header = PROTOCOL_TCP;
                headers.ipv6.payload_length = TCP_HEADER_LENGTH;
                headers.ipv6.hop_limit = DEFAULT_TTL;
                headers.ipv6.source = meta.flow.destination;
                headers.ipv6.destination = meta.flow.source;
                length = length + 60;
            }
            meta.reply.segment = 1;
        } else if (headers.ipv4.isValid()) {
            bit<16> quoted = ((bit<16>)headers.ipv4.header_words << 2) + 8;
            headers.outer_ipv4.setValid();
            headers.outer_ipv4 = { 4, 5, INTERNETWORK_CONTROL, IPV4_HEADER_LENGTH + ICMP_HEADER_LENGTH + quoted,
                0, 0, 0, 0, 0, DEFAULT_TTL, PROTOCOL_ICMP, 0, meta.reply.source[31:0], headers.ipv4.source };
            headers.complaint.setValid();
            if (meta.reply.kind == reply_t.TIME_EXCEEDED) headers.complaint = { ICMP_TIME_EXCEEDED, 0, 0, 0 };
            else if (meta.reply.kind == reply_t.PACKET_TOO_BIG)            // RFC 1191 4
                headers.complaint = { ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED, 0, (bit<32>)meta.reply.mtu };
            else headers.complaint = { ICMP_UNREACHABLE, ICMP_PORT_UNREACHABLE, 0, 0 };
            meta.reply.complaint = 1;
            length = length + 28 + (bit<32>)quoted;
        } else {
            // All between the IPv6 header and the payload is quoted, too.
            bit<16> quoted = 48 + headers.ipv6.payload_length - meta.flow.length;
            headers.outer_ipv6.setValid();
            headers.outer_ipv6 = { 6, INTERNETWORK_CONTROL, 0, ICMP_HEADER_LENGTH + quoted,
                PROTOCOL_ICMPV6, DEFAULT_TTL, meta.reply.source, headers.ipv6.source };
            headers.complaint.setValid();
            if (meta.reply.kind == reply_t.TIME_EXCEEDED) headers.complaint = { ICMPV6_TIME_EXCEEDED, 0, 0, 0 };
            else if (meta.reply.kind == reply_t.PACKET_TOO_BIG)
                headers.complaint = { ICMPV6_TOO_BIG, 0, 0, (bit<32>)meta.reply.mtu };
            else headers.complaint = { ICMPV6_UNREACHABLE, ICMPV6_PORT_UNREACHABLE, 0, 0 };
            meta.reply.complaint = 1;
            length = length + 48 + (bit<32>)quoted;
        }
        truncate(length);
    }
}
