// Loaded into a server before the C library: makes calls of the C library fail, kills the process at one of
// them, and shifts the clock, as a page of memory says that the test shares with it. Never changes what a
// call does that succeeds.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
    int64_t calls;        // calls on such files
    int64_t kill_at;      // at which of them the process is killed; 0: at none
    int64_t is_late;      // whether that call is made first; if not, half of it if it is a write
    char path[64];        // only files with this in their path fail
    char thread[64];      // the thread whose next reading of the monotonic clock fails; empty: none
};

static volatile struct control *control;
// What never fails.
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

static int is_named(const char *path) {
    return control->path[0] && strstr(path, (const char *)control->path) != NULL;
}

static int is_meant(int fd) {
    char link[64], path[4096];
    if (!control || !control->path[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_named(path);
}

// Counts a call that is meant. Whether it is the last.
static int is_last(int is_meant) {
    if (!is_meant) return 0;
    int64_t number = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
    return number == control->kill_at;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int fails(volatile int64_t *error, int is_meant) {
    if (!is_meant || !*error) return 0;
    __atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST);
    errno = (int)*error;
    return 1;
}

// Without a page to look at, nothing fails.
#define FIELD(name) (control ? &control->name : &none)

#define REAL(type, name, ...)                                        \
    static type (*real)(__VA_ARGS__);                                \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

// Makes the call, which is REAL, on a file that is meant or not, unless it fails or is the last.
#define MAKE(type, error, is_meant, half, whole)            \
    int meant = is_meant, last = is_last(meant);            \
    if (last && !control->is_late) { half; die(); }         \
    type done = fails(error, meant) ? -1 : (whole);        \
    if (last) die();                                        \
    return done

int fsync(int fd) {
    REAL(int, "fsync", int);
    MAKE(int, FIELD(sync_errno), is_meant(fd), , real(fd));
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    MAKE(int, FIELD(sync_errno), is_meant(fd), , real(fd));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    MAKE(ssize_t, FIELD(write_errno), is_meant(fd), real(fd, bytes, count / 2, at), real(fd, bytes, count, at));
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    MAKE(ssize_t, FIELD(write_errno), is_meant(fd), real(fd, bytes, count / 2, at), real(fd, bytes, count, at));
}

int ftruncate64(int fd, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    MAKE(int, FIELD(write_errno), is_meant(fd), , real(fd, length));
}

// Names are not made to fail, but a process can be killed at them.
int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    MAKE(int, &none, control && (is_named(from) || is_named(to)), , real(from, to));
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    MAKE(int, &none, control && is_named(path), , real(path));
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
