// Step 9. From the owner to a rewrite and a place to send the packet to.

control ReachBackend(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    direct_counter(CounterType.packets_and_bytes) backend_counter;
    counter(BACKENDS, CounterType.packets) backend_syns;   // new connections

    action backend_address(address_t address, bit<16> port) {
        meta.translation.address = address;
        meta.translation.port = port;
    }

    table backends {
        key = { meta.owner: exact @name("backend"); }
        actions = { backend_address; NoAction; }
        default_action = NoAction;
        counters = backend_counter;
        size = BACKENDS;
    }

    // A nat backend gets packets addressed to itself. Port 0 in its entry keeps the VIP's port.
    action translate() {
        meta.translation.rewrite = rewrite_t.DESTINATION;
        meta.translation.port = meta.translation.port == 0 ? meta.flow.destination_port : meta.translation.port;
        meta.route.target = meta.translation.address;
    }

    // A dsr backend gets the client's packet as it was, and answers the client itself. So does one behind a tunnel.
    action hand_over() {
        meta.route.target = meta.translation.address;
    }

    // How a backend in one of the tunnel modes is reached; its address is the tunnel's remote end. vni and inner
    // MACs are VXLAN's. mtu: the largest packet that the tunnel carries, 0: what the link leaves.
    action tunnel(address_t source, bit<24> vni, mac_t inner_source_mac, mac_t inner_destination_mac, bit<16> mtu) {
        meta.tunnel.mode = meta.service.mode;
        meta.tunnel.source = source;
        meta.tunnel.vni = vni;
        meta.tunnel.inner_source_mac = inner_source_mac;
        meta.tunnel.inner_destination_mac = inner_destination_mac;
        meta.tunnel.mtu = mtu;
    }

    table tunnels {
        key = { meta.owner: exact @name("backend"); }
        actions = { tunnel; NoAction; }
        default_action = NoAction;
        size = BACKENDS;
    }

    action overhead(bit<16> bytes) { meta.tunnel.overhead = bytes; }

    // What each mode puts between the outer IP header and the packet. Constant: RFC 2784, RFC 7348, GUE.
    table overheads {
        key = { meta.tunnel.mode: exact @name("mode"); }
        actions = { overhead; }
        const entries = {
            mode_t.GRE: overhead(4);
            mode_t.VXLAN: overhead(8 + 8 + 14);
            mode_t.GUE: overhead(8 + 4);
        }
        const default_action = overhead(0);
    }

    apply {
        if (meta.owner == NOBODY) {
            bool silent = meta.service.refusal == refusal_t.NOTHING || meta.flow.quoted == 1;
            bool reset = meta.service.refusal == refusal_t.RESET && headers.tcp.isValid();
            if (silent || (reset && headers.tcp.flags & TCP_RST != 0)) DROP(drop_t.NO_BACKEND)
            else if (reset) REPLY(reply_t.RESET, drop_t.NO_BACKEND)
            else REPLY(reply_t.UNREACHABLE, drop_t.NO_BACKEND)
        }
        else if (backends.apply().hit) {
            bool mapped = meta.translation.address[127:32] == IPV4_MAPPED;
            bool tunnelled = meta.service.mode >= mode_t.IPIP;
            if (mapped != headers.ipv4.isValid() && !tunnelled) DROP(drop_t.FAMILY_MISMATCH)
            else if (meta.service.mode == mode_t.NAT && meta.translation.address == meta.flow.source)
                DROP(drop_t.HAIRPIN)
            else if (tunnelled && tunnels.apply().miss) DROP(drop_t.NO_TUNNEL)
            else {
                if (meta.flow.syn == 1 && meta.trace == 0) backend_syns.count((bit<32>)meta.owner & (BACKENDS - 1));
                if (meta.service.mode == mode_t.NAT) translate();
                else hand_over();
                if (tunnelled) {
                    overheads.apply();
                    bit<16> outer = IPV4_HEADER_LENGTH;
                    if (!mapped) {
                        meta.tunnel.ipv6 = 1;
                        outer = IPV6_HEADER_LENGTH;
                    }
                    meta.tunnel.overhead = meta.tunnel.overhead + outer;
                    meta.tunnel.entropy = meta.digest;
                }
            }
        } else if (meta.exception.found == 1 && meta.trace == 1) {
            meta.decision = decision_t.GONE;
            DROP(drop_t.NO_BACKEND)
        } else if (meta.exception.found == 1) {
            // The exception names a backend that is gone. Decide afresh, with the exception erased on the way. (The
            // VIP counts the packet twice.)
            meta.gone = 1;
            meta.fate = fate_t.AGAIN;
        } else DROP(drop_t.NO_BACKEND)
    }
}
