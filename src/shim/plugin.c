/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Calls the functions of a plugin that get a frame: fop_download and fop_remote_read. */
#include "shim.h"

/* The volume's name, from the translator's name `VOL-cloudsync`. */
static char *
cs_volume_of(xlator_t *this)
{
    static const char ours[] = "-cloudsync";
    size_t size = strlen(this->name);
    size_t end = sizeof(ours) - 1;

    if (size > end && strcmp(this->name + size - end, ours) == 0)
        size -= end;
    return gf_strndup(this->name, size);
}

static cs_loc_xattr_t *
cs_lxattr_new(xlator_t *this, const cs_local_t *local, const cs_cold_t *file)
{
    cs_loc_xattr_t *lxattr = GF_CALLOC(1, sizeof(*lxattr), gf_common_mt_char);

    if (!lxattr)
        return NULL;
    memcpy(lxattr->gfid, local->loc.gfid, sizeof(lxattr->gfid));
    if (file->uuid)
        memcpy(lxattr->uuid, file->uuid, sizeof(lxattr->uuid));
    lxattr->file_path = gf_strdup(file->key);
    lxattr->volname = cs_volume_of(this);
    if (!lxattr->file_path || !lxattr->volname) {
        GF_FREE(lxattr->file_path);
        GF_FREE(lxattr->volname);
        GF_FREE(lxattr);
        return NULL;
    }
    return lxattr;
}

/* What the stock translator asks the bricks for, added to the reader's own request. */
static dict_t *
cs_request_new(dict_t *request)
{
    dict_t *dict = dict_new();

    if (!dict)
        return NULL;
    if ((request && !dict_copy(request, dict)) || dict_set_uint32(dict, GF_CS_OBJECT_STATUS, 1) ||
        dict_set_uint32(dict, GF_CS_OBJECT_REPAIR, 256) ||
        cs_shim_dict_set(dict, GF_CS_XATTR_ARCHIVE_UUID, "1", sizeof("1"))) {
        dict_unref(dict);
        return NULL;
    }
    return dict;
}

/* The bricks' answer to that. */
static dict_t *
cs_answer_new(const cs_cold_t *file)
{
    dict_t *dict = dict_new();

    if (!dict)
        return NULL;
    if (dict_set_uint64(dict, GF_CS_OBJECT_STATUS, GF_CS_REMOTE) ||
        cs_shim_dict_set(dict, GF_CS_OBJECT_REMOTE, file->key, strlen(file->key) + 1) ||
        (file->uuid && cs_shim_dict_set(dict, GF_CS_XATTR_ARCHIVE_UUID, (const char *)file->uuid, sizeof(uuid_t)))) {
        dict_unref(dict);
        return NULL;
    }
    return dict;
}

cs_local_t *
cs_shim_local_new(xlator_t *this, const cs_cold_t *file, dict_t *request)
{
    cs_local_t *local = mem_get0(this->local_pool);

    if (!local)
        return NULL;
    local->fop = GF_FOP_READ;
    local->fd = fd_ref(file->fd);
    local->loc.inode = inode_ref(file->inode);
    memcpy(local->loc.gfid, file->attributes->ia_gfid, sizeof(local->loc.gfid));
    local->stbuf = *file->attributes;
    local->version = file->version;
    local->cancelled = file->cancelled;
    local->remotepath = gf_strdup(file->key);
    local->xattr_req = cs_request_new(request);
    local->xattr_rsp = cs_answer_new(file);
    local->xattrinfo.lxattr = cs_lxattr_new(this, local, file);
    if (!local->remotepath || !local->xattr_req || !local->xattr_rsp || !local->xattrinfo.lxattr) {
        cs_local_wipe(this, local);
        return NULL;
    }
    return local;
}

