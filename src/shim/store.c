/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Presents the host to a plugin: its xlator is the proxy, whose only child is the tracker. */
#include "shim.h"

static int32_t
cs_tracker_writev(call_frame_t *frame, xlator_t *this, fd_t *fd, struct iovec *vector, int32_t count, off_t offset,
                  uint32_t flags, struct iobref *iobref, dict_t *xdata)
{
    cs_rs->plugin_writes(frame, fd, vector, count, offset);
    return 0;
}

void
cs_shim_answer_write(call_frame_t *frame, int32_t written, int32_t op_errno)
{
    struct iatt unknown = {0};

    STACK_UNWIND_STRICT(writev, frame, written, op_errno, &unknown, &unknown, NULL);
}

/* Not const, because the host's STACK_WIND stores into it. */
static struct xlator_fops cs_tracker_fops;

/* The proxy's: the real translator's, except for readv. Not const for the same reason. */
static struct xlator_fops cs_proxy_fops;

/* Makes `copy` look like `real` to code that winds to it or runs with THIS set to it. */
static void
cs_mimic(xlator_t *copy, xlator_t *real)
{
    copy->name = real->name;
    copy->type = real->type;
    copy->options = real->options;
    /* Plugins check whether they are in a graph. */
    copy->parents = real->parents;
    copy->fops = real->fops;
    copy->cbks = real->cbks;
    copy->notify = real->notify;
    copy->loglevel = real->loglevel;
    copy->ctx = real->ctx;
    copy->graph = real->graph;
    copy->itable = real->itable;
    copy->mem_acct = real->mem_acct;
    copy->local_pool = real->local_pool;
    copy->xl_id = real->xl_id;
#if CS_HOST_MAJOR > 10
    /* The index of an inode's context. */
    copy->level = real->level;
    copy->child_count = real->child_count;
#endif
    copy->identifier = real->identifier;
    copy->category = real->category;
    copy->init_succeeded = 1;
    INIT_LIST_HEAD(&copy->volume_options);
}

/*
 * The lock that the stock S3 plugin takes when a write failed: it takes this->private for its own structure, in which four
 * pointers and a flag precede the lock. It is in the room behind ours. An uninitialised one would never be free.
 */
static pthread_spinlock_t *
cs_lock_of_s3(cs_proxy_t *self)
{
    struct theirs {
        char *texts[4];
        gf_boolean_t abortdl;
        pthread_spinlock_t lock;
    };

    _Static_assert(offsetof(cs_proxy_t, room) == offsetof(cs_proxy_t, priv) + sizeof(cs_private_t),
                   "the room follows the private");
    _Static_assert(offsetof(struct theirs, abortdl) >= sizeof(cs_private_t), "their flag and lock are in the room");
    return (pthread_spinlock_t *)(void *)((char *)self + offsetof(cs_proxy_t, priv) + offsetof(struct theirs, lock));
}

cs_proxy_t *
cs_shim_proxy_new(xlator_t *this)
{
    /* Not GF_CALLOC, because the proxy lives as long as its plugin, which may outlive the instance. */
    cs_proxy_t *self = calloc(1, sizeof(*self));

    if (!self)
        return NULL;
    cs_tracker_fops = *default_fops;
    cs_tracker_fops.writev = cs_tracker_writev;

    cs_mimic(&self->tracker, this);
    self->tracker.fops = &cs_tracker_fops;
    self->tracker_child.xlator = FIRST_CHILD(this);
    self->tracker.children = &self->tracker_child;

    cs_proxy_fops = *this->fops;
    cs_proxy_fops.readv = cs_shim_remote_readv;
    cs_mimic(&self->proxy, this);
    self->proxy.fops = &cs_proxy_fops;
    self->proxy_child.xlator = &self->tracker;
    self->proxy.children = &self->proxy_child;
    self->options.given_opt = cs_options;
    list_add(&self->options.list, &self->proxy.volume_options);

    pthread_spin_init(&self->priv.lock, PTHREAD_PROCESS_PRIVATE);
    pthread_spin_init(cs_lock_of_s3(self), PTHREAD_PROCESS_PRIVATE);
    self->priv.this = &self->proxy;
    self->priv.stores = &self->store;
    self->proxy.private = &self->priv;
    return self;
}

void
cs_shim_proxy_free(cs_proxy_t *self)
{
    pthread_spin_destroy(cs_lock_of_s3(self));
    pthread_spin_destroy(&self->priv.lock);
    free(self);
}

void
cs_shim_proxy_remote_read(cs_proxy_t *self, int32_t on)
{
    __atomic_store_n(&self->priv.remote_read, on ? _gf_true : _gf_false, __ATOMIC_RELEASE);
}

void
cs_shim_proxy_abort(cs_proxy_t *self)
{
    __atomic_store_n(&self->priv.abortdl, _gf_true, __ATOMIC_RELEASE);
}

struct iobuf *
cs_shim_buffer_new(xlator_t *this, size_t size)
{
    return iobuf_get2(this->ctx->iobuf_pool, size);
}

void *
cs_shim_buffer_bytes(struct iobuf *buffer)
{
    return iobuf_ptr(buffer);
}

void
cs_shim_buffer_free(struct iobuf *buffer)
{
    iobuf_unref(buffer);
}

int32_t
cs_shim_buffer_is_ours(struct iobuf *buffer)
{
    return GF_ATOMIC_GET(buffer->ref) == 1;
}

static int32_t
cs_write_done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
              struct iatt *prebuf, struct iatt *postbuf, dict_t *xdata)
{
    STACK_DESTROY(frame->root);
    cs_rs->write_end(cookie, op_ret, op_errno, prebuf, postbuf);
    return 0;
}

int32_t
cs_shim_write(xlator_t *this, fd_t *fd, struct iobuf *buffer, size_t from,
              size_t size, off_t offset, uint32_t how, void *slot)
{
    struct iovec piece = {.iov_base = (char *)iobuf_ptr(buffer) + from,
                          .iov_len = size};
    gf_boolean_t wound = _gf_false;
    struct iobref *iobref = NULL;
    call_frame_t *frame = NULL;

    iobref = iobref_new();
    if (iobref && iobref_add(iobref, buffer) == 0)
        frame = create_frame(this, this->ctx->pool);
    if (frame) {
        /* Exempt from root squashing, because the file may not belong to root. With any other negative pid, io-threads on
         * the bricks gives the write its lowest priority. */
        frame->root->pid = how & CS_URGENT ? GF_CLIENT_PID_NO_ROOT_SQUASH
                                           : GF_CLIENT_PID_TIER_DEFRAG;
        /* With features.ctime, the bricks update those of the file's times that the client asks for, and no others. */
        if (how & CS_ACCESS) {
            timespec_now_realtime(&frame->root->ctime);
            frame->root->flags |= MDATA_ATIME;
        }
        frame->root->type = GF_OP_TYPE_FOP;
        frame->root->op = GF_FOP_WRITE;
        STACK_WIND_COOKIE(frame, cs_write_done, slot, FIRST_CHILD(this), FIRST_CHILD(this)->fops->writev,
                          (wound = _gf_true, fd), &piece, 1, offset, 0, iobref, NULL);
        if (!wound)
            STACK_DESTROY(frame->root);
    }
    if (iobref)
        iobref_unref(iobref);
    if (!wound) {
        cs_rs->write_end(slot, -1, ENOMEM, NULL, NULL);
        return ENOMEM;
    }
    return 0;
}
