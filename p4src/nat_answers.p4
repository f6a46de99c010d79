// Step 10. Not for a VIP. The answer of a nat backend gets the VIP back as its source, recognised by address,
// protocol and port alone: no connection is remembered. What keeps that sound is that nothing but answers comes from
// there: packets sent directly to such a service are refused, and health checks come from addresses of their own.

control RestoreAnswers(inout headers_t headers, inout metadata_t meta) {
    action untranslated() {}

    // Addresses that health checks come from, each as a source and as a destination.
    table health_checkers {
        key = {
            meta.flow.source: ternary @name("source");
            meta.flow.destination: ternary @name("destination");
        }
        actions = { untranslated; NoAction; }
        default_action = NoAction;
        size = 64;
    }

    direct_counter(CounterType.packets_and_bytes) answer_counter;

    direct_counter(CounterType.packets_and_bytes) answer_range_counter;

    // Port 0 keeps the answer's port.
    action restore(address_t address, bit<16> port) {
        meta.translation.rewrite = rewrite_t.SOURCE;
        meta.translation.address = address;
        meta.translation.port = port == 0 ? meta.flow.source_port : port;
    }

    table nat_answers {
        key = {
            meta.flow.source: exact @name("address");
            meta.flow.protocol: exact @name("protocol");
            meta.flow.source_port: exact @name("port");
        }
        actions = { restore; NoAction; }
        default_action = NoAction;
        counters = answer_counter;
        size = BACKENDS;
    }

    // Backends of VIPs of several ports, which keep the VIP's port.
    table nat_answer_ranges {
        key = {
            meta.flow.source: exact @name("address");
            meta.flow.protocol: exact @name("protocol");
            meta.flow.source_port: range @name("port");
        }
        actions = { restore; NoAction; }
        default_action = NoAction;
        counters = answer_range_counter;
        size = 4096;
    }

    action direct() {}

    table nat_services {
        key = {
            meta.flow.destination: exact @name("address");
            meta.flow.protocol: exact @name("protocol");
            meta.flow.destination_port: exact @name("port");
        }
        actions = { direct; NoAction; }
        default_action = NoAction;
        size = BACKENDS;
    }

    table nat_service_ranges {
        key = {
            meta.flow.destination: exact @name("address");
            meta.flow.protocol: exact @name("protocol");
            meta.flow.destination_port: range @name("port");
        }
        actions = { direct; NoAction; }
        default_action = NoAction;
        size = 4096;
    }

    apply {
        if (health_checkers.apply().miss) {
            bool answer = nat_answers.apply().hit;
            if (!answer) answer = nat_answer_ranges.apply().hit;
            if (!answer) {
                bool past_the_vip = nat_services.apply().hit;
                if (!past_the_vip) past_the_vip = nat_service_ranges.apply().hit;
                if (past_the_vip) DROP(drop_t.DIRECT_TO_BACKEND)
            }
        }
    }
}
