/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * The contract between the C shim and Rust.
 *
 * The host's macros (STACK_WIND, STACK_UNWIND_STRICT, FIRST_CHILD, THIS, ...) can only be used from C, so C has
 * one function for each use of them, and decides nothing. Every decision is behind the functions of cs_rs_ops.
 */
#ifndef CLOUDSYNC_SHIM_H
#define CLOUDSYNC_SHIM_H

#include <cloudsync-common.h>
#include <glusterfs/defaults.h>
#include <glusterfs/statedump.h>

/* The child's answer to a guarded operation, before it goes up. */
typedef struct cs_reply {
    int32_t op_ret;       /* Rust may change it */
    int32_t op_errno;     /* Rust may change it */
    dict_t *xdata;        /* the answer's dictionary, or NULL */
    struct iatt *buf;     /* the file's attributes after the operation, or NULL; Rust may correct them */
    struct iatt *prebuf;  /* the file's attributes before the operation, or NULL; Rust may correct them */
    gf_dirent_t *entries; /* the entries of a readdirp, or NULL; Rust may correct them */
    dict_t *xattrs;       /* what a getxattr answers, or NULL; Rust may correct it */
} cs_reply_t;

/*
 * A guarded operation and its arguments: those that it has, the others 0. In `enter` they are the caller's;
 * cs_shim_call_keep makes them the holder's. What each operation keeps where is said in fops.c.
 */
typedef struct cs_call {
    glusterfs_fop_t fop;
    int32_t locs; /* how many of loc, loc2 it has */
    call_frame_t *frame;
    void (*wind)(struct cs_call *call);
    void (*unwind)(struct cs_call *call, int32_t op_ret, int32_t op_errno, dict_t *answer);
    loc_t loc;
    loc_t loc2;
    fd_t *fd;
    fd_t *fd2; /* where copy_file_range copies to */
    off_t offset;
    off_t offset2;
    size_t size;
    int32_t flags;
    int32_t mode;
    mode_t mask;
    int32_t count; /* of the vector, or bytes to make a checksum of */
    struct iovec *vector;
    struct iobref *iobref;
    const char *name;
    dict_t *xattr;
    dict_t *xdata;
    struct iatt stbuf;
} cs_call_t;

/* What Rust does for C. Every function catches its panics. */
typedef struct cs_rs_ops {
    /* An operation arrives, which Rust must answer exactly once. The arguments are the caller's. */
    void (*enter)(xlator_t *this_xl, const cs_call_t *call);
    /* The child answered. Returns CS_TAKEN if Rust took the operation again, CS_ANSWER if C must unwind it now and
     * then release the ticket, CS_LOOK if C must put the answer into a stub for look_again. */
    int32_t (*settle)(void *ticket, cs_reply_t *reply);
    /* Corrects the attributes in an answer, resumes it (its function unwinds) and releases the ticket. */
    void (*look_again)(void *ticket, call_stub_t *answer);
    /* The operation was unwound: free the ticket. */
    void (*release)(void *ticket);
    /* A plugin writes to the tracker. May block. Returns 0 and a slot, or an errno. */
    int32_t (*write_begin)(xlator_t *tracker, fd_t *fd, off_t offset, size_t size, void **slot);
    /* That write was answered. Called once for each slot. */
    void (*write_end)(void *slot, int32_t op_ret, int32_t op_errno, struct iatt *prebuf, struct iatt *postbuf);
    /* An operation that was left (cs_shim_leave_call) was answered: 0 or a negative errno. Never blocks. */
    void (*late)(void *ticket, int32_t errnum);
    /* Print the instance's state into the open statedump section. */
    void (*dump)(xlator_t *this_xl);
    /* The host tells of an event (GF_EVENT_*). */
    /* Returns whether the child is not to hear of it yet. */
    int32_t (*notify)(xlator_t *this_xl, int32_t event);
} cs_rs_ops_t;

#define CS_ANSWER 0
#define CS_TAKEN 1
#define CS_LOOK 2

/* Registered before the first operation. */
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

/* Tells the child that its parents go down. */
void
cs_shim_parent_down(xlator_t *this_xl);

int32_t
cs_shim_mem_acct_init(xlator_t *this_xl);

