/*
 * Making and ending the state of a program. Included at the end of a generated program, behind its
 * table_shapes and arrays.
 */
#ifndef SWITCH_LIFETIME_H
#define SWITCH_LIFETIME_H

#define EXPORT __attribute__((visibility("default")))

static void **array_pointer(struct state *s, int number)
{
    return (void **)((char *)s + arrays[number].place);
}

/* Nobody may be processing. NULL is fine. */
EXPORT void program_destroy(void *state)
{
    struct state *s = state;
    if (!s)
        return;
    for (int i = 0; i < ARRAYS; i++) {
        if (arrays[i].meters)
            meters_free(*array_pointer(s, i), arrays[i].cells);
        free(*array_pointer(s, i));
    }
    for (unsigned i = 0; i < PENDING; i++)
        free(s->pending[i].bytes);
    free(s->out);
    free(s->scratch);
    core_free(&s->core);
    free(s);
}

/* NULL when memory ran out. */
EXPORT void *program_create(void)
{
    struct state *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    if (!s)
        return NULL;
    memset(s, 0, sizeof *s);
    bool ok = core_init(&s->core, s->tables, table_shapes, TABLES, DIGEST_WORDS);
    for (int i = 0; i < ARRAYS; i++) {
        void **pointer = array_pointer(s, i);
        *pointer = calloc(arrays[i].cells ? arrays[i].cells : 1, arrays[i].cell_size);
        ok &= *pointer != NULL;
    }
    for (unsigned i = 0; i < PENDING; i++)
        ok &= (s->pending[i].bytes = malloc(MAX_PACKET + MOST_HEADER_BYTES)) != NULL;
    ok &= (s->out = malloc(MAX_PACKET + MOST_HEADER_BYTES)) != NULL;
    ok &= (s->scratch = malloc(SCRATCH_BYTES)) != NULL;
    if (ok)
        return s;
    program_destroy(s);
    return NULL;
}

/* The cells of an array, numbered as in the generated list. */
EXPORT void *program_array(void *state, int number)
{
    return *array_pointer(state, number);
}

#endif
