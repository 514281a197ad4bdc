/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * The ABI of cloudsync's store plugins.
 *
 * A plugin is a shared object in the plugin folder that exports the table `store_ops`. The translator loads it when a
 * volume's option cloudsync-storetype names it, calls fop_init once, and calls fop_download on one of its own threads to
 * recall a cold file.
 *
 * Names, order and layout of the host's structures are those of the header in GlusterFS's source, so a plugin built for
 * that header loads here unchanged. Our own fields follow the host's.
 */
#ifndef CLOUDSYNC_COMMON_H
#define CLOUDSYNC_COMMON_H

#ifdef __cplusplus

/* GlusterFS's headers are C only. C++ gets the two tables that a plugin exports; functions that access a frame must be in
 * a C file. */
#include <stddef.h>
#include <stdint.h>

extern "C" {
typedef struct _call_frame call_frame_t;
typedef struct _xlator xlator_t;
typedef struct _dict dict_t;

#else /* C, up to the tables */

/*
 * GlusterFS installs its headers without the config.h that it was built with. These macros replace it, with the values of
 * Debian's build for 64-bit Linux. Without some of them, layouts would differ silently.
 */
#ifndef _GNU_SOURCE
#ifdef _FEATURES_H
#error "include cloudsync-common.h before anything else, or compile with: pkg-config --cflags cloudsync"
#endif
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#ifndef GF_LINUX_HOST_OS
#define GF_LINUX_HOST_OS
#endif
#ifndef HAVE_ATOMIC_BUILTINS
#define HAVE_ATOMIC_BUILTINS 1
#endif
#ifndef SIZEOF_LONG
#define SIZEOF_LONG 8
#endif
#ifndef SIZEOF_SIZE_T
#define SIZEOF_SIZE_T 8
#endif
#ifndef SIZEOF_INT
#define SIZEOF_INT 4
#endif
#ifndef SIZEOF_SHORT
#define SIZEOF_SHORT 2
#endif
#ifndef SIZEOF_LONG_LONG
#define SIZEOF_LONG_LONG 8
#endif
#ifndef HAVE_LLISTXATTR
#define HAVE_LLISTXATTR 1
#endif
#ifndef HAVE_STRNLEN
#define HAVE_STRNLEN 1
#endif
#ifndef HAVE_ARGP
#define HAVE_ARGP 1
#endif
#ifndef HAVE_STATIC_ASSERT
#define HAVE_STATIC_ASSERT 1
#endif
#ifndef HAVE_STRUCT_STAT_ST_ATIM_TV_NSEC
#define HAVE_STRUCT_STAT_ST_ATIM_TV_NSEC 1
#endif
#ifndef HAVE_PTHREAD_SETNAME_NP_TWO_ARGS
#define HAVE_PTHREAD_SETNAME_NP_TWO_ARGS 1
#endif
/* The host's macros use typeof, which -std=c11 does not have. */
#if defined(__STRICT_ANSI__) && !defined(typeof)
#define typeof __typeof__
#endif

#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>

#include <glusterfs/glusterfs.h>
#include <glusterfs/call-stub.h>
#include <glusterfs/xlator.h>
#include <glusterfs/syncop.h>
#include <glusterfs/compat-errno.h>
#include <glusterfs/globals.h>

/*
 * The major version of GlusterFS whose headers these are. Between majors the layouts of the host's structures differ, so
 * what was compiled for one must not run in another. (On the development branch GD_OP_VERSION_MAX is no macro.)
 */
#ifdef GD_OP_VERSION_MAX
#define CS_HOST_MAJOR (GD_OP_VERSION_MAX / 10000)
#else
#define CS_HOST_MAJOR 12
#endif
/*
 * A function that libglusterfs does not export before this major, and 10's not after it. A reference to it makes the
 * dynamic linker refuse a library that was built for the wrong major, by this name, before the host reads its tables.
 */
#if CS_HOST_MAJOR == 10
#define CS_HOST_SYMBOL gf_d_type_from_st_mode
#else
#define CS_HOST_SYMBOL inode_set_namespace_inode
#endif
/*
 * The host's major version and the sizes that plugins depend on, which change within a major, too (xlator_t did between
 * 10.1 and 10.2, and between 10.3 and 10.4). CS_HOST is the value of store_ops_ext.host.
 */
#define CS_HOST_STAMP                                                   \
    ((uint64_t)CS_HOST_MAJOR << 48 | (uint64_t)sizeof(xlator_t) << 32 | \
     (uint64_t)offsetof(xlator_t, private) << 16 | (uint64_t)sizeof(call_stack_t))
#define CS_HOST (&(const uint64_t){CS_HOST_STAMP})

/* Identifies a file for a plugin that does not use the object's key. */
typedef struct cs_loc_xattr {
    char *file_path; /* the object's key, as in remotepath; owned by this structure */
    uuid_t uuid;     /* trusted.cloudsync.uuid: identifies the file in the archive */
    uuid_t gfid;     /* identifies the file in the volume */
    char *volname;   /* the volume; owned by this structure */
} cs_loc_xattr_t;

/* The size of a cold file, as recorded on the bricks. */
typedef struct cs_size_xattr {
    uint64_t size;    /* bytes */
    uint64_t blksize; /* preferred transfer size, bytes */
    uint64_t blocks;  /* 512-byte blocks */
} cs_size_xattr_t;

/* A recall (or remote read), as passed to the plugin: frame->local of the frame in the call of fop_download. */
typedef struct cs_local {
    loc_t loc;                /* the file; path may be NULL if only the gfid is known */
    fd_t *fd;                 /* the application's descriptor, or NULL */
    call_stub_t *stub;        /* not for plugins */
    call_frame_t *main_frame; /* not for plugins */
    int op_errno;             /* set by the plugin on failure: the errno for the waiting operation */
    int op_ret;               /* not for plugins */
    fd_t *dlfd;               /* the descriptor to write the file's bytes to */
    off_t dloffset;           /* for the plugin's use: starts at 0, or at a remote read's offset */
    struct iatt stbuf;        /* the file's attributes; ia_size is the size of the whole object */
    dict_t *xattr_rsp;        /* the file's state and key, as the bricks report them */
    dict_t *xattr_req;        /* the request for them; of a remote read, with the reader's own keys */
    glusterfs_fop_t fop;      /* the operation that started this */
    gf_boolean_t locked;      /* not for plugins */
    int call_cnt;             /* not for plugins */
    inode_t *inode;           /* a recall: the file; a remote read: NULL, as the stock translator has it: use fd->inode */
    char *remotepath;         /* the object's key in the store, not encoded in any way */

    struct {
        off_t offset;           /* remote read: first byte */
        uint32_t flags;         /* remote read: the reader's flags */
        size_t size;            /* remote read: maximum number of bytes */
        cs_loc_xattr_t *lxattr; /* identifies the file, for plugins that do not use remotepath */
    } xattrinfo;

    /* Our own fields, which the host's header does not have. */
    const char *version; /* the object's etag when the file was archived; any other version must be refused with
                          * ESTALE. NULL if not known */
    int32_t *cancelled;  /* not 0 once the recall is cancelled; NULL under another translator */
} cs_local_t;

typedef int (*fop_download_t)(call_frame_t *frame, void *config);
typedef int (*fop_remote_read_t)(call_frame_t *frame, void *config);
typedef void *(*store_init)(xlator_t *this_xl);
typedef int (*store_reconfigure)(xlator_t *this_xl, dict_t *options);
typedef void (*store_fini)(void *config);

/* The store that a volume uses. */
struct cs_remote_stores {
    char *name;                    /* the value of the option cloudsync-storetype */
    void *config;                  /* what fop_init returned */
    fop_download_t dlfop;          /* store_ops.fop_download */
    fop_remote_read_t rdfop;       /* store_ops.fop_remote_read, may be NULL */
    store_init init;               /* store_ops.fop_init */
    store_reconfigure reconfigure; /* store_ops.fop_reconfigure */
    store_fini fini;               /* store_ops.fop_fini */
    void *handle;                  /* returned by dlopen */
};

/* The part of this->private that plugins may read. */
typedef struct cs_private {
    xlator_t *this;                  /* the translator */
    struct cs_remote_stores *stores; /* NULL while no store is loaded */
    gf_boolean_t abortdl;            /* the volume is being taken down: give up */
    pthread_spinlock_t lock;         /* protects abortdl */
    gf_boolean_t remote_read;        /* the option cloudsync-remote-read */
} cs_private_t;

#endif /* C only; the following is for C++ too */

/*
 * The table that a plugin exports as `store_ops`.
 *
 * fop_download     writes the whole object local->remotepath to local->dlfd: STACK_WIND of writev to
 *                  FIRST_CHILD(frame->this), in pieces of any size and in any order. It need not wait for the writes:
 *                  the translator counts every acknowledgement. Writes block while too much is in flight. Returns 0,
 *                  or -1 with local->op_errno set. It runs on a thread that may block.
 * fop_remote_read  reads xattrinfo.size bytes at xattrinfo.offset without recalling the file. Used if the plugin has no
 *                  `fetch` and the option cloudsync-remote-read is on; may be NULL. The frame has the reader's process,
 *                  user, groups and lock owner. Answers once by STACK_UNWIND_STRICT(readv, frame, ...), on any thread,
 *                  before or after it returns 0: with all bytes that were asked for, or those up to the end of the file
 *                  (stbuf.ia_size), or with an error. Or returns -1 without answering, with local->op_errno set. It
 *                  runs on a thread that may block. The bytes are copied; other parts of the answer are ignored.
 * fop_init         reads this_xl->options. Returns the store's configuration, or NULL on failure.
 * fop_reconfigure  applies changed options; `options` holds all of them. Returns 0, or -1 and keeps the old ones. Values
 *                  of these and of fop_init's options stay valid until fop_fini has returned.
 * fop_fini         frees the result of fop_init. Called when no other call is running.
 */
typedef struct store_methods {
    int (*fop_download)(call_frame_t *frame, void *config);
    int (*fop_remote_read)(call_frame_t *frame, void *config);
    void *(*fop_init)(xlator_t *this_xl);
    int (*fop_reconfigure)(xlator_t *this_xl, dict_t *options);
    void (*fop_fini)(void *config);
} store_methods_t;

/* An object, as described by its store. A string is empty if the store does not provide it. */
typedef struct cs_object {
    uint64_t size;      /* bytes */
    char etag[128];     /* the store's version of the object, as text */
    char checksum[128]; /* "algorithm:base64", of the whole object, e.g. "crc64nvme:..." */
} cs_object_t;

/* A part of an object to fetch, and the functions that receive its bytes. */
typedef struct cs_fetch {
    const char *key;     /* the object's key, not encoded in any way */
    const char *version; /* the only acceptable version (cs_object_t.etag); NULL: any */
    uint64_t size;       /* size of the whole object, bytes */
    uint64_t offset;     /* offset of the part, bytes */
    uint64_t length;     /* length of the part, bytes; not 0 */
    /* Takes the next bytes, which are copied. Returns 0, or an errno to stop: return its negative from `fetch`. */
    int (*write)(void *sink, const void *bytes, size_t length);
    /* Returns non-zero once the fetch is cancelled. Check it while waiting for the store; `write` checks it too. */
    int (*cancelled)(void *sink);
    void *sink;
    /* Optional, for a store whose response with the bytes also has everything that `head` returns: if it is called before
     * the first `write`, `head` is not called for this object. */
    void (*describe)(void *sink, const cs_object_t *object);
    /* Optional: the store asked for fewer requests, and this one will be repeated. Fewer are sent at once then. */
    void (*throttled)(void *sink);
    /* To be called before the plugin has the store restore an archived object, which costs money. If it returns 0, the
     * administrator's guard against mass recalls forbids it: return -EBUSY. */
    int (*may_restore)(void *sink);
    /* To be called with 1 before the plugin waits long for an object, as for one that is being restored, and with 0 after
     * it: others get its place meanwhile. If it returns 0, too many are waiting: return -EBUSY. */
    int (*waits)(void *sink, int begins);
} cs_fetch_t;

/*
 * An optional second table, exported as `store_ops_ext`, with functions that `store_ops` lacks. `size` is the size of the
 * plugin's own table, so that the table can grow: a slot beyond it counts as NULL.
 *
 * head  queries the store for an object. Returns 0 and fills `object`, or a negative errno (-ENODATA: no such object).
 *       `key` is not encoded. May block. Called on any of the translator's threads, concurrently.
 * fetch passes each byte of a part to `what->write` once, in order, on the calling thread. Returns 0 when all were taken,
 *       or a negative errno (-ENODATA: no such object; -ESTALE: another version). May block. Called concurrently, also
 *       for the same object. With it, the translator recalls in parts, in parallel, and fetches only what is needed;
 *       fop_download is then only used by other translators.
 * host  CS_HOST: the GlusterFS that the plugin was compiled for. The translator refuses the plugin if its own is another
 *       one. NULL: not checked, for a plugin that uses none of the host's structures.
 */
typedef struct store_methods_ext {
    size_t size;
    int (*head)(xlator_t *this_xl, void *config, const char *key, cs_object_t *object);
    int (*fetch)(xlator_t *this_xl, void *config, const cs_fetch_t *what);
    const uint64_t *host;
} store_methods_ext_t;

#ifdef __cplusplus
} /* extern "C" */
#else

