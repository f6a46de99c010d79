// Step 8. Fragments follow their first one, which alone holds ports. What is remembered of it is what the later ones
// need: towards a backend the owner and the mode, from a nat backend the port that it answered from. A later
// fragment whose first was not seen (it came out of order, or was dropped) is dropped and counted. Slots, one for
// each hash of a datagram:
//
//     63                   34 33            16 15    12 11        0
//     [ the datagram's digest | owner or port  | mode   | tick     ]      mode NONE: of a nat backend's answer
//
// A newer datagram takes the slot of an older one: datagrams live for milliseconds on the way through.

control Fragments(in headers_t headers, inout metadata_t meta) {
    register<bit<64>>(FRAGMENT_SLOTS) slots;

    action translated() {}

    // Addresses of nat backends: what they send in fragments must not leave with their own address on it.
    table nat_hosts {
        key = { meta.flow.source: exact @name("address"); }
        actions = { translated; NoAction; }
        default_action = NoAction;
        size = BACKENDS;
    }

    apply {
        bool forward = meta.service.mode != mode_t.NONE || meta.own == 1;
        bool concerned = forward;
        if (!forward) concerned = nat_hosts.apply().hit;

        if (concerned) {
            bit<32> identification = headers.ipv6_fragment.identification;
            if (headers.ipv4.isValid()) identification = (bit<32>)headers.ipv4.identification;
            bit<32> datagram;
            bit<32> place;
            hash(datagram, HashAlgorithm.crc32, 32w0,
                { meta.flow.source, meta.flow.destination, meta.flow.protocol, identification }, 64w0x100000000);
            hash(place, HashAlgorithm.crc32, 32w0,
                { identification, meta.flow.destination, meta.flow.source, meta.flow.protocol }, 64w0x100000000);
            bit<32> index = place & (FRAGMENT_SLOTS - 1);

            bit<64> slot;
            slots.read(slot, index);
            bit<12> age = meta.now[11:0] - slot[11:0];
            if (meta.flow.later == 0 && meta.trace == 0) {
                bit<18> value = forward ? meta.owner : 2w0 ++ meta.flow.source_port;
                bit<8> mode = meta.service.mode;
                slot = datagram[29:0] ++ value ++ mode[3:0] ++ meta.now[11:0];
            } else if (meta.flow.later == 1 && slot != 0 && slot[63:34] == datagram[29:0] && age <= FRAGMENT_TICKS) {
                meta.owner = slot[33:16];
                meta.service.mode = (mode_t)((bit<8>)slot[15:12]);
                meta.digest = datagram;
                if (forward) meta.decision = decision_t.FRAGMENT;
                if (!forward) meta.flow.source_port = slot[31:16];
            } else if (meta.flow.later == 1) DROP(drop_t.FRAGMENT)
            slots.write(index, slot);
        }
    }
}
