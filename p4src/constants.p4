// Build constants and the values of standards. Everything an operator may change is in a table instead.

// ---- sizes (override with -D to build another variant, for example a tiny exception table for tests)

#ifndef EXCEPTION_SLOTS
#define EXCEPTION_SLOTS 16384        // per way; a power of two. Three ways hold 49152 exceptions.
#endif
#ifndef FRAGMENT_SLOTS
#define FRAGMENT_SLOTS 16384         // datagrams in fragments, at the same time; a power of two
#endif
#define BACKENDS 262144              // backend identities, as many as backend_t has values; 0 is nobody
#define VIPS 8192
#define POOLS 4096
#define BUCKETS 1048576              // over all pools
#define PORTS 512                    // of the switch
#define MOTIONS 65536                // buckets that may move at once with counters of their own

// ---- ports of the switch

const bit<9> CPU_PORT = 255;         // packet-in and packet-out; must equal the switch's --cpu-port
const bit<9> DROP_PORT = 511;        // what mark_to_drop sets; never a port

const bit<2> METER_RED = 2;
const bit<32> REPLICATED = 5;        // instance_type of a multicast copy

const bit<32> PACKET_IN_LENGTH = 20;      // bytes of packet_in_t
const bit<32> PACKET_OUT_LENGTH = 3;      // and of packet_out_t

// ---- time: ticks of 2^18 microseconds (0.262 s); 14 bits of them wrap after 71 minutes

typedef bit<14> tick_t;
const tick_t EMBRYONIC_TICKS = 57;   // 15 s: how long an exception lives of which only a SYN was seen
const bit<12> FRAGMENT_TICKS = 115;  // 30 s: how long a datagram may take to arrive, as in Linux (ipfrag_time)

// ---- EtherTypes (IEEE 802), protocols (IANA), message types (RFC 826, 792, 4443, 4861)

const bit<16> ETHERTYPE_IPV4 = 0x0800;
const bit<16> ETHERTYPE_ARP = 0x0806;
const bit<16> ETHERTYPE_VLAN = 0x8100;
const bit<16> ETHERTYPE_IPV6 = 0x86dd;

const bit<8> PROTOCOL_IPV6_HOP_BY_HOP = 0;
const bit<8> PROTOCOL_ICMP = 1;
const bit<8> PROTOCOL_IPIP = 4;
const bit<8> PROTOCOL_TCP = 6;
const bit<8> PROTOCOL_UDP = 17;
const bit<8> PROTOCOL_IPV6 = 41;
const bit<8> PROTOCOL_IPV6_ROUTING = 43;
const bit<8> PROTOCOL_IPV6_FRAGMENT = 44;
const bit<8> PROTOCOL_GRE = 47;
const bit<8> PROTOCOL_ICMPV6 = 58;
const bit<8> PROTOCOL_IPV6_DESTINATION = 60;

const bit<16> PORT_VXLAN = 4789;
const bit<16> PORT_GUE = 6080;
const bit<16> DYNAMIC_PORTS = 0xc000;     // 49152..65535, RFC 6335 6
const bit<8> VXLAN_VNI_PRESENT = 0x08;    // RFC 7348 5

const bit<16> ARP_REQUEST = 1;
const bit<16> ARP_REPLY = 2;

const bit<8> ICMP_ECHO_REPLY = 0;
const bit<8> ICMP_UNREACHABLE = 3;
const bit<8> ICMP_ECHO_REQUEST = 8;
const bit<8> ICMP_TIME_EXCEEDED = 11;
const bit<8> ICMP_PARAMETER_PROBLEM = 12;
const bit<8> ICMP_PORT_UNREACHABLE = 3;             // codes
const bit<8> ICMP_FRAGMENTATION_NEEDED = 4;
const bit<8> ICMPV6_UNREACHABLE = 1;
const bit<8> ICMPV6_TOO_BIG = 2;
const bit<8> ICMPV6_TIME_EXCEEDED = 3;
const bit<8> ICMPV6_PARAMETER_PROBLEM = 4;
const bit<8> ICMPV6_PORT_UNREACHABLE = 4;           // a code
const bit<8> ICMPV6_ECHO_REQUEST = 128;
const bit<8> ICMPV6_ECHO_REPLY = 129;
const bit<8> ICMPV6_NEIGHBOR_SOLICITATION = 135;
const bit<8> ICMPV6_NEIGHBOR_ADVERTISEMENT = 136;
const bit<8> ND_TARGET_LINK_LAYER_ADDRESS = 2;
const bit<8> INTERNETWORK_CONTROL = 0xc0;           // the precedence of ICMP errors, RFC 1812 4.3.2.5
const bit<16> NEIGHBOR_MESSAGE_LENGTH = 24;         // of a solicitation or advertisement, without options
const bit<32> ND_ROUTER_SOLICITED_OVERRIDE = 0xe0000000;
const bit<32> ND_ROUTER_OVERRIDE = 0xa0000000;
const bit<128> ALL_NODES = 0xff020000000000000000000000000001;          // RFC 4291 2.7.1
const bit<48> ALL_NODES_MAC = 0x333300000001;                           // RFC 2464 7
const bit<104> SOLICITED_NODE = 0xff0200000000000000000001ff;           // ff02::1:ff00:0/104

const bit<16> TCP_HEADER_LENGTH = 20;
const bit<16> UDP_HEADER_LENGTH = 8;
const bit<16> ICMP_HEADER_LENGTH = 8;
const bit<16> PROBE_PORTS = 0x8000;       // 32768..65535: sources of probes
const bit<16> PROBE_WINDOW = 1024;

typedef bit<14> probe_round_t;            // as much of a round's number as a probe has room for beside a backend's
const probe_round_t PROBE_PATIENCE = 64;  // rounds after which an answer is none

const bit<16> OTHER_LENGTH = 8;           // what an ICMP error quotes of a payload, RFC 792
const bit<16> IPV4_HEADER_LENGTH = 20;
const bit<16> IPV6_HEADER_LENGTH = 40;

const bit<8> TCP_FIN_RST = 0x05;
const bit<8> TCP_HANDSHAKE_MASK = 0x17;   // ACK, RST, SYN, FIN
const bit<8> TCP_SYN_ACK = 0x12;
const bit<8> TCP_FIN_ACK = 0x11;
const bit<8> TCP_RST_ACK = 0x14;
const bit<8> TCP_FIN = 0x01;
const bit<8> TCP_SYN = 0x02;
const bit<8> TCP_RST = 0x04;
const bit<8> TCP_ACK = 0x10;

const bit<8> DEFAULT_TTL = 64;            // IANA's recommendation for packets of our own

const bit<8> CLASS_D = 224;               // first octets, RFC 1122 3.2.1.3: multicast and beyond
const bit<8> LOOPBACK = 127;
const bit<128> IPV6_LOOPBACK = 1;
const bit<8> IPV6_MULTICAST = 0xff;

const bit<96> IPV4_MAPPED = 0xffff;       // ::ffff:0:0/96, RFC 4291 2.5.5.2
