/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* What an application without a mount is told to do, by its input, until that ends.
 *
 * Each line is a command, followed by LENGTH bytes if it writes:
 *
 *   read PATH OFFSET LENGTH      write PATH OFFSET LENGTH     append PATH SIZE LENGTH    replace PATH 0 LENGTH
 *   truncate PATH SIZE 0         rename PATH 0 0 (the next line is the new path)      remove PATH 0 0
 *
 * It answers "ok 0 LENGTH" and that many bytes, or "errno NUMBER 0". The first line of its output is its process id.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How the program does it. Each sets errno if it fails. */
struct calls {
    void *(*open)(const char *path, int flags);
    ssize_t (*read)(void *file, void *to, size_t length, off_t offset);
    /* If the file was opened with O_APPEND, the offset is its end. */
    ssize_t (*write)(void *file, const void *from, size_t length, off_t offset);
    int (*truncate)(void *file, off_t size);
    int (*sync)(void *file);
    int (*close)(void *file);
    int (*rename)(const char *from, const char *to);
    int (*remove)(const char *path);
};

/* Reads or writes all of it, up to the end of the file. Returns how much, or -1. */
static ssize_t
transfer(const struct calls *calls, void *file, char *buffer, size_t length, off_t offset, int writes)
{
    size_t done = 0;

    while (done < length) {
        off_t at = offset + (off_t)done;
        ssize_t part = writes ? calls->write(file, buffer + done, length - done, at)
                              : calls->read(file, buffer + done, length - done, at);
        if (part < 0)
            return -1;
        if (part == 0)
            break;
        done += (size_t)part;
    }
    return (ssize_t)done;
}

/* An operation on an open file; a change is synced. Returns the number of bytes, or -1. */
static ssize_t
opened(const struct calls *calls, const char *command, const char *path, off_t offset, char *buffer, size_t length)
{
    const int reads = !strcmp(command, "read");
    const int truncates = !strcmp(command, "truncate");
    int flags = reads ? O_RDONLY : O_WRONLY;

    if (!strcmp(command, "append"))
        flags |= O_APPEND;
    if (!strcmp(command, "replace"))
        flags |= O_CREAT | O_TRUNC;
    void *file = calls->open(path, flags);
    ssize_t result = 0;
    if (!file)
        return -1;
    if (truncates)
        result = calls->truncate(file, offset);
    else
        result = transfer(calls, file, buffer, length, offset, !reads);
    if (!reads && result >= 0) {
        if (!truncates && (size_t)result != length) {
            errno = EPIPE;
            result = -1;
        } else if (calls->sync(file))
            result = -1;
    }
    int number = errno;
    if (calls->close(file) && result >= 0 && !reads)
        return -1;
    errno = number;
    return result;
}

/* Does all that the input says. Returns the program's exit code. */
static int
serve(const struct calls *calls, FILE *output)
{
    char line[4096], command[16], path[2048], to[2048];
    static char *buffer;
    uint64_t offset, length;

    fprintf(output, "%d\n", (int)getpid());
    fflush(output);
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "%15s %2047s %" SCNu64 " %" SCNu64, command, path, &offset, &length) != 4)
            return 2;
        buffer = realloc(buffer, length + 1);
        int reads = !strcmp(command, "read");
        if (!buffer || (!reads && fread(buffer, 1, length, stdin) != length))
            return 2;
        ssize_t result = 0;
        if (!strcmp(command, "remove"))
            result = calls->remove(path);
        else if (!strcmp(command, "rename")) {
            if (!fgets(to, sizeof(to), stdin))
                return 2;
            to[strcspn(to, "\n")] = '\0';
            result = calls->rename(path, to);
        } else
            result = opened(calls, command, path, (off_t)offset, buffer, length);
        if (result < 0)
            fprintf(output, "errno %d 0\n", errno);
        else {
            size_t size = reads ? (size_t)result : 0;
            fprintf(output, "ok 0 %zu\n", size);
            fwrite(buffer, 1, size, output);
        }
        fflush(output);
    }
    return 0;
}