/*
 * Helpers for plugins that block, which fop_download may do here. Under GlusterFS's own translator it must not block, and
 * these must not be used.
 *
 * cs_cancelled  returns non-zero once the recall is cancelled. Check it between pieces, and while waiting for the store.
 * cs_write      writes to the file being recalled, and waits for the volume's acknowledgement. Returns 0, or an
 *               errno with which the recall must fail. The bytes are copied.
 */
static inline int
cs_cancelled(call_frame_t *frame)
{
    cs_local_t *local = (cs_local_t *)frame->local;
    cs_private_t *priv = (cs_private_t *)frame->this->private;

    if (local->cancelled && __atomic_load_n(local->cancelled, __ATOMIC_ACQUIRE))
        return 1;
    return priv && __atomic_load_n(&priv->abortdl, __ATOMIC_ACQUIRE);
}

struct cs_written {
    sem_t done;
    int32_t op_ret;
    int32_t op_errno;
};

static inline int32_t
cs_write_cbk(call_frame_t *frame, void *cookie, xlator_t *this_xl, int32_t op_ret, int32_t op_errno,
             struct iatt *prebuf, struct iatt *postbuf, dict_t *xdata)
{
    struct cs_written *written = (struct cs_written *)cookie;

    (void)this_xl, (void)prebuf, (void)postbuf, (void)xdata;
    STACK_DESTROY(frame->root);
    written->op_ret = op_ret;
    written->op_errno = op_errno;
    sem_post(&written->done);
    return 0;
}

