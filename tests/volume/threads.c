/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Threads of one program that concurrently create the same new file and each append to it, like GlusterFS's own
 * shard-append-test:
 *
 *   threads VOLUME HOST LOG PATH THREADS RECORDS SIZE [created]
 *
 * All threads start together, with the client's first operation; with "created", the client creates the file first.
 * Prints the calls that failed, and the file's size.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gfapi.h"

static glfs_t *fs;
static const char *path;
static int records, size;
static pthread_barrier_t together;

static void
failed(const char *what)
{
    printf("%s %s: %s\n", path, what, strerrorname_np(errno));
}

static void *
append(void *number)
{
    char *record = malloc(size);

    memset(record, 'a' + (int)(long)number, size);
    pthread_barrier_wait(&together);
    /* A race in GlusterFS: once in a thousand runs, create fails with EEXIST although O_EXCL is not set. */
    glfs_fd_t *fd = NULL;
    for (int tries = 0; !fd && tries < 5; tries++) {
        fd = glfs_creat(fs, path, O_RDWR | O_APPEND, 0644);
        if (!fd && errno != EEXIST && errno != ESTALE && errno != ENOENT)
            break;
    }
    if (!fd) {
        failed("create");
        free(record);
        return NULL;
    }
    for (int i = 0; i < records; i++)
        if (glfs_write(fd, record, size, 0) != size)
            failed("write");
    if (glfs_close(fd))
        failed("close");
    free(record);
    return NULL;
}

int
main(int argc, char **argv)
{
    pthread_t threads[64];
    struct stat stat;

    if (argc != 8 && argc != 9)
        return 2;
    path = argv[4];
    int count = atoi(argv[5]);
    records = atoi(argv[6]);
    size = atoi(argv[7]);
    fs = client(argv[1], argv[2], argv[3]);
    if (argc == 9) {
        glfs_fd_t *fd = glfs_creat(fs, path, O_RDWR, 0644);
        if (!fd || glfs_close(fd))
            failed("create");
    }
    pthread_barrier_init(&together, NULL, count);
    for (long i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, append, (void *)i);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    if (glfs_stat(fs, path, &stat))
        failed("stat");
    else
        printf("%s has %lld bytes\n", path, (long long)stat.st_size);
    /* Closing the volume takes ten seconds; another test covers it. */
    fflush(stdout);
    _exit(0);
}
