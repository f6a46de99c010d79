// Step 7. The owner of a flow.
//
//     A packet goes to the owner that its exception names. Without one, a SYN whose pick is not `previous` is
//     recorded as an exception with that pick. Everything that is not recorded goes to `previous`.
//
// So a settled bucket needs no state, and a moving one needs some only for flows that begin while it moves. A flow
// that finds no room stays with `previous`, where all its packets go: it does not move, and does not break.
//
// The table is three ways, each a register array that a packet reads once and writes once. A slot:
//
//     63                   34 33           16  15   14   13        0
//     [ digest                | owner         | cl | co | last tick ]      cl: closing, co: confirmed
//
// One access to each way cannot know what a later way holds. Hence: a flow is put into the first way with room, and
// the *last* way that knows the flow decides. (A copy in an earlier way is then refreshed and erased with it.)
//
// A slot is free once its flow was silent for the idle timeout, or for 15 s while only a SYN was seen, so that a
// flood frees what it took. A SYN on a closing exception is a new flow. A false match takes the same digest in the
// same slot: about three flows in 10^9, not never.

control ExceptionWay(inout exception_t exception, in bit<32> place) {
    register<bit<64>>(EXCEPTION_SLOTS) slots;

    apply {
        bit<32> index = place & (EXCEPTION_SLOTS - 1);
        bit<64> slot;
        slots.read(slot, index);
        bit<64> was = slot;

        bool taken = slot[33:16] != NOBODY;
        bool known = taken && slot[63:34] == exception.digest;
        bool confirmed = slot[14:14] == 1;
        tick_t silent = exception.now - slot[13:0];
        bool expired = confirmed ? silent > exception.idle : silent > EMBRYONIC_TICKS;
        bool over = expired || (known && (exception.gone == 1 || (exception.syn == 1 && slot[15:15] == 1)));

        if (exception.scrub == 1) {
            if (expired) slot = 0;
        } else if (known && !over) {
            exception.found = 1;
            exception.owner = slot[33:16];
            exception.was_closing = slot[15:15];
            exception.was_confirmed = slot[14:14];
            exception.silent = silent;
            slot[15:15] = slot[15:15] | exception.closing;
            slot[14:14] = slot[14:14] | ~exception.syn;
            slot[13:0] = exception.now;
        } else if ((!taken || over) && exception.record == 1 && exception.found == 0 && exception.placed == 0) {
            exception.placed = 1;
            slot = exception.digest ++ exception.pick ++ 2w0 ++ exception.now;
        } else if (known) {
            slot = 0;
        }
        if (exception.observe == 1) slot = was;
        slots.write(index, slot);
    }
}

control FindOwner(inout metadata_t meta) {
    // Packets that the `previous` rule decided in a moving bucket: once their count stands still for the idle
    // timeout, nobody needs `previous` any more and the controller settles the bucket.
    counter(MOTIONS, CounterType.packets) moving_previous;
    // SYNs that found no room and did not move.
    counter(MOTIONS, CounterType.packets) moving_unmoved;

    // By current backend: new flows that its standby took, and those that it got because both seem to be down.
    counter(BACKENDS, CounterType.packets) suspected;
    counter(BACKENDS, CounterType.packets) all_suspect;

    ExceptionWay() way1;
    ExceptionWay() way2;
    ExceptionWay() way3;

    apply {
        bool moving = meta.service.previous != meta.service.current;

        // New flows of a suspect go to the standby, unless that is suspect, too: when everything seems to be down,
        // nothing is gained by moving, and it may be the probes that are. Established flows stay: a false alarm
        // breaks nothing.
        backend_t pick = meta.service.current;
        bool newcomer = meta.flow.syn == 1 || meta.service.udp_move == 1;
        if (newcomer && meta.current_suspect == 1) {
            bit<32> suspect = (bit<32>)meta.service.current & (BACKENDS - 1);
            if (meta.service.standby != NOBODY && meta.standby_suspect == 0) {
                pick = meta.service.standby;
                if (meta.trace == 0) suspected.count(suspect);
            } else if (meta.trace == 0) all_suspect.count(suspect);
        }
        bool refused = meta.flow.syn == 1 && pick == NOBODY;

        if (meta.flow.tcp == 1 || meta.exception.scrub == 1) {
            meta.exception.digest = meta.digest[29:0];
            meta.exception.now = meta.now;
            meta.exception.idle = meta.service.idle;
            meta.exception.syn = meta.flow.syn;
            meta.exception.closing = meta.flow.closing;
            meta.exception.gone = meta.gone;
            // A question changes nothing, nor does an ICMP error, which anybody can send.
            meta.exception.observe = meta.flow.quoted | meta.trace;
            meta.exception.pick = pick;
            if (meta.flow.syn == 1 && !refused && (pick != meta.service.previous || meta.service.announced == 1))
                meta.exception.record = 1;
            bit<32> place1 = meta.places;
            bit<32> place2 = meta.places >> 9;
            bit<32> place3 = meta.places >> 18;
            if (meta.exception.scrub == 1) {
                meta.exception.idle = meta.liveness.longest_idle;
                place1 = meta.liveness.round;
                place2 = meta.liveness.round;
                place3 = meta.liveness.round;
            }
            way1.apply(meta.exception, place1);
            way2.apply(meta.exception, place2);
            way3.apply(meta.exception, place3);
        } else if (meta.service.udp_move == 1) {
            moving = false;                         // no flow of this pool minds to move: none is kept back
            meta.service.previous = pick;
        }

        if (meta.exception.found == 1) {
            meta.owner = meta.exception.owner;
            meta.decision = decision_t.EXCEPTION;
        } else if (meta.exception.placed == 1) {
            meta.owner = pick;
            meta.decision = pick == meta.service.current ? decision_t.CURRENT : decision_t.STANDBY;
        } else if (refused) {
            meta.owner = NOBODY;
            meta.decision = decision_t.REFUSED;
        } else {
            meta.owner = meta.service.previous;
            if (meta.exception.record == 1) meta.decision = decision_t.NO_ROOM;
            else if (moving) meta.decision = decision_t.PREVIOUS;
            else if (meta.service.udp_move == 1 && meta.flow.tcp == 0) meta.decision = decision_t.MOVES;
            else meta.decision = decision_t.SETTLED;

            if (moving && meta.flow.quoted == 0 && meta.trace == 0) {
                bit<32> motion = (bit<32>)meta.service.motion & (MOTIONS - 1);
                moving_previous.count(motion);
                if (meta.exception.record == 1) moving_unmoved.count(motion);
            }
        }
    }
}
