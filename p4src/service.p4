// Steps 5 and 6. Which VIP is it, which pool serves that, which bucket of the pool, and who owns the bucket.

control FindService(inout headers_t headers, inout metadata_t meta) {
    direct_counter(CounterType.packets_and_bytes) vip_counter;

    action serve(pool_t pool) { meta.service.pool = pool; }

    table vips {
        key = {
            meta.flow.destination: exact @name("address");
            meta.flow.protocol: exact @name("protocol");
            meta.flow.destination_port: exact @name("port");
        }
        actions = { serve; NoAction; }
        default_action = NoAction;
        counters = vip_counter;
        size = 8192;
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
        if (meta.flow.later == 1) {}
        else if (vips.apply().hit) {
            if (pools.apply().miss) DROP(drop_t.NO_POOL)
        } else if (meta.own == 1) DROP(drop_t.NO_SERVICE)
    }
}

control FindBucket(inout metadata_t meta) {
    bit<16> bucket = 0;

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
            bucket: exact @name("bucket");
        }
        actions = { owners; }
        default_action = owners(NOBODY, NOBODY, NOBODY, 0, 0);
        size = BUCKETS;
    }

    apply {
        // Two functions of the same fields: the order differs, and the pool is in the digest. The first picks the
        // bucket and the places of an exception, the second tells the flows apart that share a place.
        hash(meta.hash, HashAlgorithm.crc32, 32w0,
            { meta.flow.destination_port, meta.flow.source_port, meta.flow.destination, meta.flow.source,
              meta.flow.protocol }, 64w0x100000000);
        hash(meta.digest, HashAlgorithm.crc32, 32w0,
            { meta.service.pool, meta.flow.source, meta.flow.destination, meta.flow.protocol,
              meta.flow.source_port, meta.flow.destination_port }, 64w0x100000000);
        bucket = meta.hash[15:0] & meta.service.bucket_mask;
        buckets.apply();
    }
}
