/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * The contract between the C shim and Rust.
 *
 * The host's macros (STACK_WIND, STACK_UNWIND_STRICT, FIRST_CHILD, THIS, ...) can only be used from C, so C has
 * one function for each use of them. C makes no decisions: Rust makes them, behind the functions of cs_rs_ops.
 */
#ifndef CLOUDSYNC_SHIM_H
#define CLOUDSYNC_SHIM_H

#include <cloudsync-common.h>
#include <glusterfs/defaults.h>
#include <glusterfs/statedump.h>

/* The child's answer to a guarded operation, before it is unwound. */
typedef struct cs_reply {
    int32_t op_ret;       /* Rust may change it */
    int32_t op_errno;     /* Rust may change it */
    dict_t *xdata;        /* the answer's dictionary, or NULL */
    struct iatt *buf;     /* the file's attributes after the operation, or NULL; Rust may correct them */
    struct iatt *prebuf;  /* the file's attributes before the operation, or NULL; Rust may correct them */
    gf_dirent_t *entries; /* the entries of a readdirp, or NULL; Rust may correct them */
    dict_t *xattrs;       /* the attributes in the answer to a getxattr, or NULL; Rust may correct them */
} cs_reply_t;

/*
 * A guarded operation and its arguments; those that it does not have are 0. In `enter`, the arguments are borrowed from
 * the caller; cs_shim_call_keep takes references or copies. fops.c shows which fields each operation uses.
 */
typedef struct cs_call {
    glusterfs_fop_t fop;
    int32_t locs; /* how many of loc, loc2 are used */
    call_frame_t *frame;
    void (*wind)(struct cs_call *call);
    void (*unwind)(struct cs_call *call, int32_t op_ret, int32_t op_errno, dict_t *answer);
    loc_t loc;
    loc_t loc2;
    fd_t *fd;
    fd_t *fd2; /* the destination of a copy_file_range */
    off_t offset;
    off_t offset2;
    size_t size;
    int32_t flags;
    int32_t mode;
    mode_t mask;
    int32_t count; /* length of the vector, or bytes to compute a checksum of */
    struct iovec *vector;
    struct iobref *iobref;
    const char *name;
    dict_t *xattr;
    dict_t *xdata;
    struct iatt stbuf;
} cs_call_t;

/* Rust functions called from C. Every function catches panics. */
typedef struct cs_rs_ops {
    /* Passes on a new operation. Returns CS_TAKEN if Rust will answer it, exactly once; CS_PASS if it is none of ours, and C
     * must pass it on. The arguments are borrowed from the caller. */
    int32_t (*enter)(xlator_t *this_xl, const cs_call_t *call);
    /* The child answered. Returns CS_TAKEN if Rust has taken the operation back, CS_ANSWER if C must unwind it now and
     * then release the ticket, CS_RECHECK if C must put the answer into a stub for recheck. */
    int32_t (*settle)(void *ticket, cs_reply_t *reply);
    /* Corrects the attributes in an answer, resumes it (its function unwinds) and releases the ticket. */
    void (*recheck)(void *ticket, call_stub_t *answer);
    /* Frees the ticket of an operation that was unwound. */
    void (*release)(void *ticket);
    /* A plugin writes; cs_shim_answer_write will answer it. May block. */
    void (*plugin_writes)(call_frame_t *frame, fd_t *fd, const struct iovec *vector, int32_t count, off_t offset);
    /* A recall's write was answered. Called exactly once for each slot. */
    void (*write_end)(void *slot, int32_t op_ret, int32_t op_errno, struct iatt *prebuf, struct iatt *postbuf);
    /* A plugin answered a remote read. Called once for each; the arguments are borrowed. Never blocks. */
    void (*remote_answered)(void *reading, int32_t op_ret, int32_t op_errno, const struct iovec *vector, int32_t count);
    /* An operation given up by cs_shim_leave_call was answered, with 0 or a negative errno. Never blocks. */
    void (*late)(void *ticket, int32_t errnum);
    /* Prints the instance's state into the open statedump section. */
    void (*dump)(xlator_t *this_xl);
    /* Handles an event of the host (GF_EVENT_*). Returns non-zero if it must not be forwarded to the child yet. */
    int32_t (*notify)(xlator_t *this_xl, int32_t event);
} cs_rs_ops_t;

#define CS_ANSWER 0
#define CS_TAKEN 1
#define CS_RECHECK 2
#define CS_PASS 3

/* Set before the first operation. */
extern const cs_rs_ops_t *cs_rs;

