/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* A client without a mount, like Samba, Ganesha and qemu. Reads a file, or changes and reads it, and prints the size and
 * checksum of what it read:
 *
 *   gfapi VOLUME HOST LOG read PATH
 *   gfapi VOLUME HOST LOG write PATH OFFSET TEXT
 *   gfapi VOLUME HOST LOG replace PATH 0 TEXT        (O_TRUNC)
 *   gfapi VOLUME HOST LOG archive PATH 0 TEXT        (the handshake, without a read)
 *   gfapi VOLUME HOST LOG leave PATH 0 TEXT          (the same, closing the volume before it is answered)
 *   gfapi VOLUME HOST LOG metrics PATH 0 NAME        (a read, then the sample of the metrics that begins with NAME)
 *   gfapi VOLUME HOST LOG quit PATH 0 ''              (a read, closing the volume before it is answered)
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "gfapi.h"

static void
change(glfs_t *fs, const char *path, int flags, off_t offset, const char *text)
{
    glfs_fd_t *fd = glfs_open(fs, path, O_RDWR | flags);

    if (!fd)
        die("open to write");
    if (glfs_lseek(fd, offset, SEEK_SET) < 0)
        die("seek");
    if (glfs_write(fd, text, strlen(text), 0) != (ssize_t)strlen(text))
        die("write");
    if (glfs_close(fd))
        die("close after write");
}

static void
archive(glfs_t *fs, const char *path, const char *text)
{
    if (glfs_setxattr(fs, path, "trusted.glusterfs.csou.complete", text, strlen(text), 0))
        die("archive");
}

/* The handshake of a thread, and whether it was answered. */
static struct leaving {
    glfs_t *fs;
    const char *path;
    const char *text;
    int answered;
} leaving;

static void *
archive_in_thread(void *arg)
{
    glfs_setxattr(leaving.fs, leaving.path, "trusted.glusterfs.csou.complete", leaving.text, strlen(leaving.text), 0);
    __atomic_store_n(&leaving.answered, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void *
read_in_thread(void *arg)
{
    char buffer[4096];
    glfs_fd_t *fd = glfs_open(leaving.fs, leaving.path, O_RDONLY);

    if (!fd)
        die("open to read");
    glfs_read(fd, buffer, sizeof(buffer), 0);
    __atomic_store_n(&leaving.answered, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void
leave(glfs_t *fs, const char *path, const char *text, void *(*act)(void *))
{
    pthread_t thread;

    leaving.fs = fs;
    leaving.path = path;
    leaving.text = text;
    if (pthread_create(&thread, NULL, act, NULL))
        die("thread");
    sleep(1);
}

static void
metrics(glfs_t *fs, const char *path, const char *name)
{
    static char text[64 << 10];
    char byte = 0;
    ssize_t size = 0;
    glfs_fd_t *fd = glfs_open(fs, path, O_RDONLY);

    if (!fd || glfs_read(fd, &byte, 1, 0) != 1 || glfs_close(fd))
        die("read");
    size = glfs_getxattr(fs, "/", "glusterfs.cloudsync.metrics", text, sizeof(text) - 1);
    if (size < 0)
        die("metrics");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (!strncmp(line, name, strlen(name)))
            printf("%s\n", line);
}

/* FNV-1a, as in the test. */
static void
checksum(glfs_t *fs, const char *path)
{
    static unsigned char buffer[1 << 20];
    uint64_t sum = 0xcbf29ce484222325;
    size_t size = 0;
    ssize_t got = 0;
    glfs_fd_t *fd = glfs_open(fs, path, O_RDONLY);

    if (!fd)
        die("open to read");
    while ((got = glfs_read(fd, buffer, sizeof(buffer), 0)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            sum = (sum ^ buffer[i]) * 0x100000001b3;
        size += (size_t)got;
    }
    if (got < 0)
        die("read");
    if (glfs_close(fd))
        die("close after read");
    printf("%zu bytes, sum %016" PRIx64 "\n", size, sum);
}

/* Prints the stack of the thread that crashed: not every machine keeps a core file where a test finds it. */
static void
crashed(int number)
{
    static const char head[] = "\ncrashed:\n";
    void *frames[32];

    if (write(STDOUT_FILENO, head, sizeof(head) - 1) > 0)
        backtrace_symbols_fd(frames, backtrace(frames, 32), STDOUT_FILENO);
    /* The handler is gone (SA_RESETHAND): this ends the program. */
    raise(number);
}

static void
watch_for_crashes(void)
{
    const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
    const struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_RESETHAND};
    void *frame;

    /* The first call loads a library, which a crashed program may not be able to do. */
    backtrace(&frame, 1);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
}

int
main(int argc, char **argv)
{
    if (argc != 6 && argc != 8)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    watch_for_crashes();
    glfs_t *fs = client(argv[1], argv[2], argv[3]);
    if (!strcmp(argv[4], "write"))
        change(fs, argv[5], 0, atoll(argv[6]), argv[7]);
    else if (!strcmp(argv[4], "replace"))
        change(fs, argv[5], O_TRUNC, 0, argv[7]);
    if (!strcmp(argv[4], "archive"))
        archive(fs, argv[5], argv[7]);
    else if (!strcmp(argv[4], "leave"))
        leave(fs, argv[5], argv[7], archive_in_thread);
    else if (!strcmp(argv[4], "quit"))
        leave(fs, argv[5], argv[7], read_in_thread);
    else if (!strcmp(argv[4], "metrics"))
        metrics(fs, argv[5], argv[7]);
    else
        checksum(fs, argv[5]);

    time_t started = time(NULL);
    int result = glfs_fini(fs);
    if (leaving.fs)
        printf("%s\n", __atomic_load_n(&leaving.answered, __ATOMIC_ACQUIRE) ? "answered" : "not answered");
    printf("fini %d after %ld s\n", result, (long)(time(NULL) - started));
    return 0;
}
