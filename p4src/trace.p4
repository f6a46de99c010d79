// What became of a traced packet, for the controller that sent it: the frame as it would leave (as it came, if it
// would be dropped), with the reasons in its packet_in header. On its way it changes no register, takes from no
// meter and adds to no counter but those that v1model ties to table hits: of VIPs, their sources, backends and nat
// answers.

control Report(inout headers_t headers, inout metadata_t meta, inout standard_metadata_t standard) {
    apply {
        bit<16> port = 0;
        if (meta.fate == fate_t.SENT || meta.fate == fate_t.REPLIED) port = (bit<16>)standard.egress_spec;
        headers.packet_in.setValid();
        headers.packet_in = {
            (bit<8>)punt_t.TRACE, (bit<16>)meta.port, (bit<8>)meta.fate, meta.reason, (bit<8>)meta.reply.kind, port,
            meta.service.vip, meta.service.pool, meta.service.bucket, meta.owner, meta.exception.silent,
            (bit<8>)meta.decision, 4w0, meta.exception.placed, meta.exception.was_closing,
            meta.exception.was_confirmed, meta.exception.found
        };
        standard.egress_spec = CPU_PORT;
    }
}
