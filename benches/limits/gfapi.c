/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* A client without a mount, whose instructions valgrind counts: only those of the COUNT operations, after one of each
 * kind has been done.
 *
 *   gfapi VOLUME HOST LOG randread|read|write|metadata COUNT
 */
#define _GNU_SOURCE /* O_DIRECT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <valgrind/callgrind.h>
#include "../../tests/volume/gfapi.h"

#define SMALL 4096
#define LARGE (1 << 20)
#define LENGTH (8 << 20)

static char buffer[LARGE];

static void
metadata(glfs_t *fs)
{
    struct stat data;
    glfs_fd_t *fd = glfs_creat(fs, "/counted-new", O_WRONLY, 0644);

    if (!fd || glfs_close(fd))
        die("create");
    if (glfs_stat(fs, "/counted-new", &data))
        die("stat");
    if (glfs_rename(fs, "/counted-new", "/counted-renamed"))
        die("rename");
    if (glfs_unlink(fs, "/counted-renamed"))
        die("unlink");
}

static void
operation(glfs_t *fs, glfs_fd_t *fd, const char *what, unsigned int number)
{
    size_t size = what[0] == 'r' && what[2] == 'n' ? SMALL : LARGE;
    off_t offset = (off_t)(number * 2654435761u % (LENGTH / size)) * (off_t)size;

    if (!strcmp(what, "metadata"))
        metadata(fs);
    else if (!strcmp(what, "write")) {
        if (glfs_pwrite(fd, buffer, size, offset, 0, NULL, NULL) != (ssize_t)size)
            die("write");
    } else if (glfs_pread(fd, buffer, size, offset, 0, NULL) != (ssize_t)size)
        die("read");
}

int
main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    unsigned int count = (unsigned int)atoi(argv[5]);
    glfs_t *fs = client(argv[1], argv[2], argv[3]);
    glfs_fd_t *fd = glfs_creat(fs, "/counted", O_RDWR, 0644);
    if (!fd)
        die("creat");
    for (off_t at = 0; at < LENGTH; at += LARGE)
        if (glfs_pwrite(fd, buffer, LARGE, at, 0, NULL, NULL) != LARGE)
            die("fill");
    if (glfs_close(fd))
        die("close");
    /* Bypasses the host's caches, so that every read takes the whole path. */
    fd = glfs_open(fs, "/counted", O_RDWR | O_DIRECT);
    if (!fd)
        die("open");
    operation(fs, fd, argv[4], 0);
    CALLGRIND_START_INSTRUMENTATION;
    for (unsigned int number = 0; number < count; number++)
        operation(fs, fd, argv[4], number);
    CALLGRIND_STOP_INSTRUMENTATION;
    printf("done\n");
    fflush(stdout);
    /* Skips glfs_fini, which takes ten seconds. */
    _exit(0);
}
