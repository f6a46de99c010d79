// Step 7, first half. Who is alive? The controller begins a probe round each interval with packet-outs; the switch
// replicates them, egress makes a probe of each copy (probes.p4), and the answers come back here. What is remembered
// of a backend is the round in which its last answer *arrived*: a long way home is no silence. A backend that is
// more than a few rounds behind is suspect: new flows go to the bucket's standby with the very next packet. If the
// controller dies, rounds stop, and so nothing grows suspect. One that stalled and catches up cannot make it so
// either: a round begins no sooner than `gap` after the last.
//
// A packet asks about two backends, and a register array may be touched once. Hence one array for each role, which
// an answer writes both.

control RoleLiveness(in liveness_t liveness, in backend_t asked, out bit<1> suspect) {
    register<bit<32>>(BACKENDS) answered;          // the round of the last answer; 0: none yet

    action is_probed() {}

    // Backends that probes are sent to. What is not probed is never suspect.
    table probed {
        key = { asked: exact @name("backend"); }
        actions = { is_probed; NoAction; }
        default_action = NoAction;
        size = BACKENDS;
    }

    apply {
        bit<32> last;
        bit<32> index = (bit<32>)asked & (BACKENDS - 1);
        if (liveness.question == question_t.ANSWER) index = (bit<32>)liveness.backend & (BACKENDS - 1);
        answered.read(last, index);
        suspect = 0;
        if (liveness.question == question_t.ANSWER) last = liveness.round;
        else if ((last == 0 || liveness.round - last > liveness.tolerance) && probed.apply().hit) suspect = 1;
        answered.write(index, last);
    }
}

control Liveness(inout metadata_t meta, inout standard_metadata_t standard) {
    register<bit<64>>(1) rounds;                   // number 32, microseconds of its beginning 32
    counter(BACKENDS, CounterType.packets) probe_answers;

    RoleLiveness() current;
    RoleLiveness() standby;

    // tolerance: rounds that a backend may be behind. gap: microseconds that a round lasts at the least; half the
    // interval. longest_idle: of all pools' idle timeouts, after which an exception that nobody asks for is
    // scrubbed, in ticks.
    action settings(bit<32> tolerance, bit<32> gap, tick_t longest_idle) {
        meta.liveness.tolerance = tolerance;
        meta.liveness.gap = gap;
        meta.liveness.longest_idle = longest_idle;
    }

    table liveness_settings {
        actions = { settings; }
        default_action = settings(3, 5000, 8192);
    }

    apply {
        liveness_settings.apply();

        bit<64> clock;
        bit<32> now = standard.ingress_global_timestamp[31:0];
        rounds.read(clock, 0);
        if (meta.liveness.question == question_t.BEGIN && now - clock[31:0] >= meta.liveness.gap) {
            meta.exception.scrub = 1;
            clock = (clock[63:32] + 1) ++ now;
            if (clock[63:32] == 0) clock[63:32] = 1;       // 0 means that no answer ever came
        }
        rounds.write(0, clock);
        meta.liveness.round = clock[63:32];

        // A probe tells the lower bits of its round. What is 64 rounds old, or of a round to come, is no answer.
        if (meta.liveness.question == question_t.ANSWER) {
            probe_round_t lag = meta.liveness.round[13:0] - meta.liveness.echo;
            if (lag < PROBE_PATIENCE) probe_answers.count((bit<32>)meta.liveness.backend & (BACKENDS - 1));
            else meta.liveness.question = question_t.NONE;
        }

        if (meta.liveness.question == question_t.ANSWER || meta.liveness.question == question_t.PICK) {
            current.apply(meta.liveness, meta.service.current, meta.current_suspect);
            standby.apply(meta.liveness, meta.service.standby, meta.standby_suspect);
        }
    }
}
