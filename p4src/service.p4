// Steps 4 and 6. Which VIP is it, which pool serves that, which bucket of the pool, and who owns the bucket.

control FindService(inout headers_t headers, inout metadata_t meta) {
    direct_counter(CounterType.packets_and_bytes) vip_counter;

    direct_counter(CounterType.packets_and_bytes) vip_range_counter;

    // vip: a number for the VIP, of its sources and its meter. The masks say what of a client makes it the same
    // client to the hash: all ones for the five-tuple; ports 0 for a client's address; a prefix of the source for
    // networks (of IPv4, behind 96 ones). refusal: what is said when nobody serves.
    action serve(vip_t vip, pool_t pool, address_t source_mask, bit<16> port_mask, refusal_t refusal) {
        meta.service.vip = vip;
        meta.service.pool = pool;
        meta.service.source_mask = source_mask;
        meta.service.port_mask = port_mask;
        meta.service.refusal = refusal;
    }

    table vips {
        key = {
            meta.flow.destination: exact @name("address");
            meta.flow.protocol: exact @name("protocol");
            meta.flow.destination_port: exact @name("port");
        }
        actions = { serve; NoAction; }
        default_action = NoAction;
        counters = vip_counter;
        size = VIPS;
    }

    // VIPs of several ports, or of any. One of a single port goes before.
    table vip_ranges {
        key = {
            meta.flow.destination: exact @name("address");
            meta.flow.protocol: exact @name("protocol");
            meta.flow.destination_port: range @name("port");
        }
        actions = { serve; NoAction; }
        default_action = NoAction;
        counters = vip_range_counter;
        size = 1024;
    }

    // idle: how long, in ticks, a flow may be silent and still be taken for alive; at most half the clock's turn.
    action pool_settings(mode_t mode, bit<16> mask, tick_t idle, bit<1> udp_move) {
        meta.service.mode = mode;
        meta.service.bucket_mask = mask;
        meta.service.idle = idle;
        meta.service.udp_move = udp_move;
    }

    table pools {
        key = { meta.service.pool: exact @name("pool"); }
        actions = { pool_settings; NoAction; }
        default_action = NoAction;
        size = POOLS;
    }

    apply {
        // A later fragment has no port to find its VIP by.
        if (meta.flow.later == 0) {
            bool found = vips.apply().hit;
            if (!found) found = vip_ranges.apply().hit;
            if (found) {
                if (pools.apply().miss) DROP(drop_t.NO_POOL)
            } else if (meta.own == 1) DROP(drop_t.NO_SERVICE)
        }
    }
}

control FindBucket(inout metadata_t meta) {
    // Settled: previous == current. Moving: new flows go to current, those that began earlier stay at previous,
    // and `motion` names the bucket's counters. One write of the entry moves the bucket. The standby takes the
    // new flows of a backend that is suspected dead; announced means that a planned move is near.
    action owners(backend_t current, backend_t previous, backend_t standby, bit<1> announced, motion_t motion) {
        meta.service.current = current;
        meta.service.previous = previous;
        meta.service.standby = standby;
        meta.service.announced = announced;
        meta.service.motion = motion;
    }

    table buckets {
        key = {
            meta.service.pool: exact @name("pool");
            meta.service.bucket: exact @name("bucket");
        }
        actions = { owners; }
        default_action = owners(NOBODY, NOBODY, NOBODY, 0, 0);
        size = BUCKETS;
    }

    apply {
        // Three functions of the flow: the order of the fields differs, and the pool is in the digest. The first
        // picks the bucket, and looks at the fields through the VIP's masks. The second picks the places of an
        // exception, the third tells the flows apart that share a place. (Were the bucket's function the second one,
        // too, the flows of a moving bucket would crowd in a few places.)
        hash(meta.hash, HashAlgorithm.crc32, 32w0,
            { meta.flow.destination_port & meta.service.port_mask, meta.flow.source_port & meta.service.port_mask,
              meta.flow.destination, meta.flow.source & meta.service.source_mask, meta.flow.protocol },
            64w0x100000000);
        hash(meta.places, HashAlgorithm.crc32, 32w0,
            { meta.flow.source_port, meta.flow.source, meta.flow.destination_port, meta.flow.destination,
              meta.flow.protocol }, 64w0x100000000);
        hash(meta.digest, HashAlgorithm.crc32, 32w0,
            { meta.service.pool, meta.flow.source, meta.flow.destination, meta.flow.protocol,
              meta.flow.source_port, meta.flow.destination_port }, 64w0x100000000);
        meta.service.bucket = meta.hash[15:0] & meta.service.bucket_mask;
        buckets.apply();
        if (meta.flow.syn == 1 || (meta.service.udp_move == 1 && meta.flow.tcp == 0))
            meta.liveness.question = question_t.PICK;
    }
}
