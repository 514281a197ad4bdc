/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* An application that uses a share of Samba's, as a client of Windows does. It does what commands.h says.
 *
 *   samba SHARE PORT CONFIGURATION
 *
 * SHARE is smb://HOST/NAME. The configuration is Samba's, so that no file of this machine matters.
 */
#include <samba-4.0/libsmbclient.h>
#include "commands.h"

/* Longer than any operation may take: after it, libsmbclient gives the connection up. */
#define TIMEOUT_MS (600 * 1000)

static SMBCCTX *context;
static const char *share;

/* Paths begin with a slash, and have no character that a URL cannot have. */
static const char *
url(const char *path, int number)
{
    static char urls[2][4096];

    snprintf(urls[number], sizeof(urls[number]), "%s%s", share, path);
    return urls[number];
}

static void *
open_file(const char *path, int flags)
{
    /* Of no use: the protocol knows no append, so libsmbclient asks for the file's size and writes there; and what smbd
     * tells may be the size that md-cache has known for a second, which another client has changed since. */
    flags &= ~O_APPEND;
    return smbc_getFunctionOpen(context)(context, url(path, 0), flags, 0644);
}

/* A file has one position and no pread. */
static int
seek(void *file, off_t offset)
{
    return smbc_getFunctionLseek(context)(context, file, offset, SEEK_SET) == offset ? 0 : -1;
}

static ssize_t
read_file(void *file, void *to, size_t length, off_t offset)
{
    return seek(file, offset) ? -1 : smbc_getFunctionRead(context)(context, file, to, length);
}

static ssize_t
write_file(void *file, const void *from, size_t length, off_t offset)
{
    return seek(file, offset) ? -1 : smbc_getFunctionWrite(context)(context, file, from, length);
}

static int
truncate_file(void *file, off_t size)
{
    return smbc_getFunctionFtruncate(context)(context, file, size);
}

/* libsmbclient has no such call: smbd does it after each write (`sync always`). */
static int
sync_file(void *file)
{
    (void)file;
    return 0;
}

static int
close_file(void *file)
{
    return smbc_getFunctionClose(context)(context, file);
}

static int
rename_file(const char *from, const char *to)
{
    return smbc_getFunctionRename(context)(context, url(from, 0), context, url(to, 1));
}

static int
remove_file(const char *path)
{
    return smbc_getFunctionUnlink(context)(context, url(path, 0));
}

/* A guest has neither a name nor a password. */
static void
name_nobody(const char *server, const char *name, char *group, int group_size, char *user, int user_size,
            char *password, int password_size)
{
    (void)server, (void)name, (void)group, (void)group_size;
    snprintf(user, (size_t)user_size, "guest");
    snprintf(password, (size_t)password_size, "%s", "");
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
    /* libsmbclient prints some errors to what is stdout. */
    FILE *answers = fdopen(dup(STDOUT_FILENO), "w");
    struct stat root;

    if (argc != 4 || !answers || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return 2;
    share = argv[1];
    context = smbc_new_context();
    if (!context || !smbc_init_context(context) || smbc_setConfiguration(context, argv[3])) {
        fprintf(answers, "context: errno %d\n", errno);
        return 1;
    }
    smbc_setPort(context, (uint16_t)atoi(argv[2]));
    smbc_setTimeout(context, TIMEOUT_MS);
    smbc_setFunctionAuthData(context, name_nobody);
    /* Connects, so that smbd has a process for it from now on. */
    if (smbc_getFunctionStat(context)(context, url("/", 0), &root)) {
        fprintf(answers, "%s: errno %d\n", share, errno);
        return 1;
    }
    int code = serve(&calls, answers);
    return smbc_free_context(context, 1) ? 1 : code;
}