/* Lets `gluster volume set` accept `name` as a store. Returns -1 when the table is full. Not thread-safe: called
 * while glusterd loads us. */
int32_t
cs_shim_allow_store(const char *name);

/* Not 0 in glusterd, which loads us to check options and never runs us. */
int32_t
cs_shim_is_glusterd(void);

/* ---- an operation's arguments ---- */

/* Takes references to, or copies of, everything that `call` names. Returns -1 when there is no memory: then it names
 * nothing. */
int32_t
cs_shim_call_keep(cs_call_t *call);

/* Gives back what cs_shim_call_keep took. */
void
cs_shim_call_wipe(cs_call_t *call);

/* Winds it to the child. The answer may come, and free the call, before this returns. */
void
cs_shim_call_wind(cs_call_t *call);

/* Answers it without asking the child, with nothing but `answer` (NULL, or what a setxattr or getxattr answers). */
void
cs_shim_call_unwind(cs_call_t *call, int32_t op_ret, int32_t op_errno, dict_t *answer);

/* Answers a read with the first `size` bytes of `buffer`. Returns -1 when there is no memory: nothing was answered. */
int32_t
cs_shim_call_answer_read(cs_call_t *call, struct iobuf *buffer, size_t size,
                         int32_t at_end, struct iatt *attributes);

/* Answers a truncation or an open that cs_shim_call_as_caller has done. */
void
cs_shim_call_answer_done(cs_call_t *call, struct iatt *before, struct iatt *after);

/* Makes a removexattr remove `name`. Returns -1 when there is no memory. */
int32_t
cs_shim_call_rename(cs_call_t *call, const char *name);

/* ---- host macros as functions ---- */

int32_t
cs_shim_child_count(xlator_t *this_xl);

/* this->local_pool, for cs_local_t. Returns -1 when there is no memory. */
int32_t
cs_shim_pool_new(xlator_t *this_xl);

xlator_t *
cs_shim_first_child(xlator_t *this_xl);

xlator_t *
cs_shim_this(void);

void
cs_shim_set_this(xlator_t *this_xl);

/* Makes `loc` (all zeros) name the file `gfid`, whose inode may not be linked yet (a lookup's own): by a path if this
 * client knows one, else by its gfid. Returns -1 when there is no memory. loc_wipe it. */
int32_t
cs_shim_loc_fill(loc_t *loc, inode_t *inode, const unsigned char *gfid);

/* A descriptor of our own for `inode`, to be opened by the child. The caller owns the reference. NULL: no memory. */
fd_t *
cs_shim_fd_new(inode_t *inode);

/* The child has opened `fd`. */
void
cs_shim_fd_bind(fd_t *fd);

/* The identity of this thread's syncop calls: root that no brick squashes, and a lock owner unique to `token`. */
void
cs_shim_become(void *token);

/* ---- as the caller: its process, user, groups, lock owner and time. Each blocks; 0 or a negative errno. ---- */

/* Does what `call` asks (truncate, ftruncate, open) on the child, and keeps the call: it is still to be answered, with
 * the attributes that come back. `open` opens the call's descriptor and truncates the file.
 *
 * A brick may have a truncation wait for a mandatory lock. -EINPROGRESS: no answer came in so many seconds; *late is then
 * for cs_shim_leave_call, which must follow. */
int32_t
cs_shim_call_as_caller(cs_call_t *call, uint32_t seconds, struct iatt *before, struct iatt *after, void **late);

/* Waits no longer: `ticket` goes to cs_rs->late with the answer. Returns -EINPROGRESS, or, if the answer has come in
 * between, what it was: then the ticket stays the caller's. */
int32_t
cs_shim_leave_call(void *late, void *ticket, struct iatt *before, struct iatt *after);

/* Sets extended attributes, and moves no times. */
int32_t
cs_shim_set_as_caller(call_frame_t *caller, loc_t *loc, dict_t *dict);

/* Whether the caller may do `mask` (R_OK, W_OK) with the file. Leaves this thread as cs_shim_become made it. */
int32_t
cs_shim_access_as_caller(call_frame_t *caller, xlator_t *child, loc_t *loc, int32_t mask);

/* Asks the bricks whether `loc->path`, a name that this client remembers, is still the file's. 0, or a negative
 * errno; -ESTALE: it is another's, or nobody's. */
