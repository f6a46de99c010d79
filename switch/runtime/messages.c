/* See messages.h. */
#include "messages.h"

#include <string.h>

#include "protocol.h"

enum { MOST_FIELD_NUMBER = (1 << 29) - 1 };

/* Bytes of a number. protobuf takes tags and lengths of at most 32 bits, however they are padded. */
enum { SHORT_VARINT = 5, LONG_VARINT = 10 };

/* What is left of a message. */
struct reader {
    const uint8_t *at, *end;
};

/* One field of it: a number, or octets. */
struct field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;
    struct octets octets;
};

static struct reader reader_of(struct octets octets)
{
    return (struct reader){octets.at, octets.at + octets.length};
}

static bool read_varint(struct reader *r, unsigned most, uint64_t *value)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < most && r->at < r->end; i++) {
        const uint8_t byte = *r->at++;
        if (i == LONG_VARINT - 1 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *value = v;
            return true;
        }
    }
    return false;
}

/* False at the end, and at what protobuf would not take or has no use for (groups). */
static bool read_field(struct reader *r, struct field *f)
{
    uint64_t tag, length = 0;
    if (!read_varint(r, SHORT_VARINT, &tag) || tag >> 3 == 0 || tag >> 3 > MOST_FIELD_NUMBER)
        return false;
    f->number = (uint32_t)(tag >> 3);
    f->type = (enum wire_type)(tag & 7);
    switch (f->type) {
    case WIRE_VARINT:
        return read_varint(r, LONG_VARINT, &f->value);
    case WIRE_64_BITS:
        length = 8;
        break;
    case WIRE_32_BITS:
        length = 4;
        break;
    case WIRE_OCTETS:
        if (!read_varint(r, SHORT_VARINT, &length))
            return false;
        break;
    default:
        return false;
    }
    if (length > (uint64_t)(r->end - r->at))
        return false;
    f->octets = (struct octets){r->at, length};
    r->at += length;
    return true;
}

/* Whether this field of a message comes for the first time; for the numbers below 32. */
static bool is_first(uint32_t *seen, const struct field *f)
{
    const uint32_t bit = f->number < 32 ? (uint32_t)1 << f->number : 0;
    const bool first = bit && !(*seen & bit);
    *seen |= bit;
    return first;
}

/* A number that is the same as int32 and as uint32. */
static bool take_number(const struct field *f, uint32_t *number)
{
    *number = (uint32_t)f->value;
    return f->type == WIRE_VARINT && f->value <= INT32_MAX;
}

static bool take_octets(const struct field *f, struct octets *octets)
{
    *octets = f->octets;
    return f->type == WIRE_OCTETS;
}

static bool read_match_value(struct octets octets, struct match_field *match)
{
    struct reader r = reader_of(octets);
    struct field f;
    uint32_t seen = 0;
    while (r.at < r.end) {
        if (!read_field(&r, &f) || !is_first(&seen, &f))
            return false;
        const bool two = match->kind == MATCH_TERNARY || match->kind == MATCH_RANGE;
        const bool good = f.number == MATCH_FIRST ? take_octets(&f, &match->first)
                          : f.number == MATCH_SECOND && two ? take_octets(&f, &match->second)
                          : f.number == MATCH_SECOND && match->kind == MATCH_LPM ? take_number(&f, &match->prefix_length)
                                                                                 : false;
        if (!good)
            return false;
    }
    return true;
}

static bool read_match(struct octets octets, struct match_field *match)
{
    struct reader r = reader_of(octets);
    struct field f;
    uint32_t seen = 0;
    *match = (struct match_field){.id = 0};
    while (r.at < r.end) {
        if (!read_field(&r, &f) || !is_first(&seen, &f))
            return false;
        switch (f.number) {
        case MATCH_FIELD_ID:
            if (!take_number(&f, &match->id))
                return false;
            break;
        case MATCH_EXACT:
        case MATCH_TERNARY:
        case MATCH_LPM:
        case MATCH_RANGE:
        case MATCH_OPTIONAL:
            if (match->kind || f.type != WIRE_OCTETS) /* of a oneof the last counts */
                return false;
            match->kind = (enum match_kind)f.number;
            if (!read_match_value(f.octets, match))
                return false;
            break;
        default:
            return false;
        }
    }
    return match->kind != 0;
}

static bool read_param(struct octets octets, struct action_param *param)
{
    struct reader r = reader_of(octets);
    struct field f;
    uint32_t seen = 0;
    *param = (struct action_param){.id = 0};
    while (r.at < r.end) {
        if (!read_field(&r, &f) || !is_first(&seen, &f))
            return false;
        const bool good = f.number == PARAM_ID      ? take_number(&f, &param->id)
                          : f.number == PARAM_VALUE ? take_octets(&f, &param->value)
                                                    : false;
        if (!good)
            return false;
    }
    return true;
}

