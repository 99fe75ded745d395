/* Runs what is counted: round trips, in batches that fit into one block of the journal. */
#include <stdint.h>
#include <stdio.h>

void *bench_new(void);
uint32_t bench_round_trips(void *pair, uint32_t count);
void bench_drop_blocks(void *pair);

int main(void) {
    void *pair = bench_new();
    if (!pair) {
        fputs("bench-core: the kernel refused the set-up\n", stderr);
        return 1;
    }
    for (int batch = 0; batch < 16; batch++) {
        if (bench_round_trips(pair, 1000) != 1000) {
            fputs("bench-core: a message was not given from hand to hand\n", stderr);
            return 1;
        }
        bench_drop_blocks(pair);
    }
    return 0;
}
