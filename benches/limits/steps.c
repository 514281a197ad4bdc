/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* What an archive must do to a file that another program has copied, by a client without a mount: look it up, lock it, look at it,
 * mark it, record where its bytes are, truncate and sync it, take the mark away, unlock it. Without any of them, a file could be lost.
 *
 *   steps VOLUME HOST LOG FOLDER THREADS FILES
 *
 * The files are named 0, 1, ... FILES - 1.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include "../../tests/volume/gfapi.h"

static glfs_t *fs;
static const char *folder;
static int files;
static atomic_int next;

static void
lock(glfs_fd_t *fd, short type)
{
    struct flock flock = {.l_type = type, .l_whence = SEEK_SET};

    if (glfs_posix_lock(fd, F_SETLKW, &flock))
        die("lock");
}

static void
set(glfs_fd_t *fd, const char *name, const char *value)
{
    if (glfs_fsetxattr(fd, name, value, strlen(value), 0))
        die("setxattr");
}

static void
archive(int number)
{
    char path[256];
    struct stat data;
    glfs_fd_t *fd;

    snprintf(path, sizeof(path), "/%s/%d", folder, number);
    fd = glfs_open(fs, path, O_RDWR);
    if (!fd)
        die("open");
    lock(fd, F_WRLCK);
    if (glfs_fstat(fd, &data))
        die("stat");
    set(fd, "user.mark", path);
    set(fd, "user.record", path);
    if (glfs_ftruncate(fd, 0, NULL, NULL))
        die("truncate");
    if (glfs_fsync(fd, NULL, NULL))
        die("sync");
    if (glfs_fremovexattr(fd, "user.mark"))
        die("removexattr");
    lock(fd, F_UNLCK);
    if (glfs_close(fd))
        die("close");
}

static void *
work(void *unused)
{
    int number;

    while ((number = next++) < files)
        archive(number);
    return unused;
}

int
main(int argc, char **argv)
{
    enum { MOST = 64 };
    pthread_t threads[MOST];

    if (argc != 7)
        return 2;
    fs = client(argv[1], argv[2], argv[3]);
    folder = argv[4];
    int count = atoi(argv[5]);
    files = atoi(argv[6]);
    if (count > MOST)
        return 2;
    for (int at = 0; at < count; at++)
        if (pthread_create(&threads[at], NULL, work, NULL))
            die("thread");
    for (int at = 0; at < count; at++)
        pthread_join(threads[at], NULL);
    printf("done\n");
    fflush(stdout);
    /* Skips glfs_fini, which takes ten seconds. */
    _exit(0);
}
