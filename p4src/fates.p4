// The two ends that are not a port: dropped, and punted to the controller. Every reason is an action in a
// table of constant entries, so each has its direct counter, and a controller that reads the table learns
// the names with the counts. No packet disappears uncounted.

enum bit<8> drop_t {
    NONE                          = 0,
    MALFORMED                     = 1,    // headers that do not fit into the packet, or contradict themselves
    BAD_IP_CHECKSUM               = 2,
    NOT_FOR_US                    = 3,    // Ethernet destination is another station
    IGNORED_MULTICAST             = 4,    // broadcast and multicast that is no question for us
    UNKNOWN_PROTOCOL              = 5,    // neither IPv4, IPv6 nor ARP
    ARP_IGNORED                   = 6,    // a request for somebody else's address
    NEIGHBOR_SOLICITATION_IGNORED = 7,    // likewise; or one that RFC 4861 7.1.1 calls invalid
    FRAGMENT                      = 8,    // whose datagram's first fragment was not seen; or of an ICMP message to us
    NO_SERVICE                    = 9,    // to an address of ours, but to no VIP
    NO_POOL                       = 10,   // the VIP's pool is not in the table
    NO_BACKEND                    = 11,   // nobody serves the flow
    HAIRPIN                       = 12,   // a nat backend was given itself
    FAMILY_MISMATCH               = 13,   // an IPv4 packet for an IPv6 nat backend, or the reverse
    DIRECT_TO_BACKEND             = 14,   // past the VIP to a nat backend's service
    TTL_EXPIRED                   = 15,   // and no ICMP error may be sent about it
    NO_ROUTE                      = 16,
    BAD_PACKET_OUT                = 17,   // an order we do not know, no port, or too short
    MARTIAN                       = 18,   // an address that must not be on a wire
    TOO_BIG                       = 19,   // for the next link or the tunnel, and may be fragmented: we cannot
    NO_TUNNEL                     = 20,   // the backend is reached by a tunnel that is not in the table
    OVER_REPLY_RATE               = 21,   // a reply of our own was due, but not at this rate
    BAD_LENGTH                    = 22,   // of UDP, or TCP's data offset, against what IP says
    BAD_FLAGS                     = 23,   // no TCP sends these together
    TTL_ZERO                      = 24,   // arrived without a hop left, which no router sends
    OWN_SOURCE                    = 25,   // to us, allegedly from us
    SOURCE_DENIED                 = 26,   // by the VIP's policy
    OVER_VIP_RATE                 = 27,   // more than the VIP's rate
    PROBE_ANSWER                  = 28    // of an echo probe: heard, and at its end
}

enum bit<8> punt_t {
    NONE                   = 0,
    ARP_REPLY              = 1,
    NEIGHBOR_ADVERTISEMENT = 2,
    GLEAN                  = 3,           // the next hop's MAC is not known yet; the packet is otherwise finished
    TUNNEL_ERROR           = 4,           // the underlay's ICMP error about a tunnel
    TRACE                  = 5            // what became of a packet that the controller asked about: trace.p4
}

#define DROP(why) { meta.fate = fate_t.DROPPED; meta.reason = (bit<8>)(why); }
// A reply of our own; where none may be sent, a drop.
#define REPLY(with, otherwise) \
    { meta.fate = fate_t.REPLIED; meta.reply.kind = with; meta.reason = (bit<8>)(otherwise); }
#define PUNT(why) { meta.fate = fate_t.PUNTED; meta.reason = (bit<8>)(why); }