void
cs_shim_register(const cs_rs_ops_t *ops);

/* The tables that xlator_api points to. Writable: the host stores into them. */
extern struct xlator_fops cs_fops;
extern struct xlator_cbks cs_cbks;
extern struct xlator_dumpops cs_dumpops;
extern volume_option_t cs_options[];

int32_t
cs_shim_notify(xlator_t *this_xl, int32_t event, void *data, ...);

/* Notifies the child that its parents are going down. */
void
cs_shim_parent_down(xlator_t *this_xl);

int32_t
cs_shim_mem_acct_init(xlator_t *this_xl);

/* Makes `gluster volume set` accept `name` as a store. Returns -1 if the table is full. Not thread-safe: called only
 * while glusterd loads us. */
int32_t
cs_shim_allow_store(const char *name);

/* Returns non-zero in glusterd, which loads us to check options but never runs an instance. */
int32_t
cs_shim_is_glusterd(void);

/* Returns the address of the host's function that ties this build to one major version of it (CS_HOST_SYMBOL). */
const void *
cs_shim_host_symbol(void);

/* Returns CS_HOST_STAMP. */
uint64_t
cs_shim_host_stamp(void);

/* ---- an operation's arguments ---- */

/* Takes references to, or copies of, everything that `call` refers to. Returns -1 if out of memory; `call` then refers
 * to nothing. */
int32_t
cs_shim_call_keep(cs_call_t *call);

/* Releases what cs_shim_call_keep took. */
void
cs_shim_call_wipe(cs_call_t *call);

/* Winds the call to the child. The answer may arrive, and free the call, before this returns. */
void
cs_shim_call_wind(cs_call_t *call);

/* Answers the call without winding it. `answer`: NULL, or the dictionary in the answer to a setxattr or getxattr. */
void
cs_shim_call_unwind(cs_call_t *call, int32_t op_ret, int32_t op_errno, dict_t *answer);

/* Answers a read with `size` bytes of `buffer`, from `start` on. Returns -1 if out of memory; the call is then not answered. */
int32_t
cs_shim_call_answer_read(cs_call_t *call, struct iobuf *buffer, size_t start,
                         size_t size, int32_t at_end, struct iatt *attributes);

/* Answers a seek with the offset that it found. */
void
cs_shim_call_answer_seek(cs_call_t *call, off_t offset);

/* Answers a truncation or an open that cs_shim_call_as_caller has run. */
void
cs_shim_call_answer_done(cs_call_t *call, struct iatt *before, struct iatt *after);

/* Changes the attribute that a removexattr removes to `name`. Returns -1 if out of memory. */
int32_t
cs_shim_call_rename(cs_call_t *call, const char *name);

/* ---- host macros as functions ---- */

int32_t
cs_shim_child_count(xlator_t *this_xl);

/* Creates this->local_pool, for cs_local_t. Returns -1 if out of memory. */
int32_t
cs_shim_pool_new(xlator_t *this_xl);

xlator_t *
cs_shim_first_child(xlator_t *this_xl);

xlator_t *
cs_shim_this(void);

void
cs_shim_set_this(xlator_t *this_xl);

/* Fills `loc` (all zeros) for the file `gfid`, whose inode may not be linked yet (during a lookup): with a path if this
 * client knows one, otherwise with the gfid. Returns -1 if out of memory. The caller must call loc_wipe in any case. */
int32_t
cs_shim_loc_fill(loc_t *loc, inode_t *inode, const unsigned char *gfid);

/* Returns a new descriptor for `inode`, to be opened by the child. The caller owns the reference. NULL: out of memory. */
fd_t *
cs_shim_fd_new(inode_t *inode);

/* Binds `fd` to its inode after the child has opened it. */
void
cs_shim_fd_bind(fd_t *fd);

/* Sets the identity of this thread's syncop calls: root exempt from root squashing, a lock owner unique to `token`. */
void
cs_shim_become(void *token);

/* ---- with the caller's process, user, groups, lock owner and time; blocking; 0 or a negative errno ---- */

/* Runs `call` (truncate, ftruncate, open) on the child without answering it: it must still be answered, with the
 * attributes returned. `open` opens the call's descriptor and truncates the file.
 *
 * A brick may make a truncation wait for a mandatory lock. -EINPROGRESS: there was no answer within `seconds`; *late must
 * then be passed to cs_shim_leave_call. */
int32_t
cs_shim_call_as_caller(cs_call_t *call, uint32_t seconds, struct iatt *before, struct iatt *after, void **late);

