// Step 2. A packet-out is an order from the controller: send a frame, probe, or trace one.

control FollowOrder(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    apply {
        // To the controller itself a frame would go without a packet_in header, and to DROP_PORT uncounted.
        bool port_is_real = headers.packet_out.port < (bit<16>)DROP_PORT
            && headers.packet_out.port != (bit<16>)CPU_PORT;
        bool probing = headers.packet_out.order == order_t.BEGIN || headers.packet_out.order == order_t.PROBE;
        meta.now = standard.ingress_global_timestamp[31:18];
        if (headers.packet_out.isValid() && headers.packet_out.order == order_t.TRACE && port_is_real) {
            meta.trace = 1;
            meta.port = (bit<9>)headers.packet_out.port;
        } else if (standard.parser_error != error.NoError) DROP(drop_t.BAD_PACKET_OUT)
        else if (headers.packet_out.order == order_t.SEND && port_is_real) {
            standard.egress_spec = (bit<9>)headers.packet_out.port;
            meta.fate = fate_t.SENT;
        } else if (probing && headers.packet_out.port != 0) {          // group 0 means that there is none
            meta.liveness.question = headers.packet_out.order == order_t.BEGIN ? question_t.BEGIN : question_t.PROBE;
            // A copy's instance has 16 bits: the backend's other two are in the number of its group.
            meta.liveness.page = headers.packet_out.port[14:13];
            standard.mcast_grp = headers.packet_out.port;
            meta.fate = fate_t.SENT;
        } else DROP(drop_t.BAD_PACKET_OUT)
        headers.packet_out.setInvalid();
    }
}
