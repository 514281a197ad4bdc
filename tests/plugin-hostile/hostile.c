/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * A plugin that does everything wrong that a plugin can do without breaking the process it lives in. What it does to an
 * object is the object's key. Every object is 100,000 bytes of its place in the file, modulo 251.
 */
#include <pthread.h>
#include <unistd.h>

#include <glusterfs/xlator.h>
#include <glusterfs/glusterfs.h>
#include "cloudsync-common.h"

#define HOSTILE_SIZE 100000
#define HOSTILE_PIECE 25000

enum hostile_mem_types {
    hostile_mt_private = gf_common_mt_end + 1,
    hostile_mt_end,
};

static int hostile_config;

static int
hostile_is(call_frame_t *frame, const char *what)
{
    cs_local_t *local = frame->local;

    return strcmp(local->remotepath, what) == 0;
}

static int
hostile_writev_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int op_ret, int op_errno, struct iatt *prebuf,
                   struct iatt *postbuf, dict_t *xdata)
{
    CS_STACK_DESTROY(frame);
    return 0;
}

/* Winds a write of `size` bytes at `offset`, and adds `error` to each of them. Waits for nothing. */
static int
hostile_write(call_frame_t *frame, fd_t *fd, off_t offset, size_t size, int error)
{
    xlator_t *this = frame->this;
    char *bytes = malloc(size + 1);
    struct iovec from = {.iov_base = bytes, .iov_len = size};
    struct iovec iov = {0};
    struct iobref *iobref = NULL;
    struct iobuf *iobuf = NULL;
    call_frame_t *dlframe = NULL;
    size_t i;

    for (i = 0; i < size; i++)
        bytes[i] = (char)((offset + (off_t)i) % 251 + error);
    if (iobuf_copy(this->ctx->iobuf_pool, &from, 1, &iobref, &iobuf, &iov) == 0) {
        dlframe = copy_frame(frame);
        if (dlframe)
            STACK_WIND(dlframe, hostile_writev_cbk, FIRST_CHILD(this), FIRST_CHILD(this)->fops->writev, fd, &iov, 1,
                       offset, 0, iobref, NULL);
        iobuf_unref(iobuf);
        iobref_unref(iobref);
    }
    free(bytes);
    return dlframe ? 0 : -1;
}

static int
hostile_all(call_frame_t *frame)
{
    cs_local_t *local = frame->local;
    off_t offset;

    for (offset = 0; offset < HOSTILE_SIZE; offset += HOSTILE_PIECE)
        if (hostile_write(frame, local->dlfd, offset, HOSTILE_PIECE, 0) != 0)
            return -1;
    return 0;
}

/* What a thread needs that goes on after fop_download has returned. */
typedef struct hostile_late {
    call_frame_t *frame;
    fd_t *fd;
    int error;
} hostile_late_t;

static void *
hostile_writes_late(void *arg)
{
    hostile_late_t *late = arg;
    off_t offset;

    THIS = late->frame->this;
    usleep(300 * 1000);
    for (offset = 0; offset < HOSTILE_SIZE; offset += HOSTILE_PIECE)
        hostile_write(late->frame, late->fd, offset, HOSTILE_PIECE, late->error);
    fd_unref(late->fd);
    STACK_DESTROY(late->frame->root);
    free(late);
    return NULL;
}

static int
hostile_later(call_frame_t *frame, int error)
{
    cs_local_t *local = frame->local;
    hostile_late_t *late = malloc(sizeof(*late));
    pthread_t thread;

    late->frame = copy_frame(frame);
    late->fd = fd_ref(local->dlfd);
    late->error = error;
    if (pthread_create(&thread, NULL, hostile_writes_late, late) == 0)
        pthread_detach(thread);
    return 0;
}

static int
hostile_fails(call_frame_t *frame, int ret, int op_errno)
{
    cs_local_t *local = frame->local;

    local->op_errno = op_errno;
    return ret;
}

