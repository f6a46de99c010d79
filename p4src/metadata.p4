// What the program knows of a packet besides its headers. Each struct is filled by the stage it is named for.

typedef bit<128> address_t;          // IPv4 addresses are IPv4-mapped: one width, one table for both families
typedef bit<48>  mac_t;
typedef bit<16>  vip_t;
typedef bit<16>  pool_t;
typedef bit<18>  backend_t;
typedef bit<2>   page_t;             // of a backend's number, the two upper bits
typedef bit<16>  motion_t;

const backend_t NOBODY = 0;

// What the packet-out's sender wants.
enum bit<8> order_t {
    SEND  = 0,                       // the payload is a frame: out of the port that the header names
    BEGIN = 1,                       // begin a probe round, and probe as the next
    PROBE = 2,                       // probe the backends of the multicast group that the header names
    TRACE = 3                        // the payload is a frame: what would become of it, had it come from the port?
}

// What a packet has to do with liveness.
enum bit<8> question_t {
    NONE   = 0,
    BEGIN  = 1,                      // it begins a round
    PROBE  = 2,                      // it needs the round's number
    ANSWER = 3,                      // it is a backend's answer to a probe
    PICK   = 4                       // it may begin a flow: is its backend alive?
}

// How a pool's packets reach its backends. From IPIP on, by a tunnel.
enum bit<8> mode_t {
    NONE  = 0,
    NAT   = 1,
    DSR   = 2,
    IPIP  = 3,
    GRE   = 4,
    VXLAN = 5,
    GUE   = 6
}

// What a client hears whom nobody serves.
enum bit<8> refusal_t {
    NOTHING     = 0,
    RESET       = 1,                 // TCP RST; port unreachable for other protocols
    UNREACHABLE = 2                  // ICMP port unreachable
}

// What becomes of the packet. A step that decides it sets it; the steps after it are not taken.
enum bit<8> fate_t {
    UNDECIDED = 0,
    SENT      = 1,                   // to egress_spec: forwarded, or an answer of our own, or a packet-out
    PUNTED    = 2,                   // to the controller
    DROPPED   = 3,
    AGAIN     = 4,                   // through ingress once more
    REPLIED   = 5                    // answered by the switch itself, see replies.p4
}

// Why a flow's owner is its owner.
enum bit<8> decision_t {
    NONE      = 0,
    SETTLED   = 1,                   // its bucket has one backend
    EXCEPTION = 2,                   // recorded
    CURRENT   = 3,                   // new, and now recorded with the bucket's current backend
    STANDBY   = 4,                   // new, and now recorded with the standby: current is suspect
    PREVIOUS  = 5,                   // older than the bucket's move
    NO_ROOM   = 6,                   // new, to be recorded, but no place was free: it does not move
    MOVES     = 7,                   // UDP of a pool that minds no move
    FRAGMENT  = 8,                   // as its datagram's first fragment
    REFUSED   = 9,                   // new, and nobody serves
    GONE      = 10                   // recorded with a backend that is gone: to be decided afresh
}

// A reply of our own to a packet. Numbers of the `replies` table.
enum bit<8> reply_t {
    NONE           = 0,
    TIME_EXCEEDED  = 1,
    PACKET_TOO_BIG = 2,              // fragmentation needed, packet too big
    UNREACHABLE    = 3,              // port unreachable
    RESET          = 4,              // TCP RST
    PROBE_RESET    = 5               // the same to a backend that answered a probe: its backlog stays clean
}

// Which end of the packet the rewrite replaces.
enum bit<2> rewrite_t {
    NONE        = 0,
    SOURCE      = 1,
    DESTINATION = 2
}

struct flow_t {
    address_t source;
    address_t destination;
    bit<8>    protocol;              // behind IPv6's extension headers
    bit<16>   length;                // of what follows the IP headers, bytes
    bit<16>   source_port;           // 0 unless TCP or UDP, and in fragments that hold no ports
    bit<16>   destination_port;
    bit<1>    fragment;              // part of a datagram, whichever
    bit<1>    later;                 // a fragment that is not the first: it holds no ports
    bit<1>    syn;                   // opens a TCP connection
    bit<1>    closing;               // FIN or RST
    bit<1>    tcp;
    bit<1>    quoted;                // told by an ICMP error: the flow whose direction the error takes
}

