/* Maglev's population of its table: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
 * Balancer", NSDI 2016, pseudocode 1. The contender of bench.controller; compiled with -O3.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Fills `table` (of `size` places, a prime) with the numbers of `count` servers, by their permutations. */
void populate(uint32_t *table, uint32_t size, const uint32_t *offsets, const uint32_t *skips, uint32_t count)
{
    uint32_t *at = malloc(count * sizeof *at), filled = 0;

    memcpy(at, offsets, count * sizeof *at);
    memset(table, 0xff, size * sizeof *table);
    for (;;) {
        for (uint32_t server = 0; server < count; server++) {
            uint32_t place = at[server];
            while (table[place] != UINT32_MAX) {
                place += skips[server];
                if (place >= size)
                    place -= size;
            }
            table[place] = server;
            at[server] = place + skips[server] < size ? place + skips[server] : place + skips[server] - size;
            if (++filled == size) {
                free(at);
                return;
            }
        }
    }
}
