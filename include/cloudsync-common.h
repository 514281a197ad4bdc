/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * The ABI of cloudsync's store plugins.
 *
 * A plugin is a shared object in the plugin folder that exports one table, `store_ops`. The translator loads it
 * when a volume's option cloudsync-storetype names it, calls fop_init once, and calls fop_download on a thread of
 * its own when somebody touches a cold file.
 *
 * Names, order and layout of the host's structures are those of the header that ships in GlusterFS's source, so a
 * plugin built for that one loads here unchanged. Fields of ours come after the host's.
 */
#ifndef CLOUDSYNC_COMMON_H
#define CLOUDSYNC_COMMON_H

#if !defined(GF_LINUX_HOST_OS) || !defined(HAVE_ATOMIC_BUILTINS)
#error "GlusterFS's headers need its build's macros, or layouts differ: compile with the flags of crates/gluster-build"
#endif

#include <stddef.h>
#include <stdint.h>

#include <glusterfs/glusterfs.h>
#include <glusterfs/call-stub.h>
#include <glusterfs/xlator.h>
#include <glusterfs/syncop.h>
#include <glusterfs/compat-errno.h>

/* Names a file for a plugin that does not go by the object's key. */
typedef struct cs_loc_xattr {
    char *file_path; /* path in the volume; owned by this structure */
    uuid_t uuid;     /* trusted.cloudsync.uuid: the archive's name of the file */
    uuid_t gfid;     /* the volume's name of the file */
    char *volname;   /* the volume; owned by this structure */
} cs_loc_xattr_t;

/* What the bricks remember of a cold file's size. */
typedef struct cs_size_xattr {
    uint64_t size;    /* bytes */
    uint64_t blksize; /* preferred size of a transfer, bytes */
    uint64_t blocks;  /* 512-byte blocks */
} cs_size_xattr_t;

/* A recall (or a remote read) as its plugin sees it: frame->local of the frame that fop_download gets. */
typedef struct cs_local {
    loc_t loc;                /* the file; path may be NULL for a file known by its gfid only */
    fd_t *fd;                 /* the application's descriptor, or NULL */
    call_stub_t *stub;        /* not for plugins */
    call_frame_t *main_frame; /* not for plugins */
    int op_errno;             /* set by the plugin when it fails: the errno that the waiting operation gets */
    int op_ret;               /* not for plugins */
    fd_t *dlfd;               /* where the file's bytes must be written */
    off_t dloffset;           /* for the plugin's use: starts at 0 */
    struct iatt stbuf;        /* the file's attributes; ia_size is the size that the recall must bring back */
    dict_t *xattr_rsp;        /* not for plugins */
    dict_t *xattr_req;        /* not for plugins */
    glusterfs_fop_t fop;      /* the operation that started this */
    gf_boolean_t locked;      /* not for plugins */
    int call_cnt;             /* not for plugins */
    inode_t *inode;           /* the file */
    char *remotepath;         /* the object's key, as it is in the store, not encoded in any way */

    struct {
        off_t offset;           /* remote read: first byte */
        uint32_t flags;         /* remote read: the reader's flags */
        size_t size;            /* remote read: at most so many bytes */
        cs_loc_xattr_t *lxattr; /* who the file is, for plugins that do not go by remotepath */
    } xattrinfo;

    /* Ours from here on. */
    const char *version; /* the object's etag when the file was archived: any other version must be refused with
                          * ESTALE. NULL when it is not known */
    int32_t *cancelled;  /* not 0 once nobody wants the bytes any more; NULL under another translator */
} cs_local_t;

typedef int (*fop_download_t)(call_frame_t *frame, void *config);
typedef int (*fop_remote_read_t)(call_frame_t *frame, void *config);
typedef void *(*store_init)(xlator_t *this_xl);
typedef int (*store_reconfigure)(xlator_t *this_xl, dict_t *options);
typedef void (*store_fini)(void *config);

/* The store that a volume uses. */
struct cs_remote_stores {
    char *name;                    /* as the option cloudsync-storetype has it */
    void *config;                  /* what fop_init returned */
    fop_download_t dlfop;          /* store_ops.fop_download */
    fop_remote_read_t rdfop;       /* store_ops.fop_remote_read, may be NULL */
    store_init init;               /* store_ops.fop_init */
    store_reconfigure reconfigure; /* store_ops.fop_reconfigure */
    store_fini fini;               /* store_ops.fop_fini */
    void *handle;                  /* of dlopen */
};

/* this->private, as plugins may read it. */
typedef struct cs_private {
    xlator_t *this;                  /* the translator */
    struct cs_remote_stores *stores; /* NULL while no store is up */
    gf_boolean_t abortdl;            /* the volume is going away: give up */
    pthread_spinlock_t lock;         /* protects abortdl */
    gf_boolean_t remote_read;        /* the option cloudsync-remote-read */
} cs_private_t;

/*
 * What a plugin exports as `store_ops`.
 *
 * fop_download     writes the whole object local->remotepath to local->dlfd: STACK_WIND of writev to
 *                  FIRST_CHILD(frame->this), in pieces of any size and in any order. It may fire writes and not wait
 *                  for them: the translator counts every acknowledgement. Writes block while too much is in
 *                  flight. Returns 0, or -1 with local->op_errno set. It runs on a thread that may block.
 * fop_remote_read  NULL, or reads xattrinfo.size bytes at xattrinfo.offset without recalling the file.
 * fop_init         reads this_xl->options; returns the store's configuration, NULL on failure.
 * fop_reconfigure  the options changed: `options` holds all of them. Returns 0, or -1 and keeps the old ones.
 * fop_fini         frees what fop_init returned; no call is running any more.
 */
typedef struct store_methods {
    int (*fop_download)(call_frame_t *frame, void *config);
    int (*fop_remote_read)(call_frame_t *frame, void *config);
    void *(*fop_init)(xlator_t *this_xl);
    int (*fop_reconfigure)(xlator_t *this_xl, dict_t *options);
    void (*fop_fini)(void *config);
} store_methods_t;

/* An object as its store describes it. Strings are empty when the store does not say. */
typedef struct cs_object {
    uint64_t size;      /* bytes */
    char etag[128];     /* the store's version of the object, as text */
    char checksum[128]; /* "algorithm:base64", of the whole object, e.g. "crc64nvme:..." */
} cs_object_t;

/*
 * An optional second table, exported as `store_ops_ext`: what the five slots above lack. `size` comes first and is
 * sizeof of the plugin's own table, so the table can grow: a slot past it counts as NULL.
 *
 * head  asks the store for an object. Returns 0 and fills `object`, or a negative errno (-ENODATA: no such object).
 *       `key` is not encoded. May block. Runs on any of the translator's threads, several at once.
 */
typedef struct store_methods_ext {
    size_t size;
    int (*head)(xlator_t *this_xl, void *config, const char *key, cs_object_t *object);
} store_methods_ext_t;

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

#endif /* CLOUDSYNC_COMMON_H */
