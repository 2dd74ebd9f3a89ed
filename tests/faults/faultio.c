/* Makes writing and flushing fail in a running process: preloaded, switched by a shared page.
 *
 * FAULTIO names a file of at least sizeof(struct control) bytes. While error is not 0, calls
 * of the chosen kinds on files whose path contains match fail with it, after skip of them
 * went through and until limit of them failed (0: all).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FLUSH = 1, WRITE = 2 };

struct control {
    int32_t error, kinds, skip, limit, seen, failed;
    char match[232];
};

static struct control *control;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("FAULTIO");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) control = page;
}

static int is_meant(int file) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, control->match) != NULL;
}

static int fails(int file, int kind) {
    if (!control || !control->error || !(control->kinds & kind) || !is_meant(file)) return 0;
    int32_t n = __atomic_fetch_add(&control->seen, 1, __ATOMIC_SEQ_CST);
    if (n < control->skip || (control->limit && n >= control->skip + control->limit)) return 0;
    __atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST);
    errno = control->error;
    return 1;
}

#define WRAP(type, name, kind, failure, parameters, ...)                               \
    type name parameters {                                                             \
        static type(*real) parameters;                                                 \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                 \
        return fails(file, kind) ? failure : real(__VA_ARGS__);                        \
    }

#define WRAP_WRITE(name, parameters, ...) WRAP(ssize_t, name, WRITE, -1, parameters, __VA_ARGS__)
#define WRAP_GROW(name, parameters, ...) WRAP(int, name, WRITE, errno, parameters, __VA_ARGS__)

WRAP(int, fsync, FLUSH, -1, (int file), file)
WRAP(int, fdatasync, FLUSH, -1, (int file), file)
WRAP_WRITE(write, (int file, const void *from, size_t size), file, from, size)
WRAP_WRITE(pwrite, (int file, const void *from, size_t size, off_t at), file, from, size, at)
WRAP_WRITE(pwrite64, (int file, const void *from, size_t size, off64_t at), file, from, size, at)
WRAP_WRITE(pwritev, (int file, const struct iovec *from, int n, off_t at), file, from, n, at)
WRAP_WRITE(pwritev64, (int file, const struct iovec *from, int n, off64_t at), file, from, n, at)
WRAP_GROW(posix_fallocate, (int file, off_t at, off_t size), file, at, size)
WRAP_GROW(posix_fallocate64, (int file, off64_t at, off64_t size), file, at, size)
