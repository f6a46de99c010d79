// Egress. What ingress decided is done to the packet, in one place: addresses and ports with every checksum that
// covers them, one hop off the TTL, the next hop's MACs and VLAN. (Encapsulation and probe copies will stand here.)

control Translate(inout headers_t headers, inout metadata_t meta) {
    apply {
        bit<32> address_change;          // what the new address adds to a checksum, unfolded
        bit<32> port_change;
        if (meta.translation.rewrite == rewrite_t.SOURCE) {
            address_change = change128(meta.flow.source, meta.translation.address);
            port_change = change16(meta.flow.source_port, meta.translation.port);
            if (headers.ipv4.isValid()) headers.ipv4.source = meta.translation.address[31:0];
            else headers.ipv6.source = meta.translation.address;
            headers.ports.source = meta.translation.port;
        } else {
            address_change = change128(meta.flow.destination, meta.translation.address);
            port_change = change16(meta.flow.destination_port, meta.translation.port);
            if (headers.ipv4.isValid()) headers.ipv4.destination = meta.translation.address[31:0];
            else headers.ipv6.destination = meta.translation.address;
            headers.ports.destination = meta.translation.port;
        }

        if (headers.ipv4.isValid())
            headers.ipv4.checksum = adjusted(headers.ipv4.checksum, address_change);
        if (headers.tcp.isValid())
            headers.tcp.checksum = adjusted(headers.tcp.checksum, address_change + port_change);
        else if (headers.udp.isValid() && headers.udp.checksum != 0) {           // RFC 768: zero means that there is none
            headers.udp.checksum = adjusted(headers.udp.checksum, address_change + port_change);
            if (headers.udp.checksum == 0) headers.udp.checksum = 0xffff;
        }
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
            headers.vlan.setValid();
            headers.vlan.id = meta.route.vlan;
            headers.vlan.type = type;
            headers.ethernet.type = ETHERTYPE_VLAN;
        } else {
            headers.vlan.setInvalid();
            headers.ethernet.type = type;
        }
    }
}