control Drop(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    direct_counter(CounterType.packets_and_bytes) drop_counter;

    action malformed() {}
    action bad_ip_checksum() {}
    action not_for_us() {}
    action ignored_multicast() {}
    action unknown_protocol() {}
    action arp_ignored() {}
    action neighbor_solicitation_ignored() {}
    action fragment() {}
    action no_service() {}
    action no_pool() {}
    action no_backend() {}
    action hairpin() {}
    action family_mismatch() {}
    action direct_to_backend() {}
    action ttl_expired() {}
    action no_route() {}
    action bad_packet_out() {}
    action martian() {}
    action too_big() {}
    action no_tunnel() {}
    action over_reply_rate() {}
    action bad_length() {}
    action bad_flags() {}
    action ttl_zero() {}
    action own_source() {}
    action source_denied() {}
    action over_vip_rate() {}
    action probe_answer() {}

    table drops {
        key = { meta.reason: exact @name("reason"); }
        actions = {
            malformed; bad_ip_checksum; not_for_us; ignored_multicast; unknown_protocol; arp_ignored;
            neighbor_solicitation_ignored; fragment; no_service; no_pool; no_backend; hairpin;
            family_mismatch; direct_to_backend; ttl_expired; no_route; bad_packet_out; martian;
            too_big; no_tunnel; over_reply_rate; bad_length; bad_flags; ttl_zero; own_source; source_denied;
            over_vip_rate; probe_answer;
            @defaultonly NoAction;
        }
        const entries = {
            (bit<8>)drop_t.MALFORMED: malformed();
            (bit<8>)drop_t.BAD_IP_CHECKSUM: bad_ip_checksum();
            (bit<8>)drop_t.NOT_FOR_US: not_for_us();
            (bit<8>)drop_t.IGNORED_MULTICAST: ignored_multicast();
            (bit<8>)drop_t.UNKNOWN_PROTOCOL: unknown_protocol();
            (bit<8>)drop_t.ARP_IGNORED: arp_ignored();
            (bit<8>)drop_t.NEIGHBOR_SOLICITATION_IGNORED: neighbor_solicitation_ignored();
            (bit<8>)drop_t.FRAGMENT: fragment();
            (bit<8>)drop_t.NO_SERVICE: no_service();
            (bit<8>)drop_t.NO_POOL: no_pool();
            (bit<8>)drop_t.NO_BACKEND: no_backend();
            (bit<8>)drop_t.HAIRPIN: hairpin();
            (bit<8>)drop_t.FAMILY_MISMATCH: family_mismatch();
            (bit<8>)drop_t.DIRECT_TO_BACKEND: direct_to_backend();
            (bit<8>)drop_t.TTL_EXPIRED: ttl_expired();
            (bit<8>)drop_t.NO_ROUTE: no_route();
            (bit<8>)drop_t.BAD_PACKET_OUT: bad_packet_out();
            (bit<8>)drop_t.MARTIAN: martian();
            (bit<8>)drop_t.TOO_BIG: too_big();
            (bit<8>)drop_t.NO_TUNNEL: no_tunnel();
            (bit<8>)drop_t.OVER_REPLY_RATE: over_reply_rate();
            (bit<8>)drop_t.BAD_LENGTH: bad_length();
            (bit<8>)drop_t.BAD_FLAGS: bad_flags();
            (bit<8>)drop_t.TTL_ZERO: ttl_zero();
            (bit<8>)drop_t.OWN_SOURCE: own_source();
            (bit<8>)drop_t.SOURCE_DENIED: source_denied();
            (bit<8>)drop_t.OVER_VIP_RATE: over_vip_rate();
            (bit<8>)drop_t.PROBE_ANSWER: probe_answer();
        }
        const default_action = NoAction;
        counters = drop_counter;
    }

    apply {
        drops.apply();
        mark_to_drop(standard);
    }
}

control Punt(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    direct_counter(CounterType.packets_and_bytes) punt_counter;

    action arp_reply() {}
    action neighbor_advertisement() {}
    action glean() {}
    action tunnel_error() {}

    table punts {
        key = { meta.reason: exact @name("reason"); }
        actions = { arp_reply; neighbor_advertisement; glean; tunnel_error; @defaultonly NoAction; }
        const entries = {
            (bit<8>)punt_t.ARP_REPLY: arp_reply();
            (bit<8>)punt_t.NEIGHBOR_ADVERTISEMENT: neighbor_advertisement();
            (bit<8>)punt_t.GLEAN: glean();
            (bit<8>)punt_t.TUNNEL_ERROR: tunnel_error();
        }
        const default_action = NoAction;
        counters = punt_counter;
    }

    apply {
        punts.apply();
        headers.packet_in.setValid();
        headers.packet_in = { meta.reason, (bit<16>)meta.port, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
        standard.egress_spec = CPU_PORT;
    }
}
