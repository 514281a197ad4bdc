/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Tries every way to truncate or change a file, each on its own file below DIR, and prints the outcome of each:
 *
 *   guards fuse UID DIR                  (through a mount)
 *   guards VOLUME HOST LOG UID DIR       (through gfapi)
 *
 * It first opens the files of the `held` actions, prints `ready`, and waits for a line before it does the rest.
 * Everything is opened with O_NONBLOCK: without it, an operation waits for a mandatory lock instead of being refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gfapi.h"

#define SOME 1000

static glfs_t *fs;
static const char *dir;
static char path[4096];

/* A file descriptor or a gfapi descriptor. */
struct file {
    int fd;
    glfs_fd_t *gfd;
};

static void
set_path(const char *action)
{
    snprintf(path, sizeof(path), "%s/%s", dir, action);
}

static int
open_file(const char *action, int flags, struct file *file)
{
    set_path(action);
    flags |= O_NONBLOCK;
    if (!fs)
        return file->fd = open(path, flags, 0644);
    file->gfd = (flags & O_CREAT) ? glfs_creat(fs, path, flags, 0644) : glfs_open(fs, path, flags);
    return file->gfd ? 0 : -1;
}

static int
truncate_file(struct file *file, off_t size)
{
    return fs ? glfs_ftruncate(file->gfd, size, NULL, NULL) : ftruncate(file->fd, size);
}

static int
truncate_path(const char *action, off_t size)
{
    set_path(action);
    return fs ? glfs_truncate(fs, path, size) : truncate(path, size);
}

/* An earlier error may be reported only by the close. */
static int
close_file(struct file *file)
{
    return fs ? glfs_close(file->gfd) : close(file->fd);
}

static void
report(const char *action, int result)
{
    printf("%s %s\n", action, result < 0 ? strerrorname_np(errno) : "done");
}

static void
by_descriptor(const char *action, off_t size)
{
    struct file file = {0};

    if (open_file(action, O_WRONLY, &file) < 0)
        return report(action, -1);
    report(action, truncate_file(&file, size));
    close_file(&file);
}

static void
by_open(const char *action, int flags)
{
    struct file file = {0};
    int result = open_file(action, O_WRONLY | O_TRUNC | flags, &file);

    if (result >= 0)
        result = close_file(&file);
    report(action, result);
}

/* A write may be refused as late as at the close. */
static void
by_change(const char *action, int (*change)(struct file *))
{
    struct file file = {0};
    int result, error;

    if (open_file(action, O_WRONLY, &file) < 0)
        return report(action, -1);
    result = change(&file);
    if (result >= 0)
        result = fs ? glfs_fsync(file.gfd, NULL, NULL) : fsync(file.fd);
    error = errno;
    if (close_file(&file) < 0 && result >= 0)
        return report(action, -1);
    errno = error;
    report(action, result);
}

static int
write_some(struct file *file)
{
    static const char text[] = "WRITTEN";

    return fs ? glfs_pwrite(file->gfd, text, 7, SOME, 0, NULL, NULL) : pwrite(file->fd, text, 7, SOME);
}

static int
discard_some(struct file *file)
{
    return fs ? glfs_discard(file->gfd, SOME, SOME)
              : fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SOME, SOME);
}

/* If the open was refused, that is the result of the action. */
static void
by_held(const char *action, struct file *file, int error, off_t size)
{
    errno = error;
    report(action, error ? -1 : truncate_file(file, size));
}

static int
open_held(const char *action, struct file *file)
{
    return open_file(action, O_WRONLY, file) < 0 ? errno : 0;
}

int
main(int argc, char **argv)
{
    struct file none = {0}, some = {0};
    int user = atoi(argv[argc - 2]);

    setvbuf(stdout, NULL, _IOLBF, 0);
    dir = argv[argc - 1];
    if (argc == 6) {
        fs = client(argv[1], argv[2], argv[3]);
        if (user && (glfs_setfsgroups(0, NULL) || glfs_setfsgid(user) || glfs_setfsuid(user)))
            die("user");
    } else if (user && (setgroups(0, NULL) || setgid(user) || setuid(user))) {
        die("user");
    }
    int none_error = open_held("held-0", &none);
    int some_error = open_held("held-n", &some);

    puts("ready");
    getchar();
    report("truncate-0", truncate_path("truncate-0", 0));
    report("truncate-n", truncate_path("truncate-n", SOME));
    by_descriptor("ftruncate-0", 0);
    by_descriptor("ftruncate-n", SOME);
    by_open("open", 0);
    by_open("create", O_CREAT);
    by_change("write", write_some);
    by_change("discard", discard_some);
    by_held("held-0", &none, none_error, 0);
    by_held("held-n", &some, some_error, SOME);
    /* Closing a gfapi volume takes ten seconds; another test covers it. */
    fflush(stdout);
    _exit(0);
}
