// Egress. What ingress decided is done to the packet, in one place: addresses and ports with every checksum that
// covers them, one hop off the TTL, the next hop's MACs and VLAN. (Encapsulation and probe copies will stand here.)

// What the new address and the new port add to a checksum that covers them, unfolded. (Written in two branches, so
// that p4c does not put the whole sum wherever it is used.)
control MeasureTranslation(inout metadata_t meta) {
    apply {
        if (meta.translation.rewrite == rewrite_t.SOURCE) {
            meta.translation.address_change = change128(meta.flow.source, meta.translation.address);
            meta.translation.port_change = change16(meta.flow.source_port, meta.translation.port);
        } else {
            meta.translation.address_change = change128(meta.flow.destination, meta.translation.address);
            meta.translation.port_change = change16(meta.flow.destination_port, meta.translation.port);
        }
    }
}

#define ADDRESS_AND_PORT (meta.translation.address_change + meta.translation.port_change)

control Translate(inout headers_t headers, inout metadata_t meta) {
    apply {
        if (meta.translation.rewrite == rewrite_t.SOURCE) {
            if (headers.ipv4.isValid()) headers.ipv4.source = meta.translation.address[31:0];
            else headers.ipv6.source = meta.translation.address;
            if (headers.ports.isValid()) headers.ports.source = meta.translation.port;
        } else {
            if (headers.ipv4.isValid()) headers.ipv4.destination = meta.translation.address[31:0];
            else headers.ipv6.destination = meta.translation.address;
            if (headers.ports.isValid()) headers.ports.destination = meta.translation.port;
        }

        if (headers.ipv4.isValid())
            headers.ipv4.checksum = adjusted(headers.ipv4.checksum, meta.translation.address_change);
        if (headers.tcp.isValid()) headers.tcp.checksum = adjusted(headers.tcp.checksum, ADDRESS_AND_PORT);
        else if (headers.udp.isValid() && headers.udp.checksum != 0) {         // RFC 768: zero means that there is none
            headers.udp.checksum = adjusted(headers.udp.checksum, ADDRESS_AND_PORT);
            if (headers.udp.checksum == 0) headers.udp.checksum = 0xffff;
        }
    }
}

// An ICMP error quotes a packet of the other direction: what is rewritten of its flow's source is the quote's
// destination. The quoted checksums change with what they cover, and ICMP's own with all of that (RFC 5508 4.2).
control TranslateQuote(inout headers_t headers, inout metadata_t meta) {
    apply {
        address_t outer = headers.ipv6.source;
        if (headers.ipv4.isValid()) outer = IPV4_MAPPED ++ headers.ipv4.source;
        bit<1> outer_too = 1;
        if (meta.translation.rewrite == rewrite_t.SOURCE) {
            if (outer != meta.flow.source) outer_too = 0;   // a router between the backend and us keeps its address
            if (headers.quoted_ipv4.isValid()) headers.quoted_ipv4.destination = meta.translation.address[31:0];
            else headers.quoted_ipv6.destination = meta.translation.address;
            headers.quoted_ports.destination = meta.translation.port;
            if (outer_too == 1) {
                if (headers.ipv4.isValid()) headers.ipv4.source = meta.translation.address[31:0];
                else headers.ipv6.source = meta.translation.address;
            }
        } else {
            if (headers.quoted_ipv4.isValid()) headers.quoted_ipv4.source = meta.translation.address[31:0];
            else headers.quoted_ipv6.source = meta.translation.address;
            headers.quoted_ports.source = meta.translation.port;
            if (headers.ipv4.isValid()) headers.ipv4.destination = meta.translation.address[31:0];
            else headers.ipv6.destination = meta.translation.address;
        }

        bit<32> message_change = ADDRESS_AND_PORT;
        if (headers.quoted_ipv4.isValid()) {
            bit<16> before = headers.quoted_ipv4.checksum;
            headers.quoted_ipv4.checksum = adjusted(before, meta.translation.address_change);
            message_change = message_change + change16(before, headers.quoted_ipv4.checksum);
        }
        if (headers.quoted_tcp.isValid()) {
            bit<16> before = headers.quoted_tcp.checksum;
            headers.quoted_tcp.checksum = adjusted(before, ADDRESS_AND_PORT);
            message_change = message_change + change16(before, headers.quoted_tcp.checksum);
        } else if (headers.quoted_udp.isValid() && headers.quoted_udp.checksum != 0) {
            bit<16> before = headers.quoted_udp.checksum;
            headers.quoted_udp.checksum = adjusted(before, ADDRESS_AND_PORT);
            if (headers.quoted_udp.checksum == 0) headers.quoted_udp.checksum = 0xffff;
            message_change = message_change + change16(before, headers.quoted_udp.checksum);
        }
        if (outer_too == 1) {
            // ICMPv6 covers the addresses (RFC 4443 2.3), ICMP does not.
            if (headers.ipv4.isValid())
                headers.ipv4.checksum = adjusted(headers.ipv4.checksum, meta.translation.address_change);
            else message_change = message_change + meta.translation.address_change;
        }
        headers.icmp.checksum = adjusted(headers.icmp.checksum, message_change);
    }
}

control OneHop(inout headers_t headers, inout metadata_t meta) {
    apply {
        if (headers.ipv4.isValid()) {
            headers.ipv4.checksum = adjusted(headers.ipv4.checksum,
                change16(headers.ipv4.ttl ++ 8w0, (headers.ipv4.ttl - 1) ++ 8w0));
            headers.ipv4.ttl = headers.ipv4.ttl - 1;
        } else {
            headers.ipv6.hop_limit = headers.ipv6.hop_limit - 1;
        }
        headers.ethernet.source = meta.route.source_mac;
        headers.ethernet.destination = meta.route.destination_mac;

        bit<16> type = headers.vlan.isValid() ? headers.vlan.type : headers.ethernet.type;
        if (meta.route.vlan != 0) {
            if (!headers.vlan.isValid()) {
                headers.vlan.setValid();
                headers.vlan.priority = 0;
                headers.vlan.drop_eligible = 0;
            }
            headers.vlan.id = meta.route.vlan;
            headers.vlan.type = type;
            headers.ethernet.type = ETHERTYPE_VLAN;
        } else {
            headers.vlan.setInvalid();
            headers.ethernet.type = type;
        }
    }
}
