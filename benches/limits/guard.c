/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* A client without a mount that goes one of the guarded paths, once to begin with and then for each line of a list, during
 * which valgrind counts its instructions. The bricks count its operations.
 *
 *   guard VOLUME HOST LOG read|lookup|remote|recall|archive LIST
 *
 * A line is a path, and with `archive`, after a tab, the value of the handshake; with `read` and `remote`, the offset of a
 * read. The first line is the one to begin with.
 */
#define _GNU_SOURCE /* O_DIRECT */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <valgrind/callgrind.h>
#include "../../tests/volume/gfapi.h"

#define COMPLETE "trusted.glusterfs.csou.complete"

static char buffer[128 << 10];

/* Reads from the one file that stays open. */
static void
read_at(glfs_t *fs, const char *path, const char *offset, ssize_t size)
{
    static glfs_fd_t *fd;

    if (!fd)
        fd = glfs_open(fs, path, O_RDONLY | O_DIRECT);
    if (!fd)
        die("open");
    if (glfs_pread(fd, buffer, (size_t)size, atoll(offset), 0, NULL) != size)
        die("read");
}

/* A write waits for the end of the recall. */
static void
recall(glfs_t *fs, const char *path)
{
    glfs_fd_t *fd = glfs_open(fs, path, O_RDWR);

    if (!fd)
        die("open");
    if (glfs_pread(fd, buffer, 16 << 10, 0, 0, NULL) != 16 << 10)
        die("read");
    if (glfs_pwrite(fd, buffer, 1, 0, 0, NULL, NULL) != 1)
        die("write");
    if (glfs_close(fd))
        die("close");
}

static void
operation(glfs_t *fs, const char *what, const char *path, const char *value)
{
    struct stat data;

    if (!strcmp(what, "read"))
        read_at(fs, path, value, 4 << 10);
    else if (!strcmp(what, "remote"))
        read_at(fs, path, value, 128 << 10);
    else if (!strcmp(what, "recall"))
        recall(fs, path);
    else if (!strcmp(what, "archive")) {
        if (glfs_setxattr(fs, path, COMPLETE, value, strlen(value), 0))
            die("handshake");
    } else if (glfs_stat(fs, path, &data))
        die("stat");
}

int
main(int argc, char **argv)
{
    char line[1024];
    int number = 0;

    if (argc != 6)
        return 2;
    glfs_t *fs = client(argv[1], argv[2], argv[3]);
    FILE *list = fopen(argv[5], "r");
    if (!list)
        die("list");
    while (fgets(line, sizeof(line), list)) {
        const char *path = strtok(line, "\t\n"), *value = strtok(NULL, "\n");
        if (number++ == 1)
            CALLGRIND_START_INSTRUMENTATION;
        operation(fs, argv[4], path, value ? value : "");
    }
    CALLGRIND_STOP_INSTRUMENTATION;
    printf("done\n");
    fflush(stdout);
    /* Skips glfs_fini, which takes ten seconds. */
    _exit(0);
}
