/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * A plugin of the stock translator's kind that looks at everything that a plugin may look at, and refuses its work with
 * EPROTO if anything is not as the stock translator has it. It downloads as stock.c does. How it answers a remote read, and
 * what it expects of the file, is in the object's key.
 */
#define store_ops stock_ops
#include "stock.c"
#undef store_ops

#include <dlfcn.h>

extern store_methods_t store_ops;

/* Says what is wrong. */
#define WITNESS(condition)            \
    do {                              \
        if (!(condition))             \
            return "not " #condition; \
    } while (0)

static const char *
witness_private(xlator_t *this, void *config)
{
    cs_private_t *priv = this->private;
    char *text = NULL;

    WITNESS(THIS == this);
    WITNESS(priv->this == this);
    WITNESS(!priv->abortdl);
    WITNESS(pthread_spin_lock(&priv->lock) == 0 && pthread_spin_unlock(&priv->lock) == 0);
    WITNESS(priv->stores->config == config);
    WITNESS(strcmp(priv->stores->name, "witness") == 0);
    WITNESS(priv->stores->dlfop == store_ops.fop_download);
    WITNESS(priv->stores->rdfop == store_ops.fop_remote_read);
    WITNESS(priv->stores->init == store_ops.fop_init);
    WITNESS(priv->stores->reconfigure == store_ops.fop_reconfigure);
    WITNESS(priv->stores->fini == store_ops.fop_fini);
    WITNESS(dlsym(priv->stores->handle, "store_ops") == &store_ops);
    WITNESS(this->children && !this->children->next && this->parents);
    WITNESS(dict_get_str(this->options, "cloudsync-storetype", &text) == 0 && strcmp(text, "witness") == 0);
    return NULL;
}

static const char *
witness_names(xlator_t *this, cs_local_t *local, struct stat *object)
{
    cs_loc_xattr_t *lxattr = local->xattrinfo.lxattr;
    size_t end = strlen(this->name) - strlen("-cloudsync");
    static const uuid_t none;
    uuid_t uuid = {0};
    uint64_t state = 0;
    char *text = NULL;

    /* As the test has set it, with a zero at the end. */
    if (strncmp(local->remotepath, "named", 5) == 0)
        memcpy(uuid, "fifteen letters", sizeof(uuid));
    WITNESS(lxattr && strcmp(lxattr->file_path, local->remotepath) == 0);
    WITNESS(memcmp(lxattr->uuid, uuid, sizeof(uuid)) == 0);
    WITNESS(memcmp(lxattr->gfid, local->fd->inode->gfid, sizeof(uuid)) == 0 && memcmp(lxattr->gfid, none, sizeof(uuid)) != 0);
    WITNESS(strlen(lxattr->volname) == end && strncmp(lxattr->volname, this->name, end) == 0);
    WITNESS(local->loc.inode == local->fd->inode && memcmp(local->loc.gfid, lxattr->gfid, sizeof(uuid)) == 0);
    WITNESS(local->stbuf.ia_size == (uint64_t)object->st_size && local->stbuf.ia_type == IA_IFREG);
    WITNESS(memcmp(local->stbuf.ia_gfid, lxattr->gfid, sizeof(uuid)) == 0 && local->stbuf.ia_mtime > 0);
    WITNESS(dict_get_uint64(local->xattr_rsp, GF_CS_OBJECT_STATUS, &state) == 0 && state == GF_CS_REMOTE);
    WITNESS(dict_get_str(local->xattr_rsp, GF_CS_OBJECT_REMOTE, &text) == 0 && strcmp(text, local->remotepath) == 0);
    WITNESS(dict_get(local->xattr_req, GF_CS_OBJECT_STATUS) && dict_get(local->xattr_req, GF_CS_XATTR_ARCHIVE_UUID));
    WITNESS(local->fop == GF_FOP_READ && !local->locked && !local->call_cnt && !local->stub && !local->main_frame);
    WITNESS(local->dlfd && local->dlfd->inode == local->fd->inode);
    return NULL;
}

/* Opens the object and looks at what the call was given. */
static int
witness_open(call_frame_t *frame, stock_private_t *priv)
{
    cs_local_t *local = frame->local;
    const char *wrong = NULL;
    struct stat object;
    char path[4096];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", priv->bucketid, local->remotepath);
    fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &object) != 0)
        return -errno;
    wrong = witness_private(frame->this, priv);
    if (!wrong)
        wrong = witness_names(frame->this, local, &object);
    if (!wrong)
        return fd;
    gf_msg(frame->this->name, GF_LOG_ERROR, 0, 0, "witness: %s: %s", local->remotepath, wrong);
    close(fd);
    return -EPROTO;
}

/* What the stock translator's S3 plugin does after a failed write: takes this->private for a structure of its own. */
static void
witness_mistake(xlator_t *this)
{
    struct {
        char *texts[4];
        gf_boolean_t abortdl;
        pthread_spinlock_t lock;
    } *mistaken = this->private;

    pthread_spin_lock(&mistaken->lock);
    mistaken->abortdl = _gf_true;
    pthread_spin_unlock(&mistaken->lock);
}

