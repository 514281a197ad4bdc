/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Keeps an operation's arguments until it is answered, and answers it. */
#include "shim.h"

int32_t
cs_shim_call_keep(cs_call_t *call)
{
    cs_call_t from = *call;

    /* Holds only what was taken so far, so that cs_shim_call_wipe can undo it. */
    memset(&call->loc, 0, sizeof(call->loc));
    memset(&call->loc2, 0, sizeof(call->loc2));
    call->vector = NULL;
    call->name = NULL;
    call->fd = from.fd ? fd_ref(from.fd) : NULL;
    call->fd2 = from.fd2 ? fd_ref(from.fd2) : NULL;
    call->iobref = from.iobref ? iobref_ref(from.iobref) : NULL;
    call->xattr = from.xattr ? dict_ref(from.xattr) : NULL;
    call->xdata = from.xdata ? dict_ref(from.xdata) : NULL;

    if (from.locs > 0 && loc_copy(&call->loc, &from.loc))
        goto err;
    if (from.locs > 1 && loc_copy(&call->loc2, &from.loc2))
        goto err;
    if (from.vector) {
        call->vector = iov_dup(from.vector, from.count);
        if (!call->vector)
            goto err;
    }
    if (from.name) {
        call->name = gf_strdup(from.name);
        if (!call->name)
            goto err;
    }
    return 0;
err:
    cs_shim_call_wipe(call);
    return -1;
}

void
cs_shim_call_wipe(cs_call_t *call)
{
    if (call->locs > 0)
        loc_wipe(&call->loc);
    if (call->locs > 1)
        loc_wipe(&call->loc2);
    if (call->fd)
        fd_unref(call->fd);
    if (call->fd2)
        fd_unref(call->fd2);
    if (call->iobref)
        iobref_unref(call->iobref);
    if (call->xattr)
        dict_unref(call->xattr);
    if (call->xdata)
        dict_unref(call->xdata);
    GF_FREE(call->vector);
    GF_FREE((char *)call->name);
}

/* Sets THIS, because the thread may be any. */
#define CS_AS(xlator, what)      \
    do {                         \
        xlator_t *before = THIS; \
                                 \
        THIS = xlator;           \
        what;                    \
        THIS = before;           \
    } while (0)

void
cs_shim_call_wind(cs_call_t *call)
{
    CS_AS(call->frame->this, call->wind(call));
}

void
cs_shim_call_unwind(cs_call_t *call, int32_t op_ret, int32_t op_errno, dict_t *answer)
{
    CS_AS(call->frame->this, call->unwind(call, op_ret, op_errno, answer));
}

void
cs_shim_call_answer_seek(cs_call_t *call, off_t offset)
{
    call_frame_t *frame = call->frame;

    STACK_UNWIND_STRICT(seek, frame, 0, 0, offset, NULL);
}

int32_t
cs_shim_call_answer_read(cs_call_t *call, struct iobuf *buffer, size_t start,
                         size_t size, int32_t at_end, struct iatt *attributes)
{
    struct iovec piece = {.iov_base = (char *)iobuf_ptr(buffer) + start, .iov_len = size};
    struct iobref *iobref = iobref_new();
    call_frame_t *frame = call->frame;

    if (!iobref)
        return -1;
    if (iobref_add(iobref, buffer)) {
        iobref_unref(iobref);
        return -1;
    }
    /* The host reports the end of the file by ENOENT with a successful read. */
    STACK_UNWIND_STRICT(readv, frame, (int32_t)size, at_end ? ENOENT : 0,
                        &piece, 1, attributes, iobref, NULL);
    iobref_unref(iobref);
    return 0;
}

void
cs_shim_call_answer_done(cs_call_t *call, struct iatt *before, struct iatt *after)
{
    call_frame_t *frame = call->frame;

    switch (call->fop) {
        case GF_FOP_TRUNCATE:
            STACK_UNWIND_STRICT(truncate, frame, 0, 0, before, after, NULL);
            break;
        case GF_FOP_FTRUNCATE:
            STACK_UNWIND_STRICT(ftruncate, frame, 0, 0, before, after, NULL);
            break;
        default:
            STACK_UNWIND_STRICT(open, frame, 0, 0, call->fd, NULL);
            break;
    }
}

int32_t
cs_shim_call_rename(cs_call_t *call, const char *name)
{
    char *copy = gf_strdup(name);

    if (!copy)
        return -1;
    GF_FREE((char *)call->name);
    call->name = copy;
    return 0;
}
