/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
#include "shim.h"

#include <glusterfs/iobuf.h>
#include <glusterfs/logging.h>
#include <glusterfs/stack.h>

/* src/abi.rs repeats these layouts. */
_Static_assert(sizeof(store_methods_t) == 5 * sizeof(void *), "store_methods_t differs from abi.rs");
_Static_assert(sizeof(store_methods_ext_t) == 4 * sizeof(void *), "store_methods_ext_t differs from abi.rs");
_Static_assert(sizeof(cs_object_t) == 264, "cs_object_t differs from abi.rs");
_Static_assert(sizeof(cs_fetch_t) == 12 * sizeof(void *), "cs_fetch_t differs from abi.rs");
_Static_assert(offsetof(cs_object_t, checksum) == 136, "cs_object_t differs from abi.rs");

const uint64_t css_host = CS_HOST_STAMP;

/* The reference makes the dynamic linker refuse the plugin in another major version of the host. */
const void *
css_host_symbol(void)
{
    return CS_HOST_SYMBOL;
}

xlator_t *
css_enter(xlator_t *this)
{
    xlator_t *before = THIS;

    THIS = this;
    return before;
}

void
css_log(xlator_t *this, const char *file, const char *function, int32_t line, int level, int errnum, uint64_t id,
        const char *text)
{
    if (!this)
        this = THIS;
    _gf_msg(this->name, file, function, line, level, errnum, 0, id, "%s", text);
}

int
css_log_level(void)
{
    /* A translator may have a level of its own, by the option log-level. */
    return THIS->loglevel ? THIS->loglevel : gf_log_get_loglevel();
}

dict_t *
css_xlator_options(xlator_t *this)
{
    return this->options;
}

struct css_visit {
    css_option_t found;
    void *data;
};

static int
css_visit_option(dict_t *options, char *name, data_t *value, void *data)
{
    struct css_visit *visit = data;

    if (value && value->data && (value->data_type == GF_DATA_TYPE_STR || value->data_type == GF_DATA_TYPE_STR_OLD))
        visit->found(visit->data, name, value->data);
    return 0;
}

void
css_options(dict_t *options, css_option_t found, void *data)
{
    struct css_visit visit = {.found = found, .data = data};

    if (options)
        dict_foreach(options, css_visit_option, &visit);
}

void *
css_config(xlator_t *this)
{
    cs_private_t *priv = this->private;

    return priv && priv->stores ? priv->stores->config : NULL;
}

xlator_t *
css_frame_xlator(call_frame_t *frame)
{
    return frame->this;
}

const char *
css_frame_key(call_frame_t *frame)
{
    cs_local_t *local = frame->local;

    return local->remotepath;
}

const char *
css_frame_version(call_frame_t *frame)
{
    cs_local_t *local = frame->local;

    return local->version;
}

uint64_t
css_frame_size(call_frame_t *frame)
{
    cs_local_t *local = frame->local;

    return local->stbuf.ia_size;
}

int
css_frame_cancelled(call_frame_t *frame)
{
    cs_local_t *local = frame->local;
    cs_private_t *priv = frame->this->private;

    if (local->cancelled && __atomic_load_n(local->cancelled, __ATOMIC_ACQUIRE))
        return 1;
    /* Without priv->lock, which the stock translator never initialises, so that locking it would spin forever. */
    return priv && __atomic_load_n(&priv->abortdl, __ATOMIC_ACQUIRE);
}

void
css_frame_fail(call_frame_t *frame, int op_errno)
{
    cs_local_t *local = frame->local;

    local->op_errno = op_errno;
}

struct iobuf *
css_buffer_new(xlator_t *this, size_t size)
{
    return iobuf_get2(this->ctx->iobuf_pool, size);
}

void *
css_buffer_bytes(struct iobuf *buffer)
{
    return iobuf_ptr(buffer);
}

void
css_buffer_free(struct iobuf *buffer)
{
    iobuf_unref(buffer);
}

static int32_t
css_writev_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
               struct iatt *prebuf, struct iatt *postbuf, dict_t *xdata)
{
    struct css_write *write = cookie;

    STACK_DESTROY(frame->root);
    write->done(write, op_ret, op_errno);
    return 0;
}

int
css_frame_writev(call_frame_t *frame, struct iobuf *buffer, size_t size, off_t offset, struct css_write *write)
{
    cs_local_t *local = frame->local;
    xlator_t *child = FIRST_CHILD(frame->this);
    struct iovec piece = {.iov_base = iobuf_ptr(buffer), .iov_len = size};
    struct iobref *iobref = iobref_new();
    call_frame_t *copy = NULL;
    int wound = 0;

    if (!iobref)
        return ENOMEM;
    if (iobref_add(iobref, buffer) == 0)
        copy = copy_frame(frame);
    if (copy) {
        /* The macro silently does nothing if it cannot allocate a frame; only the call evaluates this argument. */
        STACK_WIND_COOKIE(copy, css_writev_cbk, write, child, child->fops->writev, (wound = 1, local->dlfd), &piece, 1,
                          offset, 0, iobref, NULL);
        if (!wound)
            STACK_DESTROY(copy->root);
    }
    iobref_unref(iobref);
    return wound ? 0 : ENOMEM;
}
