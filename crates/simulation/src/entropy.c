/* getrandom(2) and getentropy(3) that answer from a seed: preloaded into a simulation, so that a program whose hashers,
 * names and keys draw from the system draws the same at every replay. The main thread has a stream of its own; what
 * other threads draw depends on themselves only. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* One core of those there are: what counts cores counts the same everywhere. */
__attribute__((constructor)) static void keep_to_one_core(void) {
    const char *wanted = getenv("GALERIE_SIMULATION_CORE");
    cpu_set_t all, one;
    if (!wanted || sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    int nth = atoi(wanted) % CPU_COUNT(&all);
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &all) && nth-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(core, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
}

static __thread uint64_t state;
static __thread int seeded;

static uint64_t next(void) {
    if (!seeded) {
        const char *seed = getenv("GALERIE_SIMULATION_SEED");
        state = seed ? strtoull(seed, NULL, 10) : 0;
        state = state * 2 + (gettid() == getpid());
        seeded = 1;
    }
    /* SplitMix64 (Steele, Lea, Flood 2014). */
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    (void)flags;
    unsigned char *at = buffer;
    for (size_t left = length; left > 0;) {
        uint64_t word = next();
        size_t part = left < sizeof word ? left : sizeof word;
        memcpy(at, &word, part);
        at += part;
        left -= part;
    }
    return (ssize_t)length;
}

int getentropy(void *buffer, size_t length) {
    return getrandom(buffer, length, 0) < 0 ? -1 : 0;
}
