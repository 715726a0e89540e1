// Loaded into a server before the C library: makes calls of the C library fail, and shifts the clock, as a
// page of memory says that the test shares with it. Never changes what a call does that succeeds.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

// As in shim.rs.
struct control {
    int64_t sync_errno;   // with which flushes fail; 0: they succeed
    int64_t write_errno;  // with which writes fail
    int64_t failed;       // calls that have failed
    int64_t clock_s;      // by how much the time of day is shifted
    char path[64];        // only files with this in their path fail
    char thread[64];      // the thread whose next reading of the monotonic clock fails; empty: none
};

static volatile struct control *control;
static volatile int64_t none;

__attribute__((constructor)) static void map(void) {
    const char *file = getenv("FAULTS_CONTROL");
    if (!file) return;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) abort();
    close(fd);
    control = page;
}

static int is_meant(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, (const char *)control->path) != NULL;
}

static int fails(volatile int64_t *error, int fd) {
    if (!control || !*error || !is_meant(fd)) return 0;
    __atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST);
    errno = (int)*error;
    return 1;
}

// Without a page to look at, nothing fails.
#define FIELD(name) (control ? &control->name : &none)

#define REAL(type, name, ...)                                        \
    static type (*real)(__VA_ARGS__);                                \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int fsync(int fd) {
    REAL(int, "fsync", int);
    return fails(FIELD(sync_errno), fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return fails(FIELD(sync_errno), fd) ? -1 : real(fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return fails(FIELD(write_errno), fd) ? -1 : real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return fails(FIELD(write_errno), fd) ? -1 : real(fd, bytes, count, offset);
}

int ftruncate64(int fd, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    return fails(FIELD(write_errno), fd) ? -1 : real(fd, length);
}

static int is_thread(void) {
    char name[16];
    return control->thread[0] && prctl(PR_GET_NAME, name) == 0 &&
           strcmp(name, (const char *)control->thread) == 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    if (control && clock == CLOCK_MONOTONIC && is_thread()) {
        // Once: what runs while a panic unwinds may read the clock.
        control->thread[0] = 0;
        errno = EINVAL;
        return -1;
    }
    int done = real(clock, time);
    if (control && done == 0 && clock == CLOCK_REALTIME) time->tv_sec += control->clock_s;
    return done;
}
