/*
 * P4Runtime's WriteRequest as it comes over the network (p4runtime.proto, version 1.5; protobuf's wire format).
 *
 * What is read here is the usual: an Update of a TableEntry that has a table, match fields, an action with parameters,
 * a priority, and nothing else, each at most once. Everything besides is left to the server's Python: what is read
 * here is read as protobuf would, and what is not read here has had no effect.
 * The bytes are whatever somebody sent: nothing outside them is looked at.
 */
#ifndef SWITCH_MESSAGES_H
#define SWITCH_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_FIELDS = 64, MOST_PARAMS = 64 }; /* of an update that is read here */

enum update_type { UPDATE_INSERT = 1, UPDATE_MODIFY = 2, UPDATE_DELETE = 3 };

enum match_kind { MATCH_EXACT = 2, MATCH_TERNARY = 3, MATCH_LPM = 4, MATCH_RANGE = 6, MATCH_OPTIONAL = 7 };

struct octets {
    const uint8_t *at;
    size_t length;
};

/* One match field. first: value, or low end of a range; second: mask, or high end. */
struct match_field {
    uint32_t id;
    enum match_kind kind;
    struct octets first, second;
    uint32_t prefix_length;
};

struct action_param {
    uint32_t id;
    struct octets value;
};

struct table_update {
    enum update_type type;
    uint32_t table, priority, action; /* ids; 0 when there is none */
    bool has_action;
    unsigned fields, params;
    struct match_field field[MOST_FIELDS];
    struct action_param param[MOST_PARAMS];
};

/* Where an Update lies in its request, and whether `update_read` reads it. */
struct update_span {
    uint64_t offset;
    uint32_t length;
    uint32_t plain;
};

/* Whether it is one of the usual. */
bool update_read(const uint8_t *bytes, size_t length, struct table_update *update);

/* What is in a request beside its updates. */
struct request_rest {
    uint64_t length;
    uint64_t odd;       /* how many of the updates that were found are not plain */
    uint8_t bytes[240]; /* all fields but the updates: a message again */
};

/*
 * Finds the updates of a request, up to `most` of them. Returns how many there are; -1 when the bytes are no message, or
 * more is beside the updates than usual.
 */
int64_t request_split(const uint8_t *bytes, size_t length, struct update_span *updates, size_t most,
                      struct request_rest *rest);

#endif
