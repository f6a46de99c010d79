// Step 8. From the owner to a rewrite and a place to send the packet to.

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

    // A dsr backend gets the client's packet as it was, and answers the client itself.
    action hand_over() {
        meta.route.target = meta.translation.address;
    }

    apply {
        if (meta.owner == NOBODY) DROP(drop_t.NO_BACKEND)
        else if (backends.apply().hit) {
            bool mapped = meta.translation.address[127:32] == IPV4_MAPPED;
            if (mapped != headers.ipv4.isValid()) DROP(drop_t.FAMILY_MISMATCH)
            else if (meta.service.mode == mode_t.NAT && meta.translation.address == meta.flow.source) DROP(drop_t.HAIRPIN)
            else {
                if (meta.flow.syn == 1) backend_syns.count((bit<32>)meta.owner & (BACKENDS - 1));
                if (meta.service.mode == mode_t.NAT) translate();
                else hand_over();
            }
        } else if (meta.exception.found == 1) {
            // The exception names a backend that is gone. Decide afresh, with the exception erased on the way. (The
            // VIP counts the packet twice.)
            meta.gone = 1;
            meta.fate = fate_t.AGAIN;
        } else DROP(drop_t.NO_BACKEND)
    }
}
