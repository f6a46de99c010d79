// Step 10. Not for a VIP. The answer of a nat backend gets the VIP back as its source, recognised by address, protocol
// and port alone: no connection is remembered. What keeps that sound is that nothing but answers comes from there:
// packets sent directly to such a service are refused, and health checks come from addresses of their own.

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

    action restore(address_t address, bit<16> port) {
        meta.translation.rewrite = rewrite_t.SOURCE;
        meta.translation.address = address;
        meta.translation.port = port;
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

    apply {
        if (health_checkers.apply().miss) {
            if (nat_answers.apply().miss) {
                if (nat_services.apply().hit) DROP(drop_t.DIRECT_TO_BACKEND)
            }
        }
    }
}