struct service_t {                   // the VIP's, the pool's and the bucket's entries
    vip_t     vip;
    pool_t    pool;
    bit<16>   bucket;
    address_t source_mask;
    bit<16>   port_mask;
    refusal_t refusal;
    mode_t    mode;
    bit<16>   bucket_mask;
    tick_t    idle;
    bit<1>    udp_move;
    backend_t current;
    backend_t previous;
    backend_t standby;
    bit<1>    announced;
    motion_t  motion;
}

struct liveness_t {
    question_t question;
    bit<32>   round;
    bit<32>   tolerance;
    bit<32>   gap;
    tick_t    longest_idle;
    backend_t backend;               // that answers
    page_t    page;                  // of the backends that an order probes
    probe_round_t echo;              // the round that the answer answers, as much as a probe tells of it
}

struct exception_t {                 // a question to the exception table, and its answer
    bit<30>   digest;
    tick_t    now;
    tick_t    idle;
    bit<1>    syn;
    bit<1>    closing;
    bit<1>    gone;                  // the owner it names is in no table any more: forget it
    bit<1>    observe;               // ask only: change nothing
    bit<1>    scrub;                 // no flow asks: erase what is void in the places of this round
    bit<1>    record;                // remember the flow with `pick`, if it is not known
    backend_t pick;
    bit<1>    found;                 // answer: the flow is known, `owner` is its owner
    bit<1>    placed;                // answer: the flow was recorded with `pick`
    backend_t owner;
    bit<1>    was_closing;           // answer: what the exception said before this packet
    bit<1>    was_confirmed;
    tick_t    silent;
}

struct translation_t {
    rewrite_t rewrite;
    address_t address;               // of the backend, or for the packet's source
    bit<16>   port;
    bit<32>   address_change;        // what the address adds to a checksum
    bit<32>   port_change;           // and what the port adds
}

struct tunnel_t {
    mode_t    mode;                  // NONE: no tunnel
    bit<1>    ipv6;                  // what carries it
    address_t source;
    bit<24>   vni;
    mac_t     inner_source_mac;
    mac_t     inner_destination_mac;
    bit<16>   mtu;                   // of what it carries; 0: as the link allows
    bit<16>   overhead;              // bytes that it adds
    bit<32>   entropy;               // the same for all packets of a flow
}

struct reply_state_t {
    reply_t   kind;                  // NONE: egress builds no reply
    address_t source;
    bit<16>   mtu;                   // that PACKET_TOO_BIG tells
    bit<1>    complaint;               // built here: an ICMP error, whose checksums are still to be written
    bit<1>    segment;               // built here: a TCP segment without payload, likewise
    bit<1>    echo;                  // built here: an ICMP echo request without payload, likewise
}

struct route_t {
    address_t asked;                 // the packet's destination as it came (of ARP and ND: whom they ask for)
    address_t target;                // where the packet is to go, however it is addressed
    address_t next_hop;
    mac_t     source_mac;
    mac_t     destination_mac;
    bit<12>   vlan;
    bit<16>   mtu;                   // of the link; 0: unlimited
}

struct metadata_t {
    // These three survive the resubmit (exceptions.p4). BMv2 would otherwise resubmit from port 0, at time 0.
    @field_list(1)
    bit<1>      gone;
    @field_list(1)
    bit<9>      port;                // that the packet came from
    @field_list(1)
    tick_t      now;                 // when it came
    bit<1>      trace;               // the controller only asks
    decision_t  decision;
    bit<12>     vlan;                // that the packet came with; 0: none
    fate_t      fate;
    bit<8>      reason;              // a drop_t or a punt_t, as the fate says
    bit<1>      own;                 // addressed to one of our addresses
    bit<1>      prober;              // which is one that probes come from
    bit<32>     digest;              // of the flow, for its exception
    bit<32>     hash;                // of the flow, for its bucket
    bit<32>     places;              // of the flow, for its exception's places
    backend_t   owner;
    bit<1>      routed;              // one hop further: egress lowers its TTL and gives it new MACs
    bit<1>      advertisement;       // built here: its ICMPv6 checksum is still to be written
    flow_t      flow;
    service_t   service;
    liveness_t  liveness;
    bit<1>      current_suspect;     // what liveness says of the bucket's two backends
    bit<1>      standby_suspect;
    exception_t exception;
    translation_t translation;
    tunnel_t    tunnel;
    reply_state_t reply;
    route_t     route;
    bit<16>     remainder;           // 0: what a right checksum leaves. (v1model compares with a field only.)
    bit<16>     room;                // the parser's own: what the packet in an ICMP error has for its payload
    bit<8>      quoted_protocol;
}