/* Stops waiting: returns -EINPROGRESS, and cs_rs->late gets `ticket` when the answer arrives. If it has already arrived,
 * returns the result (0 or a negative errno), and the caller keeps the ticket. */
int32_t
cs_shim_leave_call(void *late, void *ticket, struct iatt *before, struct iatt *after);

/* Sets extended attributes without changing the file's times. */
int32_t
cs_shim_set_as_caller(call_frame_t *caller, loc_t *loc, dict_t *dict);

/* Checks that the caller may access the file as in `mask` (R_OK, W_OK). Restores the identity set by cs_shim_become. */
int32_t
cs_shim_access_as_caller(call_frame_t *caller, xlator_t *child, loc_t *loc, int32_t mask);

/* Checks on the bricks that `loc->path`, which this client remembers, is still a path of the file. Returns 0 or a
 * negative errno; -ESTALE: no file, or another one, has this path. */
int32_t
cs_shim_check_name(xlator_t *child, loc_t *loc);

/* Returns a buffer of at least `size` bytes for writes and answers, or NULL. */
struct iobuf *
cs_shim_buffer_new(xlator_t *this, size_t size);
void *
cs_shim_buffer_bytes(struct iobuf *buffer);
void
cs_shim_buffer_free(struct iobuf *buffer);

/* Whether the caller has the only reference. */
int32_t
cs_shim_buffer_is_ours(struct iobuf *buffer);

/* Of cs_shim_write: if not urgent, the bricks give the write their lowest priority; it counts as an access to the file. */
#define CS_URGENT 1
#define CS_ACCESS 2

/* Writes `size` bytes of `buffer`, starting at `from`, to the file, for a recall. Returns 0, or an errno if nothing was
 * sent. `slot` is passed to cs_rs->write_end in either case. */
int32_t
cs_shim_write(xlator_t *this, fd_t *fd, struct iobuf *buffer, size_t from,
              size_t size, off_t offset, uint32_t how, void *slot);

/* Answers a plugin's write: that it wrote `written` bytes, or, if that is negative, op_errno. */
void
cs_shim_answer_write(call_frame_t *frame, int32_t written, int32_t op_errno);

/* Sets `key` to a copy of `length` bytes. Returns -1 if out of memory. */
int32_t
cs_shim_dict_set(dict_t *dict, const char *key, const char *bytes, size_t length);

/* Removes `key`. (The host's function is inline since GlusterFS 11.) */
void
cs_shim_dict_remove(dict_t *dict, const char *key);

/* Whether both have the same keys with the same values. (The host's function has another parameter since GlusterFS 11.) */
int32_t
cs_shim_dict_equals(dict_t *one, dict_t *other);

/* Sets `key` to a copy of `iatt`. Returns -1 if out of memory. */
int32_t
cs_shim_dict_set_iatt(dict_t *dict, const char *key, const struct iatt *iatt);

/* Returns the entry after `entry` (NULL: the first one), or NULL at the end. */
gf_dirent_t *
cs_shim_next_entry(gf_dirent_t *entries, gf_dirent_t *entry);

/* Actions of cs_shim_lock: take the lock if it is free; release it. */
#define CS_TRY_LOCK 0
#define CS_UNLOCK 1

/* Takes or releases the write lock on the whole file in `domain`. Blocks until the bricks answer, which they do without
 * waiting for the lock. Returns 0 or a negative errno; -EAGAIN: another client holds it. */
int32_t
cs_shim_lock(xlator_t *child, const char *domain, loc_t *loc, uint32_t how);

/* Reads up to `size` bytes of the file at `offset` into `bytes`, whatever the file's state. Blocks. Returns the number of
 * bytes, or a negative errno. */
int32_t
cs_shim_read(xlator_t *child, fd_t *fd, void *bytes, uint32_t size, off_t offset);

/* Opens the file for reading and writing. With features.ctime, it sets the atime to that in `accessed` (may be NULL), unless the
 * file's is later. Blocks. Returns 0 or a negative errno. */
int32_t
cs_shim_open(xlator_t *child, loc_t *loc, fd_t *fd, const struct iatt *accessed);

/* Sends an empty write at offset 0, with `xdata`. With features.ctime, it sets the atime to that in `accessed`, unless the
 * file's is later. Blocks. Returns 0 or a negative errno. */
int32_t
cs_shim_write_nothing(xlator_t *child, fd_t *fd, dict_t *xdata, const struct iatt *accessed);