static inline int
cs_write(call_frame_t *frame, const void *bytes, size_t size, off_t offset)
{
    cs_local_t *local = (cs_local_t *)frame->local;
    xlator_t *child = FIRST_CHILD(frame->this);
    struct iovec from = {.iov_base = (void *)bytes, .iov_len = size};
    struct iovec piece = {.iov_base = NULL, .iov_len = 0};
    struct iobref *iobref = NULL;
    struct iobuf *iobuf = NULL;
    struct cs_written written = {.op_ret = -1, .op_errno = ENOMEM};
    call_frame_t *copy = NULL;
    int wound = 0;

    if (iobuf_copy(frame->this->ctx->iobuf_pool, &from, 1, &iobref, &iobuf, &piece) != 0)
        return ENOMEM;
    copy = copy_frame(frame);
    if (copy) {
        sem_init(&written.done, 0, 0);
        /* The macro does not report that it got no frame and did not wind: it sets `wound` only if it winds. */
        STACK_WIND_COOKIE(copy, cs_write_cbk, &written, child, child->fops->writev, (wound = 1, local->dlfd), &piece,
                          1, offset, 0, iobref, NULL);
        if (!wound)
            STACK_DESTROY(copy->root);
        while (wound && sem_wait(&written.done) != 0)
            continue;
        sem_destroy(&written.done);
    }
    iobuf_unref(iobuf);
    iobref_unref(iobref);
    if (written.op_ret < 0)
        return written.op_errno > 0 ? written.op_errno : EIO;
    return (size_t)written.op_ret == size ? 0 : EIO;
}