static int
hostile_download(call_frame_t *frame, void *config)
{
    cs_local_t *local = frame->local;

    if (hostile_is(frame, "nothing"))
        return 0;
    if (hostile_is(frame, "half"))
        return hostile_write(frame, local->dlfd, 0, HOSTILE_SIZE / 2, 0);
    if (hostile_is(frame, "a-hole"))
        return hostile_write(frame, local->dlfd, 0, 40000, 0) + hostile_write(frame, local->dlfd, 40001, 59999, 0);
    if (hostile_is(frame, "twice"))
        return hostile_all(frame) + hostile_all(frame);
    if (hostile_is(frame, "overlapping"))
        return hostile_write(frame, local->dlfd, 30000, 70000, 0) + hostile_write(frame, local->dlfd, 0, 60000, 0);
    if (hostile_is(frame, "past-the-end"))
        return hostile_all(frame) + hostile_write(frame, local->dlfd, HOSTILE_SIZE, 1, 0);
    if (hostile_is(frame, "far-past-the-end"))
        return hostile_all(frame) + hostile_write(frame, local->dlfd, (off_t)1 << 40, 100, 0);
    if (hostile_is(frame, "before-the-beginning"))
        return hostile_all(frame) + hostile_write(frame, local->dlfd, -4096, 4096, 0);
    if (hostile_is(frame, "no-bytes"))
        return hostile_all(frame) + hostile_write(frame, local->dlfd, 500, 0, 0);
    if (hostile_is(frame, "late"))
        return hostile_later(frame, 0);
    if (hostile_is(frame, "late-and-wrong")) {
        hostile_later(frame, 1);
        return hostile_all(frame);
    }
    if (hostile_is(frame, "rubbish"))
        return hostile_fails(frame, 12345, 0);
    if (hostile_is(frame, "no-errno"))
        return hostile_fails(frame, -1, 0);
    if (hostile_is(frame, "negative-errno"))
        return hostile_fails(frame, -1, -ENODATA);
    if (hostile_is(frame, "huge-errno"))
        return hostile_fails(frame, -1, 99999);
    if (hostile_is(frame, "kernel-errno"))
        return hostile_fails(frame, -1, 512); /* ERESTARTSYS: never seen outside the kernel */
    if (hostile_is(frame, "least-errno"))
        return hostile_fails(frame, -1, INT32_MIN);
    if (hostile_is(frame, "errno-and-success"))
        return hostile_all(frame) + hostile_fails(frame, 0, EIO);
    if (hostile_is(frame, "all-and-failure"))
        return hostile_all(frame) + hostile_fails(frame, -1, EACCES);
    if (hostile_is(frame, "other-descriptor")) {
        fd_t *fd = fd_anonymous(local->inode);
        int ret = hostile_all(frame) + hostile_write(frame, fd, 0, 1000, 1);

        fd_unref(fd);
        return ret;
    }
    return hostile_all(frame);
}

static void *
hostile_init(xlator_t *this_xl)
{
    return &hostile_config;
}

/* The others are NULL. */
store_methods_t store_ops = {
    .fop_download = hostile_download,
    .fop_init = hostile_init,
};

static int
hostile_head(xlator_t *this_xl, void *config, const char *key, cs_object_t *object)
{
    object->size = HOSTILE_SIZE;
    if (strcmp(key, "head-positive") == 0) {
        object->size = 0;
        return 77;
    }
    if (strcmp(key, "head-huge-errno") == 0)
        return -99999;
    if (strcmp(key, "head-least-errno") == 0)
        return INT32_MIN;
    if (strcmp(key, "head-huge") == 0)
        object->size = UINT64_MAX;
    /* No end. */
    if (strcmp(key, "head-endless") == 0) {
        memset(object->etag, 'e', sizeof(object->etag));
        memset(object->checksum, 'c', sizeof(object->checksum));
    }
    return 0;
}

store_methods_ext_t store_ops_ext = {
    .size = sizeof(store_ops_ext),
    .head = hostile_head,
    .host = CS_HOST,
};
