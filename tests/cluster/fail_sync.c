/* Preloaded into a head: once the file that FAIL_SYNC_ONCE names is there, every sync fails as a broken disk's does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int is_broken(void) {
    const char *trigger = getenv("FAIL_SYNC_ONCE");
    int before = errno;
    int broken = trigger && access(trigger, F_OK) == 0;
    errno = broken ? EIO : before;
    return broken;
}

int fsync(int fd) {
    if (is_broken()) return -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    if (is_broken()) return -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int sync_file_range(int fd, off64_t offset, off64_t count, unsigned int flags) {
    if (is_broken()) return -1;
    return ((int (*)(int, off64_t, off64_t, unsigned int))dlsym(RTLD_NEXT, "sync_file_range"))(fd, offset, count, flags);
}
