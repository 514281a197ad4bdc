/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Tries to cut files in every way there is, and to change them, each a file of its own below DIR, and says of each what came of it:
 *
 *   guards fuse UID DIR                  (through a mount)
 *   guards VOLUME HOST LOG UID DIR       (through gfapi)
 *
 * What it holds open it opens first; then it says `ready` and waits for a line before it does the rest. All is opened
 * with O_NONBLOCK: without it, a mandatory lock is waited for and refuses nothing.
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

/* A descriptor of either kind; NULL when there is none. */
struct file {
    int fd;
    glfs_fd_t *gfd;
};

static void
name(const char *act)
{
    snprintf(path, sizeof(path), "%s/%s", dir, act);
}

static int
open_file(const char *act, int flags, struct file *file)
{
    name(act);
    flags |= O_NONBLOCK;
    if (!fs)
        return file->fd = open(path, flags, 0644);
    file->gfd = (flags & O_CREAT) ? glfs_creat(fs, path, flags, 0644) : glfs_open(fs, path, flags);
    return file->gfd ? 0 : -1;
}

static int
cut_file(struct file *file, off_t size)
{
    return fs ? glfs_ftruncate(file->gfd, size, NULL, NULL) : ftruncate(file->fd, size);
}

static int
cut_path(const char *act, off_t size)
{
    name(act);
    return fs ? glfs_truncate(fs, path, size) : truncate(path, size);
}

/* A close may hear of what went wrong before. */
static int
close_file(struct file *file)
{
    return fs ? glfs_close(file->gfd) : close(file->fd);
}

static void
say(const char *act, int result)
{
    printf("%s %s\n", act, result < 0 ? strerrorname_np(errno) : "done");
}

static void
by_descriptor(const char *act, off_t size)
{
    struct file file = {0};

    if (open_file(act, O_WRONLY, &file) < 0)
        return say(act, -1);
    say(act, cut_file(&file, size));
    close_file(&file);
}

static void
by_open(const char *act, int flags)
{
    struct file file = {0};
    int result = open_file(act, O_WRONLY | O_TRUNC | flags, &file);

    if (result >= 0)
        result = close_file(&file);
    say(act, result);
}

/* What is written may be refused as late as at the close. */
static void
by_change(const char *act, int (*change)(struct file *))
{
    struct file file = {0};
    int result, error;

    if (open_file(act, O_WRONLY, &file) < 0)
        return say(act, -1);
    result = change(&file);
    if (result >= 0)
        result = fs ? glfs_fsync(file.gfd, NULL, NULL) : fsync(file.fd);
    error = errno;
    if (close_file(&file) < 0 && result >= 0)
        return say(act, -1);
    errno = error;
    say(act, result);
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

/* An open that was refused counts as its cut. */
static void
by_held(const char *act, struct file *file, int error, off_t size)
{
    errno = error;
    say(act, error ? -1 : cut_file(file, size));
}

static int
hold(const char *act, struct file *file)
{
    return open_file(act, O_WRONLY, file) < 0 ? errno : 0;
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
    int none_error = hold("held-0", &none);
    int some_error = hold("held-n", &some);

    puts("ready");
    getchar();
    say("truncate-0", cut_path("truncate-0", 0));
    say("truncate-n", cut_path("truncate-n", SOME));
    by_descriptor("ftruncate-0", 0);
    by_descriptor("ftruncate-n", SOME);
    by_open("open", 0);
    by_open("create", O_CREAT);
    by_change("write", write_some);
    by_change("discard", discard_some);
    by_held("held-0", &none, none_error, 0);
    by_held("held-n", &some, some_error, SOME);
    /* The end of a gfapi volume takes ten seconds and is another test's. */
    fflush(stdout);
    _exit(0);
}
