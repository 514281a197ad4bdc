/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Shared by the gfapi programs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <glusterfs/api/glfs.h>

static void
die(const char *what)
{
    printf("%s: errno %d\n", what, errno);
    exit(1);
}

/* Connects to a volume, or prints what failed and exits. */
static glfs_t *
client(const char *volume, const char *host, const char *log)
{
    glfs_t *fs = glfs_new(volume);

    if (!fs)
        die("new");
    if (glfs_set_volfile_server(fs, "tcp", host, 24007))
        die("volfile server");
    if (glfs_set_logging(fs, log, 7 /* INFO */))
        die("logging");
    if (glfs_init(fs))
        die("init");
    return fs;
}
