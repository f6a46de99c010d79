// Internet checksums. Changed words are accounted for one by one (RFC 1624, equation 3), so a payload is never
// read, and a checksum that was wrong on arrival is wrong by as much on departure. Two kinds are computed over
// whole headers: the IPv4 header's on arrival, to refuse a damaged one, and those of what this switch wrote itself
// and which has no payload: outer IPv4 headers, advertisements, ICMP errors, TCP segments. Fields of headers that
// are not there add nothing to a list.

// The sum of 16-bit words, unfolded: up to 2^16 terms fit into 32 bits.
bit<32> words(in address_t x) {
    return (bit<32>)x[127:112] + (bit<32>)x[111:96] + (bit<32>)x[95:80] + (bit<32>)x[79:64]
         + (bit<32>)x[63:48] + (bit<32>)x[47:32] + (bit<32>)x[31:16] + (bit<32>)x[15:0];
}

bit<16> fold(in bit<32> x) {
    bit<32> once = (bit<32>)x[31:16] + (bit<32>)x[15:0];
    return once[31:16] + once[15:0];
}

// What replacing one word, or one address, adds to the sum: ~m + m'.
bit<32> change16(in bit<16> was, in bit<16> is) { return (bit<32>)(~was) + (bit<32>)is; }
bit<32> change128(in address_t was, in address_t is) { return words(~was) + words(is); }

// HC' = ~(~HC + ~m + m')
bit<16> adjusted(in bit<16> checksum, in bit<32> change) { return ~fold((bit<32>)(~checksum) + change); }

// As RFC 1071 has it: all words, the checksum among them, leave nothing. (To compute the checksum and compare would
// refuse 0xffff where it is 0x0000, which is the same number and what some routers write: RFC 1624 5.)
control VerifyChecksums(inout headers_t headers, inout metadata_t meta) {
    apply {
        verify_checksum(headers.ipv4.isValid(),
            { headers.ipv4.version, headers.ipv4.header_words, headers.ipv4.tos, headers.ipv4.total_length,
              headers.ipv4.identification, headers.ipv4.reserved, headers.ipv4.dont_fragment,
              headers.ipv4.more_fragments, headers.ipv4.fragment_offset, headers.ipv4.ttl,
              headers.ipv4.protocol, headers.ipv4.source, headers.ipv4.destination,
              headers.ipv4_options.data, headers.ipv4.checksum },
            meta.remainder, HashAlgorithm.csum16);
    }
}

control ComputeChecksums(inout headers_t headers, inout metadata_t meta) {
    apply {
        // RFC 4443 2.3: the pseudo-header (addresses, upper-layer length, next header), then the message
        update_checksum(meta.advertisement == 1,
            { headers.ipv6.source, headers.ipv6.destination, 16w0, headers.ipv6.payload_length, 24w0,
              headers.ipv6.next_header, headers.icmp.type, headers.icmp.code, headers.icmp.rest,
              headers.neighbor.target, headers.link_layer_option.type, headers.link_layer_option.length,
              headers.link_layer_option.mac },
            headers.icmp.checksum, HashAlgorithm.csum16);

        update_checksum(headers.outer_ipv4.isValid(),
            { headers.outer_ipv4.version, headers.outer_ipv4.header_words, headers.outer_ipv4.tos,
              headers.outer_ipv4.total_length, headers.outer_ipv4.identification, headers.outer_ipv4.reserved,
              headers.outer_ipv4.dont_fragment, headers.outer_ipv4.more_fragments,
              headers.outer_ipv4.fragment_offset, headers.outer_ipv4.ttl, headers.outer_ipv4.protocol,
              headers.outer_ipv4.source, headers.outer_ipv4.destination },
            headers.outer_ipv4.checksum, HashAlgorithm.csum16);

        // An ICMP error and the 8 bytes that it quotes of the payload. The quoted IPv4 header has a right checksum,
        // so its words add nothing.
        update_checksum(meta.reply.complaint == 1 && headers.outer_ipv4.isValid(),
            { headers.complaint.type, headers.complaint.code, headers.complaint.rest,
              headers.ports.source, headers.ports.destination, headers.tcp.sequence, headers.udp.length,
              headers.udp.checksum, headers.icmp.type, headers.icmp.code, headers.icmp.checksum, headers.icmp.rest,
              headers.other.beginning },
            headers.complaint.checksum, HashAlgorithm.csum16);
        update_checksum(meta.reply.complaint == 1 && headers.outer_ipv6.isValid(),
            { headers.outer_ipv6.source, headers.outer_ipv6.destination, 16w0, headers.outer_ipv6.payload_length,
              24w0, headers.outer_ipv6.next_header,
              headers.complaint.type, headers.complaint.code, headers.complaint.rest,
              headers.ipv6.version, headers.ipv6.traffic_class, headers.ipv6.flow_label, headers.ipv6.payload_length,
              headers.ipv6.next_header, headers.ipv6.hop_limit, headers.ipv6.source, headers.ipv6.destination,
              headers.ipv6_extension.next_header, headers.ipv6_extension.length, headers.ipv6_extension.data,
              headers.ipv6_extension.more, headers.ipv6_extension_too.next_header,
              headers.ipv6_extension_too.length, headers.ipv6_extension_too.data, headers.ipv6_extension_too.more,
              headers.ipv6_fragment.next_header, headers.ipv6_fragment.reserved,
              headers.ipv6_fragment.fragment_offset, headers.ipv6_fragment.reserved_too,
              headers.ipv6_fragment.more_fragments, headers.ipv6_fragment.identification,
              headers.ports.source, headers.ports.destination, headers.tcp.sequence, headers.udp.length,
              headers.udp.checksum, headers.icmp.type, headers.icmp.code, headers.icmp.checksum, headers.icmp.rest,
              headers.other.beginning },
            headers.complaint.checksum, HashAlgorithm.csum16);

        // A TCP segment without options and payload, or an echo request without payload.
        update_checksum((meta.reply.segment == 1 || meta.reply.echo == 1) && headers.ipv4.isValid(),
            { headers.ipv4.version, headers.ipv4.header_words, headers.ipv4.tos, headers.ipv4.total_length,
              headers.ipv4.identification, headers.ipv4.reserved, headers.ipv4.dont_fragment,
              headers.ipv4.more_fragments, headers.ipv4.fragment_offset, headers.ipv4.ttl, headers.ipv4.protocol,
              headers.ipv4.source, headers.ipv4.destination },
            headers.ipv4.checksum, HashAlgorithm.csum16);
        update_checksum(meta.reply.segment == 1,
            { headers.ipv4.source, headers.ipv4.destination, headers.ipv6.source, headers.ipv6.destination,
              8w0, PROTOCOL_TCP, TCP_HEADER_LENGTH, headers.ports.source, headers.ports.destination,
              headers.tcp.sequence, headers.tcp.acknowledgement, headers.tcp.data_offset, headers.tcp.reserved,
              headers.tcp.flags, headers.tcp.window, headers.tcp.urgent },
            headers.tcp.checksum, HashAlgorithm.csum16);
        update_checksum(meta.reply.echo == 1 && headers.ipv4.isValid(),
            { headers.icmp.type, headers.icmp.code, headers.icmp.rest }, headers.icmp.checksum, HashAlgorithm.csum16);
        update_checksum(meta.reply.echo == 1 && headers.ipv6.isValid(),
            { headers.ipv6.source, headers.ipv6.destination, 16w0, headers.ipv6.payload_length, 24w0,
              headers.ipv6.next_header, headers.icmp.type, headers.icmp.code, headers.icmp.rest },
            headers.icmp.checksum, HashAlgorithm.csum16);
    }
}
