/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * A plugin that uses memory which it has given back, decides by memory which it has never set, and loses some: each is
 * what the memory checker must find, or its silence about the others means nothing.
 */
#include <glusterfs/xlator.h>
#include <glusterfs/glusterfs.h>
#include "cloudsync-common.h"

static int invalid_config;
static volatile int invalid_seen;

static int
invalid_download(call_frame_t *frame, void *config)
{
    volatile char *bytes = malloc(100);
    volatile char *gone = malloc(100);
    volatile char *lost = malloc(12345);

    /* Never set. */
    if (bytes[50] == 7)
        invalid_seen++;
    free((void *)bytes);
    /* Given back. */
    gone[0] = 1;
    free((void *)gone);
    invalid_seen += gone[0];
    lost[0] = 1;
    lost = NULL;
    ((cs_local_t *)frame->local)->op_errno = ENODATA;
    return -1;
}

static void *
invalid_init(xlator_t *this)
{
    return &invalid_config;
}

static void
invalid_fini(void *config)
{
}

store_methods_t store_ops = {
    .fop_download = invalid_download,
    .fop_init = invalid_init,
    .fop_fini = invalid_fini,
};