/* Releases what `local` holds and `local` itself, which must come from mem_get. */
static inline void
cs_local_wipe(xlator_t *this_xl, cs_local_t *local)
{
    (void)this_xl;
    if (!local)
        return;
    loc_wipe(&local->loc);
    if (local->fd)
        fd_unref(local->fd);
    if (local->dlfd)
        fd_unref(local->dlfd);
    if (local->stub)
        call_stub_destroy(local->stub);
    if (local->xattr_req)
        dict_unref(local->xattr_req);
    if (local->xattr_rsp)
        dict_unref(local->xattr_rsp);
    if (local->inode)
        inode_unref(local->inode);
    GF_FREE(local->remotepath);
    if (local->xattrinfo.lxattr) {
        GF_FREE(local->xattrinfo.lxattr->file_path);
        GF_FREE(local->xattrinfo.lxattr->volname);
        GF_FREE(local->xattrinfo.lxattr);
    }
    mem_put(local);
}

/* STACK_UNWIND_STRICT for a frame whose local is a cs_local_t. */
#define CS_STACK_UNWIND(fop, frame, params...)      \
    do {                                            \
        cs_local_t *__local = NULL;                 \
        xlator_t *__xl = NULL;                      \
        if (frame) {                                \
            __xl = (frame)->this;                   \
            __local = (cs_local_t *)(frame)->local; \
            (frame)->local = NULL;                  \
        }                                           \
        STACK_UNWIND_STRICT(fop, frame, params);    \
        cs_local_wipe(__xl, __local);               \
    } while (0)

/* STACK_DESTROY for a frame whose local is NULL or a cs_local_t. */
#define CS_STACK_DESTROY(frame)                             \
    do {                                                    \
        cs_local_t *__local = (cs_local_t *)(frame)->local; \
        xlator_t *__xl = (frame)->this;                     \
        (frame)->local = NULL;                              \
        STACK_DESTROY((frame)->root);                       \
        cs_local_wipe(__xl, __local);                       \
    } while (0)

#endif /* C */

#endif /* CLOUDSYNC_COMMON_H */
