/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* An application that uses libgfapi, as qemu does. It does what commands.h says.
 *
 *   native VOLUME HOST LOG METRICS
 *
 * Once a second it writes the volume's metrics to the file METRICS.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "commands.h"
#include "../volume/gfapi.h"

static glfs_t *fs;
static const char *metrics;
static atomic_bool ends;

static void *
write_metrics(void *arg)
{
    static char text[64 << 10];
    char fresh[4096];

    snprintf(fresh, sizeof(fresh), "%s.new", metrics);
    for (; !ends; sleep(1)) {
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

static void *
open_file(const char *path, int flags)
{
    return flags & O_CREAT ? glfs_creat(fs, path, flags, 0644) : glfs_open(fs, path, flags);
}

static ssize_t
read_file(void *file, void *to, size_t length, off_t offset)
{
    return glfs_pread(file, to, length, offset, 0, NULL);
}

static ssize_t
write_file(void *file, const void *from, size_t length, off_t offset)
{
    return glfs_pwrite(file, from, length, offset, 0, NULL, NULL);
}

static int
truncate_file(void *file, off_t size)
{
    return glfs_ftruncate(file, size, NULL, NULL);
}

static int
sync_file(void *file)
{
    return glfs_fsync(file, NULL, NULL);
}

static int
close_file(void *file)
{
    return glfs_close(file);
}

static int
rename_file(const char *from, const char *to)
{
    return glfs_rename(fs, from, to);
}

static int
remove_file(const char *path)
{
    return glfs_unlink(fs, path);
}

int
main(int argc, char **argv)
{
    const struct calls calls = {
        .open = open_file,
        .read = read_file,
        .write = write_file,
        .truncate = truncate_file,
        .sync = sync_file,
        .close = close_file,
        .rename = rename_file,
        .remove = remove_file,
    };
    pthread_t thread;

    if (argc != 5)
        return 2;
    fs = client(argv[1], argv[2], argv[3]);
    metrics = argv[4];
    if (pthread_create(&thread, NULL, write_metrics, NULL))
        die("thread");
    int code = serve(&calls, stdout);
    ends = true;
    pthread_join(thread, NULL);
    return glfs_fini(fs) ? 1 : code;
}