static bool read_action(struct octets octets, struct table_update *update)
{
    struct reader r = reader_of(octets);
    struct field f;
    bool has_id = false;
    while (r.at < r.end) {
        if (!read_field(&r, &f))
            return false;
        if (f.number == ACTION_ID) {
            if (has_id || !take_number(&f, &update->action))
                return false;
            has_id = true;
        } else if (f.number != ACTION_PARAMS || f.type != WIRE_OCTETS || update->params == MOST_PARAMS ||
                   !read_param(f.octets, &update->param[update->params++])) {
            return false;
        }
    }
    return true;
}

static bool read_table_action(struct octets octets, struct table_update *update)
{
    struct reader r = reader_of(octets);
    struct field f;
    /* It is a oneof, of which anything but an action is not for us. */
    if (!read_field(&r, &f) || f.number != TABLE_ACTION_ACTION || f.type != WIRE_OCTETS || r.at < r.end)
        return false;
    update->has_action = true;
    return read_action(f.octets, update);
}

static bool read_entry(struct octets octets, struct table_update *update)
{
    struct reader r = reader_of(octets);
    struct field f;
    uint32_t seen = 0;
    while (r.at < r.end) {
        if (!read_field(&r, &f))
            return false;
        if (f.number == ENTRY_MATCH) {
            if (f.type != WIRE_OCTETS || update->fields == MOST_FIELDS ||
                !read_match(f.octets, &update->field[update->fields++]))
                return false;
            continue;
        }
        if (!is_first(&seen, &f))
            return false;
        const bool good = f.number == ENTRY_TABLE_ID   ? take_number(&f, &update->table)
                          : f.number == ENTRY_PRIORITY ? take_number(&f, &update->priority)
                          : f.number == ENTRY_ACTION   ? f.type == WIRE_OCTETS && read_table_action(f.octets, update)
                                                       : false;
        if (!good)
            return false;
    }
    return true;
}

static bool read_entity(struct octets octets, struct table_update *update)
{
    struct reader r = reader_of(octets);
    struct field f;
    return read_field(&r, &f) && f.number == ENTITY_TABLE_ENTRY && f.type == WIRE_OCTETS && r.at == r.end &&
           read_entry(f.octets, update);
}

bool update_read(const uint8_t *bytes, size_t length, struct table_update *update)
{
    struct reader r = {bytes, bytes + length};
    struct field f;
    uint32_t seen = 0, type = 0;
    update->table = update->priority = update->action = 0;
    update->fields = update->params = 0;
    update->has_action = false;
    while (r.at < r.end) {
        if (!read_field(&r, &f) || !is_first(&seen, &f))
            return false;
        const bool good = f.number == UPDATE_TYPE     ? take_number(&f, &type)
                          : f.number == UPDATE_ENTITY ? f.type == WIRE_OCTETS && read_entity(f.octets, update)
                                                      : false;
        if (!good)
            return false;
    }
    update->type = (enum update_type)type;
    return type >= UPDATE_INSERT && type <= UPDATE_DELETE && (seen & 1 << UPDATE_ENTITY);
}

static bool add_rest(struct request_rest *rest, const uint8_t *begin, const uint8_t *end)
{
    const size_t length = (size_t)(end - begin);
    if (length > sizeof rest->bytes - rest->length)
        return false;
    memcpy(rest->bytes + rest->length, begin, length);
    rest->length += length;
    return true;
}

__attribute__((visibility("default"))) int64_t request_split(const uint8_t *bytes, size_t length,
                                                             struct update_span *updates, size_t most,
                                                             struct request_rest *rest)
{
    struct reader r = {bytes, bytes + length};
    struct table_update update;
    struct field f;
    int64_t count = 0;
    rest->length = rest->odd = 0;
    while (r.at < r.end) {
        const uint8_t *begin = r.at;
        if (!read_field(&r, &f))
            return -1;
        if (f.number != REQUEST_UPDATES || f.type != WIRE_OCTETS) {
            if (!add_rest(rest, begin, r.at))
                return -1;
            continue;
        }
        if ((size_t)count++ >= most)
            continue;
        const bool plain = update_read(f.octets.at, f.octets.length, &update);
        updates[count - 1] = (struct update_span){
            .offset = (uint64_t)(f.octets.at - bytes),
            .length = (uint32_t)f.octets.length, /* of 32 bits: see read_field */
            .plain = plain,
        };
        rest->odd += !plain;
    }
    return count;
}