int32_t
cs_shim_download(cs_proxy_t *proxy, const cs_cold_t *file, void (*after)(void *), void *after_arg, int32_t *op_errno)
{
    xlator_t *this = &proxy->proxy;
    cs_local_t *local = NULL;
    call_frame_t *frame = create_frame(this, this->ctx->pool);
    int32_t ret = -1;

    *op_errno = ENOMEM;
    if (!frame)
        return -1;
    /* Exempt from root squashing, because the file may not belong to root. */
    frame->root->pid = GF_CLIENT_PID_NO_ROOT_SQUASH;
    frame->root->type = GF_OP_TYPE_FOP;
    frame->op = GF_FOP_WRITE;
    local = cs_shim_local_new(this, file, NULL);
    if (!local) {
        STACK_DESTROY(frame->root);
        return -1;
    }
    local->dlfd = fd_ref(file->fd);
    local->inode = inode_ref(file->inode);
    frame->local = local;
    ret = proxy->store.dlfop(frame, proxy->store.config);
    *op_errno = local->op_errno;
    after(after_arg);
    CS_STACK_DESTROY(frame);
    return ret;
}

cs_remote_t *
cs_shim_remote_new(cs_proxy_t *proxy, const cs_cold_t *file, const cs_call_t *call, void *reading)
{
    xlator_t *this = &proxy->proxy;
    cs_remote_t *remote = calloc(1, sizeof(*remote));
    cs_local_t *local = NULL;

    if (!remote)
        return NULL;
    remote->proxy = proxy;
    remote->reading = reading;
    remote->stack = copy_frame(call->frame);
    if (remote->stack)
        local = cs_shim_local_new(this, file, call->xdata);
    if (!local) {
        cs_shim_remote_free(remote);
        return NULL;
    }
    /* Not local->inode: a plugin that was built for the stock translator would never release it. */
    local->dlfd = fd_anonymous(file->inode);
    local->dloffset = call->offset;
    local->xattrinfo.offset = call->offset;
    local->xattrinfo.size = call->size;
    local->xattrinfo.flags = (uint32_t)call->flags;
    remote->stack->root->op = GF_FOP_READ;
    /* Until it is wound. */
    remote->stack->local = local;
    if (!local->dlfd) {
        cs_shim_remote_free(remote);
        return NULL;
    }
    return remote;
}

int32_t
cs_shim_remote_readv(call_frame_t *frame, xlator_t *this, fd_t *fd, size_t size,
                     off_t offset, uint32_t flags, dict_t *xdata)
{
    cs_remote_t *remote = frame->cookie;
    struct cs_remote_stores *store = &remote->proxy->store;

    remote->frame = frame;
    frame->local = frame->parent->local;
    frame->parent->local = NULL;
    remote->result = store->rdfop(frame, store->config);
    return 0;
}

static int32_t
cs_remote_readv_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                    int32_t op_ret, int32_t op_errno, struct iovec *vector,
                    int32_t count, struct iatt *stbuf, struct iobref *iobref,
                    dict_t *xdata)
{
    cs_remote_t *remote = cookie;

    cs_rs->remote_answered(remote->reading, op_ret, op_errno, vector, count);
    return 0;
}

int32_t
cs_shim_remote_run(cs_remote_t *remote, int32_t *op_errno)
{
    xlator_t *proxy = &remote->proxy->proxy;
    call_frame_t *stack = remote->stack;
    cs_local_t *local = stack->local;

    STACK_WIND_COOKIE(stack, cs_remote_readv_cbk, remote, proxy, proxy->fops->readv, local->fd, local->xattrinfo.size,
                      local->xattrinfo.offset, local->xattrinfo.flags, local->xattr_req);
    *op_errno = ENOMEM;
    if (!remote->frame)
        return -1;
    /* If it has answered, it may have freed its local. */
    local = remote->frame->local;
    *op_errno = remote->result && local ? local->op_errno : 0;
    return remote->result;
}

void
cs_shim_remote_free(cs_remote_t *remote)
{
    if (remote->frame) {
        /* Unless the plugin has freed it, which it does by CS_STACK_UNWIND. */
        cs_local_wipe(remote->frame->this, remote->frame->local);
        remote->frame->local = NULL;
    }
    if (remote->stack)
        CS_STACK_DESTROY(remote->stack);
    free(remote);
}
