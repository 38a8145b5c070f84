/* A disk that fails: calls that make bytes durable, and writes, fail by a seed, for the process that preloads this.
 *
 * GALERIE_FAULT_FOLDER  files below it are hurt, others never
 * GALERIE_FAULT_SEED    decides which calls, by their number; which thread makes the n-th call is the machine's doing
 * GALERIE_FAULT_RATES   a file of four native 32-bit numbers that is looked at before each call, so that they can be changed:
 *                       syncs that fail, writes that fail, calls that take long (all of a thousand), and how they fail
 *                       (1: EIO, 2: ENOSPC, 4: a write that is cut short, 8: one that is said to be done and is not)
 *
 * A sync that fails here has not lost anything by itself: what a kernel does to the pages is power.py's business.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SYNCS, WRITES, SLOW, KINDS, NUMBERS };
enum { IO = 1, FULL = 2, SHORT = 4, LIE = 8 };
enum { CUT = -1, FORGOTTEN = -2 };

static const volatile uint32_t *rates;
static const char *folder;
static _Atomic uint64_t state;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("GALERIE_FAULT_RATES"), *seed = getenv("GALERIE_FAULT_SEED");
    folder = getenv("GALERIE_FAULT_FOLDER");
    if (!path || !seed || !folder) return;
    atomic_store(&state, strtoull(seed, NULL, 10));
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, NUMBERS * sizeof *rates, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) rates = mapped;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(void) {
    uint64_t z = atomic_fetch_add(&state, 0x9E3779B97F4A7C15u) + 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static int is_ours(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(folder);
    return strncmp(path, folder, prefix) == 0 && path[prefix] == '/';
}

/* What is to happen to a call: 0 for nothing, an errno, or CUT or FORGOTTEN for a write. */
static int fate(int fd, int rate) {
    if (!rates) return 0;
    uint64_t number = draw();
    uint32_t per_mille = number % 1000;
    if (per_mille < rates[SLOW] && is_ours(fd)) {
        struct timespec pause = { .tv_nsec = (number >> 32) % 100000000 };
        nanosleep(&pause, NULL);
    }
    if ((number >> 16) % 1000 >= rates[rate] || !is_ours(fd)) return 0;
    int kinds[4], count = 0;
    if (rates[KINDS] & IO) kinds[count++] = EIO;
    if (rates[KINDS] & FULL) kinds[count++] = ENOSPC;
    if (rates[KINDS] & SHORT && rate == WRITES) kinds[count++] = CUT;
    if (rates[KINDS] & LIE && rate == WRITES) kinds[count++] = FORGOTTEN;
    return count ? kinds[(number >> 40) % count] : 0;
}

#define NEXT(name) static __typeof__(&name) next; if (!next) next = dlsym(RTLD_NEXT, #name)
#define FAIL(why) do { errno = (why); return -1; } while (0)

int fsync(int fd) {
    NEXT(fsync);
    int why = fate(fd, SYNCS);
    if (why) FAIL(why);
    return next(fd);
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    int why = fate(fd, SYNCS);
    if (why) FAIL(why);
    return next(fd);
}

/* Only files have a path below the folder, so sockets and pipes go on as they are. */
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    NEXT(pwrite64);
    int why = fate(fd, WRITES);
    if (why > 0) FAIL(why);
    if (why == FORGOTTEN) return count;
    return next(fd, bytes, why && count > 1 ? count / 2 : count, at);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    NEXT(write);
    int why = fate(fd, WRITES);
    if (why > 0) FAIL(why);
    if (why == FORGOTTEN) return count;
    return next(fd, bytes, why && count > 1 ? count / 2 : count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(writev);
    int why = fate(fd, WRITES);
    if (why > 0) FAIL(why);
    return next(fd, parts, why && count > 1 ? count / 2 : count);
}

int ftruncate64(int fd, off64_t length) {
    NEXT(ftruncate64);
    int why = fate(fd, WRITES);
    if (why > 0) FAIL(why);
    return next(fd, length);
}
