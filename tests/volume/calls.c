/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Makes one system call for which std has no safe function. Data read goes to standard output, data to write comes from
 * standard input; both are pipes.
 *
 *   calls truncate PATH LENGTH
 *   calls mmap-read PATH OFFSET LENGTH
 *   calls mmap-write PATH OFFSET            (shared, then msync)
 *   calls direct-read PATH OFFSET LENGTH    (O_DIRECT)
 *   calls direct-write PATH OFFSET
 *   calls splice-from PATH OFFSET LENGTH
 *   calls splice-into PATH OFFSET
 *   calls sendfile-from PATH OFFSET LENGTH
 *   calls sendfile-into PATH OFFSET FROM LENGTH
 *   calls fallocate PATH MODE OFFSET LENGTH
 *   calls read PATH OFFSET LENGTH
 *   calls write PATH OFFSET                 (and fsync)
 *   calls ftruncate PATH LENGTH
 *   calls seek-data PATH OFFSET
 *   calls copy-from PATH OFFSET INTO LENGTH (copy_file_range)
 *   calls copy-into PATH OFFSET FROM LENGTH
 *
 * Exits with the errno; a failed memory access kills it with SIGBUS.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define PAGE 4096
#define MOST (1 << 20)

static void
need(int good)
{
    if (!good)
        _exit(errno ? errno : 255);
}

static int
opened(const char *path, int flags)
{
    int fd = open(path, flags);

    need(fd >= 0);
    return fd;
}

static void
put(const char *bytes, size_t length)
{
    while (length) {
        ssize_t done = write(1, bytes, length);
        need(done > 0);
        bytes += done;
        length -= (size_t)done;
    }
}

static size_t
take(char *bytes)
{
    size_t length = 0;
    ssize_t got = 0;

    while ((got = read(0, bytes + length, MOST - length)) > 0)
        length += (size_t)got;
    need(!got);
    return length;
}

static void
map(const char *path, off_t offset, size_t length, const char *new)
{
    int fd = opened(path, new ? O_RDWR : O_RDONLY);
    off_t start = offset / PAGE * PAGE;
    size_t size = length + (size_t)(offset - start);
    char *memory = mmap(NULL, size, PROT_READ | (new ? PROT_WRITE : 0),
                        MAP_SHARED, fd, start);

    need(memory != MAP_FAILED);
    if (new) {
        memcpy(memory + (offset - start), new, length);
        need(!msync(memory, size, MS_SYNC));
    } else {
        put(memory + (offset - start), length);
    }
}

/* Splices in either direction until `length` bytes are moved or the pipe is empty. */
static void
splice_all(const char *path, int from, off_t offset, size_t length)
{
    int fd = opened(path, from ? O_RDONLY : O_WRONLY);
    ssize_t done = 1;

    while (length && done) {
        if (from)
            done = splice(fd, &offset, 1, NULL, length, 0);
        else
            done = splice(0, NULL, fd, &offset, length, 0);
        need(done >= 0);
        length -= (size_t)done;
    }
}

static void
send_all(int out, const char *path, off_t offset, size_t length)
{
    int fd = opened(path, O_RDONLY);
    ssize_t done = 1;

    while (length && done) {
        done = sendfile(out, fd, &offset, length);
        need(done >= 0);
        length -= (size_t)done;
    }
}

int
main(int argc, char **argv)
{
    static char bytes[MOST] __attribute__((aligned(PAGE)));

    if (argc < 4)
        return 255;
    const char *what = argv[1], *path = argv[2];
    off_t offset = atoll(argv[3]);
    size_t length = argc > 4 ? (size_t)atoll(argv[argc - 1]) : 0;

    if (!strcmp(what, "truncate")) {
        need(!truncate(path, offset));
    } else if (!strcmp(what, "mmap-read")) {
        map(path, offset, length, NULL);
    } else if (!strcmp(what, "mmap-write")) {
        length = take(bytes);
        map(path, offset, length, bytes);
    } else if (!strcmp(what, "direct-read")) {
        ssize_t got = pread(opened(path, O_RDONLY | O_DIRECT), bytes, length, offset);
        need(got >= 0);
        put(bytes, (size_t)got);
    } else if (!strcmp(what, "direct-write")) {
        length = take(bytes);
        need(pwrite(opened(path, O_WRONLY | O_DIRECT), bytes, length, offset) ==
             (ssize_t)length);
    } else if (!strcmp(what, "splice-from")) {
        splice_all(path, 1, offset, length);
    } else if (!strcmp(what, "splice-into")) {
        splice_all(path, 0, offset, MOST);
    } else if (!strcmp(what, "sendfile-from")) {
        send_all(1, path, offset, length);
    } else if (!strcmp(what, "sendfile-into") && argc == 6) {
        int out = opened(path, O_WRONLY);
        need(lseek(out, offset, SEEK_SET) >= 0);
        send_all(out, argv[4], 0, length);
    } else if (!strcmp(what, "fallocate") && argc == 6) {
        need(!fallocate(opened(path, O_RDWR), (int)offset, atoll(argv[4]), (off_t)length));
    } else if (!strcmp(what, "read")) {
        ssize_t got = pread(opened(path, O_RDONLY), bytes, length, offset);
        need(got >= 0);
        put(bytes, (size_t)got);
    } else if (!strcmp(what, "write")) {
        int fd = opened(path, O_WRONLY);
        length = take(bytes);
        need(pwrite(fd, bytes, length, offset) == (ssize_t)length);
        need(!fsync(fd));
    } else if (!strcmp(what, "ftruncate")) {
        need(!ftruncate(opened(path, O_WRONLY), offset));
    } else if (!strcmp(what, "seek-data")) {
        need(lseek(opened(path, O_RDONLY), offset, SEEK_DATA) >= 0);
    } else if (!strncmp(what, "copy-", 5) && argc == 6) {
        int from = !strcmp(what, "copy-from");
        int in = opened(from ? path : argv[4], O_RDONLY);
        int out = opened(from ? argv[4] : path, O_WRONLY);
        off_t zero = 0;
        need(copy_file_range(in, from ? &offset : &zero, out, from ? &zero : &offset, length, 0) >= 0);
        need(!fsync(out));
    } else {
        return 255;
    }
    return 0;
}
