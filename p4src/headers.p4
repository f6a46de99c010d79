// What can be on the wire, in the order in which it can be there.

// ---- between the switch and its controller (P4Runtime packet-in and packet-out)

@controller_header("packet_in")
header packet_in_t {
    bit<8>  reason;                  // a punt_t
    bit<16> ingress_port;
    // What follows is told of a traced packet, and 0 for others.
    bit<8>  fate;                    // a fate_t
    bit<8>  why;                     // the drop_t or punt_t that goes with it
    bit<8>  reply;                   // a reply_t
    bit<16> egress_port;
    bit<16> vip;
    bit<16> pool;
    bit<16> bucket;
    bit<18> owner;
    bit<14> silent;                  // ticks since the exception's last packet
    bit<8>  decision;                // a decision_t: why this owner
    bit<4>  unused;
    bit<1>  recorded;                // the flow would be recorded as an exception
    bit<1>  closing;                 // the flow's exception saw a FIN or RST
    bit<1>  confirmed;               // ... and more than a SYN
    bit<1>  known;                   // the flow has an exception
}

@controller_header("packet_out")
header packet_out_t {
    bit<8>  order;                   // an order_t
    bit<16> port;                    // to send out of, to have come from, or the multicast group to probe
}

// ---- layer 2

header ethernet_t {
    bit<48> destination;
    bit<48> source;
    bit<16> type;
}

header vlan_t {
    bit<3>  priority;
    bit<1>  drop_eligible;
    bit<12> id;
    bit<16> type;
}

header arp_t {                       // RFC 826, Ethernet and IPv4
    bit<16> hardware_type;
    bit<16> protocol_type;
    bit<8>  hardware_length;
    bit<8>  protocol_length;
    bit<16> operation;
    bit<48> sender_mac;
    bit<32> sender_address;
    bit<48> target_mac;
    bit<32> target_address;
}

// ---- layer 3

header ipv4_t {
    bit<4>  version;
    bit<4>  header_words;
    bit<8>  tos;
    bit<16> total_length;
    bit<16> identification;
    bit<1>  reserved;
    bit<1>  dont_fragment;
    bit<1>  more_fragments;
    bit<13> fragment_offset;
    bit<8>  ttl;
    bit<8>  protocol;
    bit<16> checksum;
    bit<32> source;
    bit<32> destination;
}

header ipv4_options_t {
    varbit<320> data;
}

header ipv6_t {
    bit<4>   version;
    bit<8>   traffic_class;
    bit<20>  flow_label;
    bit<16>  payload_length;
    bit<8>   next_header;
    bit<8>   hop_limit;
    bit<128> source;
    bit<128> destination;
}

// Hop-by-hop options, routing and destination options (RFC 8200 4.3, 4.4, 4.6) are laid out alike.
header ipv6_extension_t {
    bit<8>      next_header;
    bit<8>      length;              // in units of 8 bytes, without the first
    bit<48>     data;
    varbit<448> more;
}

header ipv6_fragment_t {             // RFC 8200 4.5
    bit<8>  next_header;
    bit<8>  reserved;
    bit<13> fragment_offset;
    bit<2>  reserved_too;
    bit<1>  more_fragments;
    bit<32> identification;
}

// ---- layer 4. TCP and UDP begin alike, so their ports are one header.

header ports_t {
    bit<16> source;
    bit<16> destination;
}

header tcp_t {
    bit<32> sequence;
    bit<32> acknowledgement;
    bit<4>  data_offset;
    bit<4>  reserved;
    bit<8>  flags;
    bit<16> window;
    bit<16> checksum;
    bit<16> urgent;
}

header udp_t {
    bit<16> length;
    bit<16> checksum;
}

header icmp_t {                      // the part that ICMP and ICMPv6 share
    bit<8>  type;
    bit<8>  code;
    bit<16> checksum;
    bit<32> rest;                    // echo: identifier and sequence number; errors: the MTU; neighbors: flags
}

header other_t {                     // any other protocol: as much as an ICMP error must quote
    bit<64> beginning;
}

header neighbor_t {                  // RFC 4861 4.3 and 4.4: solicitation and advertisement, after the flags
    bit<128> target;
}

header link_layer_option_t {         // RFC 4861 4.6.1
    bit<8>  type;
    bit<8>  length;
    bit<48> mac;
}

// ---- tunnels

header gre_t {                       // RFC 2784, without its options
    bit<16> flags_and_version;
    bit<16> protocol_type;
}

header vxlan_t {                     // RFC 7348 5
    bit<8>  flags;
    bit<24> reserved;
    bit<24> vni;
    bit<8>  reserved_too;
}

header gue_t {                       // draft-ietf-intarea-gue, variant 0, as Linux has it (struct guehdr)
    bit<2>  version;
    bit<1>  message;                 // a control message, not a packet
    bit<5>  length;                  // of the optional fields, in units of 4 bytes
    bit<8>  protocol;
    bit<16> flags;
}

struct headers_t {
    packet_in_t         packet_in;
    packet_out_t        packet_out;
    ethernet_t          ethernet;
    vlan_t              vlan;
    arp_t               arp;
    // Put around the packet in egress: a tunnel, or an ICMP error of our own that quotes it.
    ipv4_t              outer_ipv4;
    ipv6_t              outer_ipv6;
    ports_t             outer_ports;
    udp_t               outer_udp;
    gre_t               gre;
    vxlan_t             vxlan;
    gue_t               gue;
    ethernet_t          inner_ethernet;
    icmp_t              complaint;
    // The packet.
    ipv4_t              ipv4;
    ipv4_options_t      ipv4_options;
    ipv6_t              ipv6;
    ipv6_extension_t    ipv6_extension;
    ipv6_extension_t    ipv6_extension_too;
    ipv6_fragment_t     ipv6_fragment;
    ports_t             ports;
    tcp_t               tcp;
    udp_t               udp;
    icmp_t              icmp;
    other_t             other;
    neighbor_t          neighbor;
    link_layer_option_t link_layer_option;
    // The packet that an ICMP error quotes.
    ipv4_t              quoted_ipv4;
    ipv4_options_t      quoted_ipv4_options;
    ipv6_t              quoted_ipv6;
    ipv6_fragment_t     quoted_ipv6_fragment;
    ports_t             quoted_ports;
    tcp_t               quoted_tcp;
    udp_t               quoted_udp;
}
