// Step 5. May this client use this VIP, and how much of it?

control Policy(inout metadata_t meta) {
    direct_counter(CounterType.packets_and_bytes) source_counter;

    action allow() {}
    action deny() { meta.fate = fate_t.DROPPED; }

    // Source prefixes of a VIP, the longest decides; whom none covers may. So a VIP for a few has a prefix of length
    // 0 (or ::ffff:0:0/96 for IPv4) that denies. For the answers to an ICMP error the client is whom the quote names.
    table sources {
        key = {
            meta.service.vip: exact @name("vip");
            meta.flow.source: lpm @name("source");
        }
        actions = { allow; deny; NoAction; }
        default_action = NoAction;
        counters = source_counter;
        size = 65536;
    }

    // In packets a second, by VIP. A cell that was never written lets everything pass.
    meter(VIPS, MeterType.packets) vip_rate;

    apply {
        sources.apply();
        if (meta.fate == fate_t.DROPPED) DROP(drop_t.SOURCE_DENIED)
        else if (meta.trace == 0 && meta.gone == 0) {           // counted once, though decided afresh
            bit<2> color;
            vip_rate.execute_meter((bit<32>)meta.service.vip & (VIPS - 1), color);
            if (color == METER_RED) DROP(drop_t.OVER_VIP_RATE)
        }
    }
}
