/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * A stand-in for libopenarchive.so, which the plugin `cvlt` that GlusterFS ships opens. Its archive is the folder that the
 * environment variable ARCHIVE names. Reads are answered on threads of its own; a restore reports success at once, as if
 * it had written the file by other means.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct store {
    char *id;
    uint32_t id_length;
    char *product;
    uint32_t product_length;
};

struct file {
    unsigned char uuid[16];
    char *path;
    uint32_t path_length;
};

typedef void (*done_t)(void *archive, void *info, void *cookie, int64_t result, int32_t error);

struct job {
    void *archive;
    done_t done;
    void *cookie;
    char path[4096];
    off_t offset;
    char *buffer;
    size_t size;
};

static void *
run(void *argument)
{
    struct job *job = argument;
    int64_t got = 0;
    int fd;

    if (job->buffer) {
        fd = open(job->path, O_RDONLY);
        got = fd < 0 ? -1 : pread(fd, job->buffer, job->size, job->offset);
        if (fd >= 0)
            close(fd);
    }
    job->done(job->archive, NULL, job->cookie, got, got < 0 ? 5 : 0);
    free(job);
    return NULL;
}

static int32_t
start(const struct job *job, const struct file *file)
{
    struct job *copy = malloc(sizeof(*copy));
    pthread_t thread;

    *copy = *job;
    snprintf(copy->path, sizeof(copy->path), "%s/%.*s", getenv("ARCHIVE"), (int)file->path_length, file->path);
    if (pthread_create(&thread, NULL, run, copy) != 0)
        return -1;
    pthread_detach(thread);
    return 0;
}

static int32_t
fine(void)
{
    return 0;
}

static int32_t
restore(void *archive, struct store *from, struct file *file, struct store *to, struct file *target, int32_t *error,
        done_t done, void *cookie)
{
    (void)from, (void)error;
    /* In place, so it is told the volume, and the file by its gfid. */
    if (strncmp(to->product, "glusterfs", to->product_length) != 0 || to->id_length == 0 || target->uuid[6] == 0)
        abort();
    return start(&(struct job){.archive = archive, .done = done, .cookie = cookie}, file);
}

static int32_t
read_file(void *archive, struct store *from, struct file *file, off_t offset, char *buffer, size_t size, int32_t *error,
          done_t done, void *cookie)
{
    (void)error;
    if (strncmp(from->id, "path=", 5) != 0 || strncmp(from->product, "recalls=", 8) != 0)
        abort();
    return start(&(struct job){archive, done, cookie, "", offset, buffer, size}, file);
}

int32_t
get_archstore_methods(void **table);

int32_t
get_archstore_methods(void **table)
{
    for (int slot = 0; slot < 8; slot++)
        table[slot] = (void *)fine;
    table[5] = (void *)restore;
    table[7] = (void *)read_file;
    return 0;
}
