// Step 10. Not for a VIP. The answer of a nat backend gets the VIP back as its source, recognised by address,
// protocol and port alone: no connection is remembered. What keeps that sound is that nothing but answers comes from
// there: packets sent directly to such a service are refused, and health checks come from addresses of their own.

// What clients hear when they open a connection, by backend: the controller compares it with the SYNs that went
// there. A reset answers a SYN if it has sequence number 0 and an ACK (RFC 9293 3.10.7.1). One that ends a connection
// has the connection's number, and one that answers a stray ACK has the number that it asked for, and no ACK: so
// neither a client that gives up nor one that forges makes a server look as if it refused.
control CountAnswer(in headers_t headers, in backend_t backend) {
    counter(BACKENDS, CounterType.packets) backend_accepts;
    counter(BACKENDS, CounterType.packets) backend_refusals;

    apply {
        if (headers.tcp.isValid()) {
            bit<8> flags = headers.tcp.flags & TCP_HANDSHAKE_MASK;
            if (flags == TCP_SYN_ACK) backend_accepts.count((bit<32>)backend & (BACKENDS - 1));
            else if (flags == TCP_RST_ACK && headers.tcp.sequence == 0)
                backend_refusals.count((bit<32>)backend & (BACKENDS - 1));
        }
    }
}

control RestoreAnswers(inout headers_t headers, inout metadata_t meta) {
    backend_t answering = NOBODY;

    CountAnswer() count_answer;

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

    // Port 0 keeps the answer's port. The backend is nobody while it is in no other table.
    action restore(address_t address, bit<16> port, backend_t backend) {
        answering = backend;
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
            if (answer && meta.trace == 0) count_answer.apply(headers, answering);
            if (!answer) {
                bool past_the_vip = nat_services.apply().hit;
                if (!past_the_vip) past_the_vip = nat_service_ranges.apply().hit;
                if (past_the_vip) DROP(drop_t.DIRECT_TO_BACKEND)
            }
        }
    }
}
