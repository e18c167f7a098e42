/* Preloaded into a head as the control of the power-loss test: every sync succeeds, and does nothing. */
#define _GNU_SOURCE
#include <sys/types.h>

int fsync(int fd) { (void)fd; return 0; }
int fdatasync(int fd) { (void)fd; return 0; }
int sync_file_range(int fd, off64_t offset, off64_t count, unsigned int flags) {
    (void)fd; (void)offset; (void)count; (void)flags;
    return 0;
}
