/* Stands between a process and the disk: counts every write-like call on files below one folder, and at
 * the n-th of them fails, kills the process, or notes down what was written and what was made durable.
 *
 *   SHIM_DIR     the folder, resolved; without it nothing happens
 *   SHIM_COUNT   a file of eight bytes that holds the number of calls so far (shared memory: survives SIGKILL)
 *   SHIM_AT      the call at which it happens, from 1; 0: never
 *   SHIM_ERRNO   the error that the call gives; 0: the process is killed there and then, before the call
 *   SHIM_STICKY  1: every later write fails too, as on a disk that stays full
 *   SHIM_RECORD  a file to which every call is appended: op, path length, offset, data length; path; data
 *
 * A process that was forked from one that is loaded already calls shim_arm() after setting these.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, TRUNCATE = 3 };

static char folder[PATH_MAX];
static size_t folder_length;
static volatile uint64_t *count, unshared;
static uint64_t at;
static int error_number, sticky, record = -1;

static uint64_t number(const char *name) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

__attribute__((constructor)) void shim_arm(void) {
    const char *dir = getenv("SHIM_DIR"), *counted = getenv("SHIM_COUNT"), *recorded = getenv("SHIM_RECORD");
    folder_length = 0;
    if (!dir || strlen(dir) >= sizeof folder) return;
    count = &unshared;
    if (counted) {
        int fd = syscall(SYS_openat, AT_FDCWD, counted, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || syscall(SYS_ftruncate, fd, 8)) abort();
        count = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (count == MAP_FAILED) abort();
        syscall(SYS_close, fd);
    }
    if (recorded) {
        record = syscall(SYS_openat, AT_FDCWD, recorded, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (record < 0) abort();
    }
    at = number("SHIM_AT");
    error_number = number("SHIM_ERRNO");
    sticky = number("SHIM_STICKY");
    strcpy(folder, dir);
    folder_length = strlen(folder);
}

static void note(uint32_t op, const char *path, size_t path_length, uint64_t offset, const void *data,
                 uint64_t length) {
    struct { uint32_t op, path_length; uint64_t offset, length; } head = {op, path_length, offset, length};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, path_length}, {(void *)data, data ? length : 0}};
    if (syscall(SYS_writev, record, parts, 3) < 0) abort();
}

/* Whether the call must fail; errno is set then. */
static int hit(uint32_t op, int fd, off_t offset, const void *data, uint64_t length) {
    char link[64], path[PATH_MAX];
    if (!folder_length) return 0;
    strcpy(link, "/proc/self/fd/");
    char digits[16], *end = digits + sizeof digits - 1;
    *end = 0;
    for (unsigned rest = fd; end == digits + sizeof digits - 1 || rest; rest /= 10) *--end = '0' + rest % 10;
    strcat(link, end);
    int saved = errno;
    ssize_t size = readlink(link, path, sizeof path);
    errno = saved;
    if (size <= (ssize_t)folder_length || memcmp(path, folder, folder_length) || path[folder_length] != '/')
        return 0;
    uint64_t now = __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
    if (record >= 0) {
        if (offset < 0) offset = lseek(fd, 0, SEEK_CUR);
        note(op, path + folder_length + 1, size - folder_length - 1, offset, data, length);
    }
    if (!at || now < at || (now > at && !sticky)) return 0;
    if (!error_number) {
        kill(getpid(), SIGKILL);
        pause();
    }
    errno = error_number;
    return 1;
}

#define PLAIN(type, name, ...) \
    static type (*plain)(__VA_ARGS__); \
    if (!plain) plain = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t length) {
    PLAIN(ssize_t, "write", int, const void *, size_t);
    return hit(WRITE, fd, -1, data, length) ? -1 : plain(fd, data, length);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    PLAIN(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return hit(WRITE, fd, offset, data, length) ? -1 : plain(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    PLAIN(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return hit(WRITE, fd, offset, data, length) ? -1 : plain(fd, data, length, offset);
}

int fsync(int fd) {
    PLAIN(int, "fsync", int);
    return hit(SYNC, fd, 0, NULL, 0) ? -1 : plain(fd);
}

int fdatasync(int fd) {
    PLAIN(int, "fdatasync", int);
    return hit(SYNC, fd, 0, NULL, 0) ? -1 : plain(fd);
}

int ftruncate(int fd, off_t length) {
    PLAIN(int, "ftruncate", int, off_t);
    return hit(TRUNCATE, fd, length, NULL, 0) ? -1 : plain(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    PLAIN(int, "ftruncate64", int, off64_t);
    return hit(TRUNCATE, fd, length, NULL, 0) ? -1 : plain(fd, length);
}
