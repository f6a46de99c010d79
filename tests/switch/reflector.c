/* A program for tests of the ports: sends each packet to the port that its ingress port is mapped to. */
#include "program.h"

#define EXPORT __attribute__((visibility("default")))

struct reflector {
    uint32_t port[512];
    _Atomic uint64_t quiesced;
};

EXPORT void program_process(void *state, unsigned port, const uint8_t *bytes, unsigned length, uint64_t now_us,
                            emit_fn emit, void *context)
{
    const struct reflector *reflector = state;
    (void)now_us;
    emit(context, reflector->port[port], bytes, length);
}

EXPORT void program_quiesce(void *state)
{
    struct reflector *reflector = state;
    reflector->quiesced++;
}
