/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * A plugin as it is written for GlusterFS's own translator: it winds its writes and never waits for one, copies 16 KiB
 * at a time as an HTTP library hands them over, fails without an errno, and knows nothing of what is ours in the header.
 * Objects are files below the folder that s3plugin-bucketid names.
 */
#include <stdio.h>

#include <glusterfs/xlator.h>
#include <glusterfs/glusterfs.h>
#include "cloudsync-common.h"

#define STOCK_PIECE 16384

typedef struct stock_private {
    char *bucketid;
    gf_boolean_t abortdl;
    pthread_spinlock_t lock;
} stock_private_t;

enum stock_mem_types {
    stock_mt_private = gf_common_mt_end + 1,
    stock_mt_end,
};

/* The stock translator's plugins have one. Nobody calls it. */
int32_t
mem_acct_init(xlator_t *this)
{
    return xlator_mem_acct_init(this, stock_mt_end);
}

static int
stock_option(stock_private_t *priv, dict_t *options)
{
    char *text = NULL;
    int ret = 0;

    pthread_spin_lock(&priv->lock);
    if (dict_get_str(options, "s3plugin-bucketid", &text) == 0) {
        GF_FREE(priv->bucketid);
        priv->bucketid = gf_strdup(text);
        ret = priv->bucketid ? 0 : -1;
    }
    pthread_spin_unlock(&priv->lock);
    return ret;
}

static void *
stock_init(xlator_t *this)
{
    stock_private_t *priv = GF_CALLOC(1, sizeof(*priv), stock_mt_private);

    if (!priv)
        return NULL;
    pthread_spin_init(&priv->lock, PTHREAD_PROCESS_PRIVATE);
    if (stock_option(priv, this->options) != 0) {
        GF_FREE(priv);
        return NULL;
    }
    gf_msg(this->name, GF_LOG_INFO, 0, 0, "stock plugin: bucketid %s", priv->bucketid);
    return priv;
}

static int
stock_reconfigure(xlator_t *this, dict_t *options)
{
    cs_private_t *cspriv = this->private;

    return stock_option(cspriv->stores->config, options);
}

static void
stock_fini(void *config)
{
    stock_private_t *priv = config;

    pthread_spin_destroy(&priv->lock);
    GF_FREE(priv->bucketid);
    GF_FREE(priv);
}

static int
stock_writev_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int op_ret, int op_errno, struct iatt *prebuf,
                 struct iatt *postbuf, dict_t *xdata)
{
    cs_private_t *cspriv = this->private;
    stock_private_t *priv = cspriv->stores->config;

    if (op_ret == -1) {
        gf_msg(this->name, GF_LOG_ERROR, op_errno, 0, "write failed. Aborting download");
        pthread_spin_lock(&priv->lock);
        priv->abortdl = _gf_true;
        pthread_spin_unlock(&priv->lock);
    }
    CS_STACK_DESTROY(frame);
    return op_ret;
}

/* As an HTTP library calls it with what came. */
static size_t
stock_came(void *bytes, size_t size, call_frame_t *frame)
{
    xlator_t *this = frame->this;
    cs_local_t *local = frame->local;
    struct iovec from = {.iov_base = bytes, .iov_len = size};
    struct iovec iov = {0};
    struct iobref *iobref = NULL;
    struct iobuf *iobuf = NULL;
    call_frame_t *dlframe = NULL;

    if (iobuf_copy(this->ctx->iobuf_pool, &from, 1, &iobref, &iobuf, &iov) != 0)
        return 0;
    dlframe = copy_frame(frame);
    if (dlframe) {
        STACK_WIND(dlframe, stock_writev_cbk, FIRST_CHILD(this), FIRST_CHILD(this)->fops->writev, local->dlfd, &iov,
                   1, local->dloffset, 0, iobref, NULL);
        local->dloffset += size;
    }
    iobuf_unref(iobuf);
    iobref_unref(iobref);
    return dlframe ? size : 0;
}

static int
stock_download(call_frame_t *frame, void *config)
{
    stock_private_t *priv = config;
    cs_local_t *local = frame->local;
    char path[4096];
    char bytes[STOCK_PIECE];
    size_t size;
    int ret = 0;
    FILE *object;

    if (!priv->bucketid)
        return -1;
    snprintf(path, sizeof(path), "%s/%s", priv->bucketid, local->remotepath);
    object = fopen(path, "r");
    if (!object) {
        gf_msg(frame->this->name, GF_LOG_ERROR, errno, 0, "cannot open %s", path);
        return -1;
    }
    while (ret == 0 && (size = fread(bytes, 1, sizeof(bytes), object)) > 0)
        ret = stock_came(bytes, size, frame) == size ? 0 : -1;
    fclose(object);
    return ret;
}

store_methods_t store_ops = {
    .fop_download = stock_download,
    .fop_init = stock_init,
    .fop_reconfigure = stock_reconfigure,
    .fop_fini = stock_fini,
};