/* Removes an extended attribute. With features.ctime, the file's ctime becomes now. Blocks. Returns 0 or a negative errno. */
int32_t
cs_shim_remove_as_change(xlator_t *child, fd_t *fd, const char *name);

/* Writes a line `key=value` to the statedump. */
void
cs_shim_dump(const char *key, const char *value);

/*
 * The translators that a plugin sees. `this` of its frame is `proxy`, which has the real translator's name, options and
 * memory accounting, with `priv` as its private and `tracker` as its only child. The tracker's writev passes the
 * plugin's writes to Rust; other operations go to the real child.
 */
typedef struct cs_proxy {
    xlator_t proxy;
    xlator_t tracker;
    xlator_list_t proxy_child;   /* the tracker */
    xlator_list_t tracker_child; /* the real child */
    volume_opt_list_t options;   /* the proxy's option table */
    cs_private_t priv;
    /* After a failed write, the stock S3 plugin takes the proxy's private for its own structure, which is longer, and
     * takes a spin lock in it. Without this room it would write to what follows. See cs_shim_proxy_new. */
    char room[512];
    struct cs_remote_stores store;
} cs_proxy_t;

/* Returns NULL if out of memory. The proxy borrows from `this_xl`, which must outlive it. */
cs_proxy_t *
cs_shim_proxy_new(xlator_t *this_xl);

void
cs_shim_proxy_free(cs_proxy_t *proxy);

/* A cold file and its object, as a plugin is to see them. Everything is borrowed. */
typedef struct cs_cold {
    inode_t *inode;
    fd_t *fd;                      /* a download: the descriptor to write to; a remote read: the reader's */
    const char *key;               /* the object's key */
    const char *version;           /* the only acceptable version, or NULL */
    const unsigned char *uuid;     /* 16 bytes that identify the file in the archive, or NULL */
    const struct iatt *attributes; /* the file's; the size is the object's, too */
    int32_t *cancelled;            /* not 0 once nobody waits any more */
} cs_cold_t;

/* Returns the cs_local_t for a plugin, with references and copies of everything except the version and the flag
 * `cancelled`, which must outlive it. cs_local_wipe frees it. NULL: out of memory. */
cs_local_t *
cs_shim_local_new(xlator_t *this_xl, const cs_cold_t *file, dict_t *request);

/*
 * Runs a plugin's download on this thread: creates its frame and cs_local_t, calls the plugin, and destroys the frame.
 * `after` is called between the plugin's return and the frame's destruction, and must wait until every write was
 * answered. Returns the plugin's result, with its local->op_errno in *op_errno; -1 with ENOMEM if out of memory.
 */
int32_t
cs_shim_download(cs_proxy_t *proxy, const cs_cold_t *file, void (*after)(void *), void *after_arg, int32_t *op_errno);

/* A remote read. The plugin's frame is on a stack of its own, because the reader may be answered before it. */
typedef struct cs_remote {
    cs_proxy_t *proxy;
    call_frame_t *stack; /* the parent of the plugin's frame: a copy of the reader's */
    call_frame_t *frame; /* the plugin's; NULL until it is called */
    void *reading;       /* passed to cs_rs->remote_answered */
    int32_t result;      /* what the plugin returned */
} cs_remote_t;

/* `readv` of the proxy: calls fop_remote_read. Only cs_shim_remote_run winds to it. */
int32_t
cs_shim_remote_readv(call_frame_t *frame, xlator_t *this_xl, fd_t *fd, size_t size, off_t offset, uint32_t flags,
                     dict_t *xdata);

/* Prepares a remote read for `call`, whose identity (process, user, groups, lock owner) the plugin's frame gets. NULL: out
 * of memory. */
cs_remote_t *
cs_shim_remote_new(cs_proxy_t *proxy, const cs_cold_t *file, const cs_call_t *call, void *reading);

/* Calls fop_remote_read on this thread. cs_rs->remote_answered is called when the plugin answers, on any thread, possibly
 * before this returns. Returns the plugin's result; if it is not 0, *op_errno is the plugin's local->op_errno. */
int32_t
cs_shim_remote_run(cs_remote_t *remote, int32_t *op_errno);

/* Frees a remote read, once the plugin has returned and has answered or never will. */
void
cs_shim_remote_free(cs_remote_t *remote);

/* Tells plugins the value of the option cloudsync-remote-read. */
void
cs_shim_proxy_remote_read(cs_proxy_t *proxy, int32_t on);

/* Tells plugins that the volume is being taken down. */
void
cs_shim_proxy_abort(cs_proxy_t *proxy);

#endif /* CLOUDSYNC_SHIM_H */