int32_t
cs_shim_check_name(xlator_t *child, loc_t *loc);

/* Memory of at least `size` bytes that a write can carry, or NULL. */
struct iobuf *
cs_shim_buffer_new(xlator_t *this, size_t size);
void *
cs_shim_buffer_bytes(struct iobuf *buffer);
void
cs_shim_buffer_free(struct iobuf *buffer);

/* Sends `size` bytes of `buffer`, from `from` on, to the file, as a recall's own write. Not urgent: the bricks do it when
 * they have nothing else to do. 0, or an errno: then nothing was sent. `slot` goes to cs_rs->write_end in either case. */
int32_t
cs_shim_write(xlator_t *this, fd_t *fd, struct iobuf *buffer, size_t from,
              size_t size, off_t offset, int32_t urgent, void *slot);

/* Sets `key` to a copy of so many bytes. Returns -1 when there is no memory. */
int32_t
cs_shim_dict_set(dict_t *dict, const char *key, const char *bytes, size_t length);

/* Takes `key` out. (An inline function of the host's since GlusterFS 11.) */
void
cs_shim_dict_remove(dict_t *dict, const char *key);

/* Sets `key` to a copy of attributes. Returns -1 when there is no memory. */
int32_t
cs_shim_dict_set_iatt(dict_t *dict, const char *key, const struct iatt *iatt);

/* The entry after `entry` (NULL: the first), or NULL at the end. */
gf_dirent_t *
cs_shim_next_entry(gf_dirent_t *entries, gf_dirent_t *entry);

/* What cs_shim_lock does: takes the lock if nobody has it, gives it back. */
#define CS_TRY_LOCK 0
#define CS_UNLOCK 1

/* Takes or releases the write lock on the whole file in `domain`. Blocks until the bricks answer, and they answer at
 * once. 0 or a negative errno; -EAGAIN: somebody has it. */
int32_t
cs_shim_lock(xlator_t *child, const char *domain, loc_t *loc, uint32_t how);

/* Copies up to `size` bytes of the file at `offset` to `bytes`, whatever the file's state. Blocks. How many, or a
 * negative errno. */
int32_t
cs_shim_read(xlator_t *child, fd_t *fd, void *bytes, uint32_t size, off_t offset);

/* Writes no bytes, at the file's beginning, with `xdata`. Blocks. 0 or a negative errno. */
int32_t
cs_shim_write_nothing(xlator_t *child, fd_t *fd, dict_t *xdata);

/* Statedump: one line `key=value`. */
void
cs_shim_dump(const char *key, const char *value);

/*
 * The translators that a plugin sees. Its frame's `this` is `proxy`: the real translator's name, options and
 * memory accounting, with `priv` as its private and `tracker` as its only child. The tracker's writev counts and
 * bounds the plugin's writes and winds them to the real child; its other operations go straight there.
 */
typedef struct cs_proxy {
    xlator_t proxy;
    xlator_t tracker;
    xlator_list_t proxy_child;   /* the tracker */
    xlator_list_t tracker_child; /* the real child */
    volume_opt_list_t options;   /* the proxy's option table */
    cs_private_t priv;
    struct cs_remote_stores store;
} cs_proxy_t;

/* Returns NULL when there is no memory. The proxy borrows from `this_xl`, which must outlive it. */
cs_proxy_t *
cs_shim_proxy_new(xlator_t *this_xl);

void
cs_shim_proxy_free(cs_proxy_t *proxy);

/*
 * Runs a plugin's download on this thread: makes its frame and cs_local_t (fd and inode are referenced, the
 * strings are borrowed until it returns), calls it, takes the frame apart. The caller must have waited for every write before `after` returns:
 * it is called between the plugin's return and the frame's end. Returns what the plugin returned; *op_errno is
 * what it left in local->op_errno. -1 with ENOMEM if there is no memory.
 */
int32_t
cs_shim_download(cs_proxy_t *proxy, fd_t *fd, inode_t *inode, const char *key, const char *version,
                 const struct iatt *attributes, int32_t *cancelled, void (*after)(void *), void *after_arg, int32_t *op_errno);

#endif /* CLOUDSYNC_SHIM_H */
