/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* An application without a mount, as Samba and qemu are: runs until its input ends.
 *
 *   native VOLUME HOST LOG METRICS
 *
 * Each line of the input is a command, followed by LENGTH bytes if it writes:
 *
 *   read PATH OFFSET LENGTH      write PATH OFFSET LENGTH     append PATH 0 LENGTH    replace PATH 0 LENGTH
 *   truncate PATH SIZE 0         rename PATH 0 0 (the next line is the new path)      remove PATH 0 0
 *
 * It answers "ok 0 LENGTH" and that many bytes, or "errno NUMBER 0". The first line of its output is its process id. Once a
 * second it writes the volume's metrics to the file METRICS.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "../volume/gfapi.h"

static glfs_t *fs;
static const char *metrics;

static void *
write_metrics(void *arg)
{
    static char text[64 << 10];
    char fresh[4096];

    snprintf(fresh, sizeof(fresh), "%s.new", metrics);
    for (;; sleep(1)) {
        ssize_t size = glfs_getxattr(fs, "/", "glusterfs.cloudsync.metrics", text, sizeof(text));
        FILE *file = size > 0 ? fopen(fresh, "w") : NULL;

        if (!file)
            continue;
        /* Renamed, so that nobody reads half of it. */
        if (fwrite(text, 1, (size_t)size, file) == (size_t)size && !fclose(file))
            rename(fresh, metrics);
    }
    return NULL;
}

/* Reads or writes all of it, up to the end of the file. Returns how much, or -1. */
static ssize_t
transfer(glfs_fd_t *fd, char *buffer, size_t length, off_t offset, int writes)
{
    size_t done = 0;

    while (done < length) {
        ssize_t part = writes ? glfs_pwrite(fd, buffer + done, length - done, offset + (off_t)done, 0, NULL, NULL)
                              : glfs_pread(fd, buffer + done, length - done, offset + (off_t)done, 0, NULL);
        if (part < 0)
            return -1;
        if (part == 0)
            break;
        done += (size_t)part;
    }
    return (ssize_t)done;
}

/* An operation on an open file; a change is synced. Returns the number of bytes, or -1. */
static ssize_t
opened(const char *command, const char *path, off_t offset, char *buffer, size_t length)
{
    const int reads = !strcmp(command, "read");
    const int replaces = !strcmp(command, "replace");
    const int truncates = !strcmp(command, "truncate");
    int flags = reads ? O_RDONLY : O_WRONLY | (strcmp(command, "append") ? 0 : O_APPEND);
    glfs_fd_t *fd = replaces ? glfs_creat(fs, path, O_WRONLY | O_TRUNC, 0644) : glfs_open(fs, path, flags);
    ssize_t result = 0;

    if (!fd)
        return -1;
    if (truncates)
        result = glfs_ftruncate(fd, offset, NULL, NULL);
    else
        result = transfer(fd, buffer, length, offset, !reads);
    if (!reads && result >= 0) {
        if (!truncates && (size_t)result != length) {
            errno = EPIPE;
            result = -1;
        } else if (glfs_fsync(fd, NULL, NULL))
            result = -1;
    }
    int number = errno;
    if (glfs_close(fd) && result >= 0 && !reads)
        return -1;
    errno = number;
    return result;
}

int
main(int argc, char **argv)
{
    char line[4096], command[16], path[2048], to[2048];
    static char *buffer;
    uint64_t offset, length;
    pthread_t thread;

    if (argc != 5)
        return 2;
    printf("%d\n", (int)getpid());
    fflush(stdout);
    fs = client(argv[1], argv[2], argv[3]);
    metrics = argv[4];
    if (pthread_create(&thread, NULL, write_metrics, NULL))
        die("thread");
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "%15s %2047s %" SCNu64 " %" SCNu64, command, path, &offset, &length) != 4)
            return 2;
        buffer = realloc(buffer, length + 1);
        int reads = !strcmp(command, "read");
        if (!buffer || (!reads && fread(buffer, 1, length, stdin) != length))
            return 2;
        ssize_t result = 0;
        if (!strcmp(command, "remove"))
            result = glfs_unlink(fs, path);
        else if (!strcmp(command, "rename")) {
            if (!fgets(to, sizeof(to), stdin))
                return 2;
            to[strcspn(to, "\n")] = '\0';
            result = glfs_rename(fs, path, to);
        } else
            result = opened(command, path, (off_t)offset, buffer, length);
        if (result < 0)
            printf("errno %d 0\n", errno);
        else {
            size_t size = reads ? (size_t)result : 0;
            printf("ok 0 %zu\n", size);
            fwrite(buffer, 1, size, stdout);
        }
        fflush(stdout);
    }
    return glfs_fini(fs) ? 1 : 0;
}
