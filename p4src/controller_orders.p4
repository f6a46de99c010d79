// Step 2. A packet-out is an order from the controller. Probe rounds and trace packets will be two more.

control FollowOrder(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    apply {
        // To the controller itself a frame would go without a packet_in header, and to DROP_PORT uncounted.
        bool port_is_real = headers.packet_out.port < (bit<16>)DROP_PORT && headers.packet_out.port != (bit<16>)CPU_PORT;
        if (standard.parser_error == error.NoError && headers.packet_out.order == order_t.SEND && port_is_real) {
            standard.egress_spec = (bit<9>)headers.packet_out.port;
            meta.fate = fate_t.SENT;
        } else DROP(drop_t.BAD_PACKET_OUT)
        headers.packet_out.setInvalid();
    }
}
