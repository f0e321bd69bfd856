/* Loaded before libc: tears one pwrite. AURORA_TORN is "<call>:<bytes>:<how>", where <how> is
 *   s  short: the call writes so many bytes and says so
 *   f  full: the same, and the next call fails with ENOSPC
 *   k  kill: so many bytes are written, then the process is dead
 * A call that has fewer bytes is torn in front of its last one. At exit the number of calls goes to
 * the file named by AURORA_TORN_COUNT.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static long calls, torn_call = -1, torn_bytes;
static char how;

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("AURORA_TORN");
    if (text != NULL) sscanf(text, "%ld:%ld:%c", &torn_call, &torn_bytes, &how);
}

__attribute__((destructor)) static void end(void) {
    const char *path = getenv("AURORA_TORN_COUNT");
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (file != NULL) {
        fprintf(file, "%ld", calls);
        fclose(file);
    }
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (real == NULL) real = dlsym(RTLD_NEXT, "pwrite64");
    long call = ++calls;
    if (how == 'f' && call == torn_call + 1) {
        errno = ENOSPC;
        return -1;
    }
    if (call != torn_call) return real(fd, data, length, offset);
    if (torn_bytes >= (long)length) torn_bytes = (long)length - 1;
    ssize_t written = torn_bytes > 0 ? real(fd, data, torn_bytes, offset) : 0;
    if (how == 'k') raise(SIGKILL);
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return pwrite64(fd, data, length, offset);
}
