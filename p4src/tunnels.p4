// Egress. What goes to a backend by tunnel gets its outer headers: IPv4 or IPv6 inside either of them.
//
//     ipip     [outer IP                       ][packet]     RFC 2003, RFC 2473
//     gre      [outer IP][GRE                  ][packet]     RFC 2784
//     vxlan    [outer IP][UDP][VXLAN][Ethernet ][packet]     RFC 7348
//     gue      [outer IP][UDP][GUE             ][packet]     draft-ietf-intarea-gue, as Linux's FOU/GUE
//
// The packet inside has lost one hop, as any that is forwarded (RFC 2003 3.1); outside the TTL begins anew. DSCP and
// ECN are copied outside (RFC 6040 4.1, normal mode: CE is copied, too). The outer header says don't fragment: a
// fragment's identification would have to be unique, and a full-size packet that meets a smaller link should be
// heard of (RFC 6864: such a datagram's identification is 0). The outer UDP checksum is 0: over IPv4 anybody may
// (RFC 768), over IPv6 tunnels may (RFC 6935, RFC 6936), and the payload is never summed here. UDP source port and
// IPv6 flow label are the flow's, so that the underlay spreads flows and keeps each in order (RFC 7348 5, RFC 6438).

control Encapsulate(inout headers_t headers, inout metadata_t meta) {
    apply {
        bit<16> length;
        bit<8> tos;
        bit<8> inner_protocol;
        bit<16> inner_type;
        if (headers.ipv4.isValid()) {
            length = headers.ipv4.total_length;
            tos = headers.ipv4.tos;
            inner_protocol = PROTOCOL_IPIP;
            inner_type = ETHERTYPE_IPV4;
        } else {
            length = headers.ipv6.payload_length + IPV6_HEADER_LENGTH;
            tos = headers.ipv6.traffic_class;
            inner_protocol = PROTOCOL_IPV6;
            inner_type = ETHERTYPE_IPV6;
        }

        bit<8> protocol = inner_protocol;
        bit<16> port = PORT_VXLAN;
        if (meta.tunnel.mode == mode_t.GRE) {
            headers.gre.setValid();
            headers.gre = { 0, inner_type };
            protocol = PROTOCOL_GRE;
        } else if (meta.tunnel.mode == mode_t.VXLAN) {
            headers.inner_ethernet.setValid();
            headers.inner_ethernet = { meta.tunnel.inner_destination_mac, meta.tunnel.inner_source_mac, inner_type };
            headers.vxlan.setValid();
            headers.vxlan = { VXLAN_VNI_PRESENT, 0, meta.tunnel.vni, 0 };
            protocol = PROTOCOL_UDP;
        } else if (meta.tunnel.mode == mode_t.GUE) {
            headers.gue.setValid();
            headers.gue = { 0, 0, 0, inner_protocol, 0 };
            protocol = PROTOCOL_UDP;
            port = PORT_GUE;
        }
        length = length + meta.tunnel.overhead;

        bit<16> outer = meta.tunnel.ipv6 == 1 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
        if (protocol == PROTOCOL_UDP) {
            headers.outer_ports.setValid();
            headers.outer_ports = { DYNAMIC_PORTS | (meta.tunnel.entropy[15:0] & ~DYNAMIC_PORTS), port };
            headers.outer_udp.setValid();
            headers.outer_udp = { length - outer, 0 };
        }
        bit<16> outer_type;
        if (meta.tunnel.ipv6 == 1) {
            headers.outer_ipv6.setValid();
            headers.outer_ipv6 = { 6, tos, meta.tunnel.entropy[19:0], length - outer, protocol, DEFAULT_TTL,
                meta.tunnel.source, meta.translation.address };
            outer_type = ETHERTYPE_IPV6;
        } else {
            headers.outer_ipv4.setValid();
            headers.outer_ipv4 = { 4, 5, tos, length, 0, 0, 1, 0, 0, DEFAULT_TTL, protocol, 0,
                meta.tunnel.source[31:0], meta.translation.address[31:0] };
            outer_type = ETHERTYPE_IPV4;
        }
        if (headers.vlan.isValid()) headers.vlan.type = outer_type;
        else headers.ethernet.type = outer_type;
    }
}