static int
witness_download(call_frame_t *frame, void *config)
{
    cs_local_t *local = frame->local;
    int fd = witness_open(frame, config);

    if (strncmp(local->remotepath, "mistake", 7) == 0)
        witness_mistake(frame->this);

    if (fd >= 0 && (local->dloffset != 0 || local->inode != local->fd->inode))
        fd = -EPROTO;
    if (fd < 0) {
        local->op_errno = -fd;
        return -1;
    }
    close(fd);
    return stock_download(frame, config);
}

/* Answers a read: with `wanted` bytes, in two pieces, the last of them one byte long. */
static void
witness_answer(call_frame_t *frame, int fd, size_t wanted)
{
    cs_local_t *local = frame->local;
    struct iobuf *iobuf = iobuf_get2(frame->this->ctx->iobuf_pool, wanted ? wanted : 1);
    struct iobref *iobref = iobref_new();
    char *bytes = iobuf_ptr(iobuf);
    ssize_t got = pread(fd, bytes, wanted, local->xattrinfo.offset);
    struct iovec pieces[2];
    /* Nothing of this is the file's. */
    struct iatt stbuf = {.ia_size = 1, .ia_mtime = 1, .ia_uid = 77};

    close(fd);
    iobref_add(iobref, iobuf);
    iobuf_unref(iobuf);
    if (strncmp(local->remotepath, "long", 4) == 0)
        got = (ssize_t)wanted;
    pieces[0] = (struct iovec){.iov_base = bytes, .iov_len = got > 0 ? (size_t)got - 1 : 0};
    pieces[1] = (struct iovec){.iov_base = bytes + pieces[0].iov_len, .iov_len = got > 0};
    if (strncmp(local->remotepath, "wipe", 4) == 0)
        CS_STACK_UNWIND(readv, frame, (int32_t)got, 0, pieces, 2, &stbuf, iobref, NULL);
    else
        STACK_UNWIND_STRICT(readv, frame, (int32_t)got, 0, pieces, 2, &stbuf, iobref, local->xattr_rsp);
    iobref_unref(iobref);
}

struct witness_later {
    call_frame_t *frame;
    int fd;
    int milliseconds;
};

static void *
witness_later(void *argument)
{
    struct witness_later *later = argument;
    cs_local_t *local = later->frame->local;

    usleep((useconds_t)later->milliseconds * 1000);
    THIS = later->frame->this;
    if (strncmp(local->remotepath, "slow", 4) == 0)
        gf_msg(THIS->name, GF_LOG_INFO, 0, 0, "witness: answers late, cancelled %d", cs_cancelled(later->frame) != 0);
    witness_answer(later->frame, later->fd, local->xattrinfo.size);
    free(later);
    return NULL;
}

static int
witness_start(call_frame_t *frame, int fd, int milliseconds)
{
    struct witness_later *later = malloc(sizeof(*later));
    pthread_t thread;

    *later = (struct witness_later){.frame = frame, .fd = fd, .milliseconds = milliseconds};
    if (pthread_create(&thread, NULL, witness_later, later) != 0)
        abort();
    pthread_detach(thread);
    return 0;
}

static int
witness_remote_read(call_frame_t *frame, void *config)
{
    cs_local_t *local = frame->local;
    cs_private_t *priv = frame->this->private;
    const char *how = local->remotepath;
    call_stack_t *root = frame->root;
    int fd = witness_open(frame, config);

    if (fd >= 0 && (!priv->remote_read || local->dloffset != local->xattrinfo.offset || local->xattrinfo.size == 0))
        fd = -EPROTO;
    if (fd < 0) {
        STACK_UNWIND_STRICT(readv, frame, -1, -fd, NULL, 0, NULL, NULL, NULL);
        return 0;
    }
    gf_msg(frame->this->name, GF_LOG_INFO, 0, 0, "witness: %s: uid %d gid %d groups %d pid %d owner %d flags %u", how,
           root->uid, root->gid, root->ngrps, root->pid > 0, root->lk_owner.len > 0, local->xattrinfo.flags);
    if (strncmp(how, "later", 5) == 0)
        return witness_start(frame, fd, 20);
    if (strncmp(how, "slow", 4) == 0)
        return witness_start(frame, fd, how[4] == 'e' ? 14000 : 4000);
    if (strncmp(how, "short", 5) == 0) {
        witness_answer(frame, fd, 100);
        return 0;
    }
    if (strncmp(how, "long", 4) == 0) {
        witness_answer(frame, fd, local->xattrinfo.size + 1);
        return 0;
    }
    if (strncmp(how, "error", 5) == 0 || strncmp(how, "silent", 6) == 0) {
        close(fd);
        STACK_UNWIND_STRICT(readv, frame, -1, how[0] == 'e' ? EKEYREJECTED : 0, NULL, 0, NULL, NULL, NULL);
        /* The answer counts, not the result. */
        return -1;
    }
    if (strncmp(how, "refuse", 6) == 0 || strncmp(how, "mute", 4) == 0) {
        close(fd);
        local->op_errno = how[0] == 'r' ? ENOTSUP : 0;
        return -1;
    }
    witness_answer(frame, fd, local->xattrinfo.size);
    return 0;
}

store_methods_t store_ops = {
    .fop_download = witness_download,
    .fop_remote_read = witness_remote_read,
    .fop_init = stock_init,
    .fop_reconfigure = stock_reconfigure,
    .fop_fini = stock_fini,
};
