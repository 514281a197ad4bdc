/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * The guarded operations. Each consists of four functions:
 *
 *   cs_X         entry point of the host: passes the arguments to Rust (cs_rs->enter), which keeps them (call.c), or says
 *                that the child gets the operation as it is, and its caller the answer
 *   cs_X_wind    winds to the child with the kept arguments; may be called several times
 *   cs_X_unwind  answers without winding to the child
 *   cs_X_cbk     callback: Rust examines the answer (cs_rs->settle), then it is unwound or the operation is parked again
 *
 * frame->local holds Rust's ticket while the operation is wound, and is NULL at any other time, because the host would
 * pass it to mem_put. Operations that are not defined here pass through by the host's defaults.
 *
 * (The host's call stub is not used for this: it has room for the arguments and the answer of any operation, six
 * thousand bytes, and clearing them takes a third of the time of a small read.)
 */
#include "shim.h"

#define CS_UNPACK(list...) list

/* Arguments for cs_call_t. */
#define CS_LOC(where) .loc = *(where), .locs = 1
#define CS_LOCS(where, where2) .loc = *(where), .loc2 = *(where2), .locs = 2

/*
 * Defines all but cs_X_cbk. `params`: the operation's parameter list. `blank`: the callback's arguments after op_ret and
 * op_errno if the operation was not wound (`answer` is a dictionary or NULL). `kept`: initialisers of cs_call_t.
 * The rest: the arguments to wind with.
 *
 * STACK_WIND does not report that it could not allocate a frame and so did not wind. It evaluates its arguments only if
 * it winds, which sets `wound`.
 */
#define CS_FOP(op, number, params, blank, kept, first, rest...)            \
    static void cs_##op##_wind(cs_call_t *call)                            \
    {                                                                      \
        call_frame_t *frame = call->frame;                                 \
        xlator_t *this = frame->this;                                      \
        dict_t *answer __attribute__((unused)) = NULL;                     \
        gf_boolean_t wound = _gf_false;                                    \
                                                                           \
        STACK_WIND(frame, cs_##op##_cbk, FIRST_CHILD(this),                \
                   FIRST_CHILD(this)->fops->op, (wound = _gf_true, first), \
                   rest);                                                  \
        if (!wound)                                                        \
            cs_##op##_cbk(frame, NULL, this, -1, ENOMEM, CS_UNPACK blank); \
    }                                                                      \
                                                                           \
    static void cs_##op##_unwind(cs_call_t *call, int32_t op_ret,          \
                                 int32_t op_errno, dict_t *answer)         \
    {                                                                      \
        call_frame_t *frame = call->frame;                                 \
                                                                           \
        STACK_UNWIND_STRICT(op, frame, op_ret, op_errno, CS_UNPACK blank); \
    }                                                                      \
                                                                           \
    static int32_t cs_##op params                                          \
    {                                                                      \
        cs_call_t given = {.fop = number,                                  \
                           .frame = frame,                                 \
                           .wind = cs_##op##_wind,                         \
                           .unwind = cs_##op##_unwind,                     \
                           .xdata = xdata,                                 \
                           CS_UNPACK kept};                                \
        cs_call_t *call = &given;                                          \
                                                                           \
        if (cs_rs->enter(this, call) == CS_PASS)                           \
            STACK_WIND_TAIL(frame, FIRST_CHILD(this),                      \
                            FIRST_CHILD(this)->fops->op, first, rest);     \
        return 0;                                                          \
    }

/* Declares the reply in a callback. */
#define CS_REPLY(members...)                  \
    cs_reply_t reply = {.op_ret = op_ret,     \
                        .op_errno = op_errno, \
                        .xdata = xdata,       \
                        members}

/* Passes `reply` to Rust and unwinds, unless Rust has taken the operation back. */
#define CS_SETTLE(fop, args...)                                              \
    do {                                                                     \
        void *ticket = frame->local;                                         \
                                                                             \
        frame->local = NULL;                                                 \
        if (ticket && cs_rs->settle(ticket, &reply) == CS_TAKEN)             \
            break;                                                           \
        STACK_UNWIND_STRICT(fop, frame, reply.op_ret, reply.op_errno, args); \
        if (ticket)                                                          \
            cs_rs->release(ticket);                                          \
    } while (0)

/* As CS_SETTLE, for an operation whose answer may show a stub's attributes: the answer then waits as `stub` until Rust
 * has checked the file. (The host exports stub constructors for few answers; one with the same arguments is used.) */
#define CS_SETTLE_OR_RECHECK(fop, stub, args...)                             \
    do {                                                                     \
        void *ticket = frame->local;                                         \
        int32_t verdict = CS_ANSWER;                                         \
        call_stub_t *answer = NULL;                                          \
                                                                             \
        frame->local = NULL;                                                 \
        if (ticket)                                                          \
            verdict = cs_rs->settle(ticket, &reply);                         \
        if (verdict == CS_TAKEN)                                             \
            break;                                                           \
        if (verdict == CS_RECHECK)                                           \
            answer = stub;                                                   \
        if (answer) {                                                        \
            cs_rs->recheck(ticket, answer);                                  \
            break;                                                           \
        }                                                                    \
        STACK_UNWIND_STRICT(fop, frame, reply.op_ret, reply.op_errno, args); \
        if (ticket)                                                          \
            cs_rs->release(ticket);                                          \
    } while (0)

/* Defines the callback of an operation whose answer has the attributes before and after it. */
#define CS_PREPOST_CBK(fop)                                              \
    static int32_t cs_##fop##_cbk(call_frame_t *frame, void *cookie,     \
                                  xlator_t *this, int32_t op_ret,        \
                                  int32_t op_errno, struct iatt *prebuf, \
                                  struct iatt *postbuf, dict_t *xdata)   \
    {                                                                    \
        CS_REPLY(.buf = postbuf, .prebuf = prebuf);                      \
        CS_SETTLE(fop, prebuf, postbuf, xdata);                          \
        return 0;                                                        \
    }

/* As CS_PREPOST_CBK, for attributes that may be the stub's. */
#define CS_PREPOST_OR_RECHECK_CBK(fop)                                           \
    static int32_t cs_##fop##_again(call_frame_t *frame, void *cookie,           \
                                    xlator_t *this, int32_t op_ret,              \
                                    int32_t op_errno, struct iatt *prebuf,       \
                                    struct iatt *postbuf, dict_t *xdata)         \
    {                                                                            \
        STACK_UNWIND_STRICT(fop, frame, op_ret, op_errno, prebuf, postbuf,       \
                            xdata);                                              \
        return 0;                                                                \
    }                                                                            \
                                                                                 \
    static int32_t cs_##fop##_cbk(call_frame_t *frame, void *cookie,             \
                                  xlator_t *this, int32_t op_ret,                \
                                  int32_t op_errno, struct iatt *prebuf,         \
                                  struct iatt *postbuf, dict_t *xdata)           \
    {                                                                            \
        CS_REPLY(.buf = postbuf, .prebuf = prebuf);                              \
        CS_SETTLE_OR_RECHECK(fop,                                                \
                             fop_fsync_cbk_stub(frame, cs_##fop##_again, op_ret, \
                                                op_errno, prebuf, postbuf,       \
                                                xdata),                          \
                             prebuf, postbuf, xdata);                            \
        return 0;                                                                \
    }

/* ---- the file's bytes ---- */

static int32_t
cs_readv_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
             int32_t op_errno, struct iovec *vector, int32_t count,
             struct iatt *stbuf, struct iobref *iobref, dict_t *xdata)
{
    CS_REPLY(.buf = stbuf);
    CS_SETTLE(readv, vector, count, stbuf, iobref, xdata);
    return 0;
}

CS_FOP(readv, GF_FOP_READ,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, size_t size,
        off_t offset, uint32_t flags, dict_t *xdata),
       (NULL, 0, NULL, NULL, NULL),
       (.fd = fd, .size = size, .offset = offset, .flags = (int32_t)flags),
       call->fd, call->size, call->offset,
       (uint32_t)call->flags, call->xdata)

CS_PREPOST_CBK(writev)
CS_FOP(writev, GF_FOP_WRITE,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, struct iovec *vector,
        int32_t count, off_t offset, uint32_t flags, struct iobref *iobref,
        dict_t *xdata),
       (NULL, NULL, NULL),
       (.fd = fd, .vector = vector, .count = count, .offset = offset,
        .flags = (int32_t)flags, .iobref = iobref),
       call->fd, call->vector, call->count, call->offset, (uint32_t)call->flags,
       call->iobref, call->xdata)

CS_PREPOST_CBK(truncate)
CS_FOP(truncate, GF_FOP_TRUNCATE,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, off_t offset,
        dict_t *xdata),
       (NULL, NULL, NULL),
       (CS_LOC(loc), .offset = offset),
       &call->loc, call->offset, call->xdata)

CS_PREPOST_CBK(ftruncate)
CS_FOP(ftruncate, GF_FOP_FTRUNCATE,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset,
        dict_t *xdata),
       (NULL, NULL, NULL),
       (.fd = fd, .offset = offset),
       call->fd, call->offset, call->xdata)

CS_PREPOST_CBK(fallocate)
CS_FOP(fallocate, GF_FOP_FALLOCATE,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, int32_t mode,
        off_t offset, size_t len, dict_t *xdata),
       (NULL, NULL, NULL),
       (.fd = fd, .mode = mode, .offset = offset, .size = len),
       call->fd, call->mode, call->offset,
       call->size, call->xdata)

CS_PREPOST_CBK(discard)
CS_FOP(discard, GF_FOP_DISCARD,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset,
        size_t len, dict_t *xdata),
       (NULL, NULL, NULL),
       (.fd = fd, .offset = offset, .size = len),
       call->fd, call->offset, call->size, call->xdata)

CS_PREPOST_CBK(zerofill)
CS_FOP(zerofill, GF_FOP_ZEROFILL,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset, off_t len,
        dict_t *xdata),
       (NULL, NULL, NULL),
       (.fd = fd, .offset = offset, .size = (size_t)len),
       call->fd, call->offset, (off_t)call->size,
       call->xdata)

static int32_t
cs_seek_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
            int32_t op_errno, off_t offset, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(seek, offset, xdata);
    return 0;
}

CS_FOP(seek, GF_FOP_SEEK,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset,
        gf_seek_what_t what, dict_t *xdata),
       (0, NULL),
       (.fd = fd, .offset = offset, .mode = (int32_t)what),
       call->fd, call->offset,
       (gf_seek_what_t)call->mode, call->xdata)

static int32_t
cs_rchecksum_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                 int32_t op_ret, int32_t op_errno, uint32_t weak_checksum,
                 uint8_t *strong_checksum, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(rchecksum, weak_checksum, strong_checksum, xdata);
    return 0;
}

CS_FOP(rchecksum, GF_FOP_RCHECKSUM,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset,
        int32_t len, dict_t *xdata),
       (0, NULL, NULL),
       (.fd = fd, .offset = offset, .count = len),
       call->fd, call->offset, call->count, call->xdata)

static int32_t
cs_copy_file_range_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                       int32_t op_ret, int32_t op_errno, struct iatt *stbuf,
                       struct iatt *prebuf_dst, struct iatt *postbuf_dst,
                       dict_t *xdata)
{
    CS_REPLY(.buf = stbuf);
    CS_SETTLE(copy_file_range, stbuf, prebuf_dst, postbuf_dst, xdata);
    return 0;
}

CS_FOP(copy_file_range, GF_FOP_COPY_FILE_RANGE,
       (call_frame_t * frame, xlator_t *this, fd_t *fd_in, off64_t off_in,
        fd_t *fd_out, off64_t off_out, size_t len, uint32_t flags,
        dict_t *xdata),
       (NULL, NULL, NULL, NULL),
       (.fd = fd_in, .offset = off_in, .fd2 = fd_out, .offset2 = off_out,
        .size = len, .flags = (int32_t)flags),
       call->fd, call->offset, call->fd2, call->offset2, call->size,
       (uint32_t)call->flags, call->xdata)

static int32_t
cs_open_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
            int32_t op_errno, fd_t *fd, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(open, fd, xdata);
    return 0;
}

CS_FOP(open, GF_FOP_OPEN,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, int32_t flags,
        fd_t *fd, dict_t *xdata),
       (NULL, NULL),
       (CS_LOC(loc), .flags = flags, .fd = fd),
       &call->loc, call->flags, call->fd, call->xdata)

/* The stub of a rename's answer has no descriptor, so that is kept in frame->local. */
static int32_t
cs_create_again(call_frame_t *frame, void *cookie, xlator_t *this,
                int32_t op_ret, int32_t op_errno, struct iatt *buf,
                struct iatt *preparent, struct iatt *postparent,
                struct iatt *unused, struct iatt *unused2, dict_t *xdata)
{
    fd_t *fd = frame->local;

    frame->local = NULL;
    STACK_UNWIND_STRICT(create, frame, op_ret, op_errno, fd,
                        fd ? fd->inode : NULL, buf, preparent, postparent,
                        xdata);
    if (fd)
        fd_unref(fd);
    return 0;
}

static call_stub_t *
cs_create_answer(call_frame_t *frame, int32_t op_ret, int32_t op_errno,
                 fd_t *fd, struct iatt *buf, struct iatt *preparent,
                 struct iatt *postparent, dict_t *xdata)
{
    call_stub_t *stub = fop_rename_cbk_stub(frame, cs_create_again, op_ret,
                                            op_errno, buf, preparent,
                                            postparent, NULL, NULL, xdata);

    if (stub && fd)
        frame->local = fd_ref(fd);
    return stub;
}

static int32_t
cs_create_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
              int32_t op_errno, fd_t *fd, inode_t *inode, struct iatt *buf,
              struct iatt *preparent, struct iatt *postparent, dict_t *xdata)
{
    CS_REPLY(.buf = buf);
    CS_SETTLE_OR_RECHECK(create,
                         cs_create_answer(frame, op_ret, op_errno, fd, buf, preparent, postparent, xdata),
                         fd, inode, buf, preparent, postparent, xdata);
    return 0;
}

CS_FOP(create, GF_FOP_CREATE,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, int32_t flags,
        mode_t mode, mode_t umask, fd_t *fd, dict_t *xdata),
       (NULL, NULL, NULL, NULL, NULL, NULL),
       (CS_LOC(loc), .flags = flags, .mode = (int32_t)mode, .mask = umask, .fd = fd),
       &call->loc, call->flags, (mode_t)call->mode, call->mask, call->fd,
       call->xdata)

/* ---- the file's attributes and names ---- */

static int32_t
cs_lookup_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
              int32_t op_errno, inode_t *inode, struct iatt *buf, dict_t *xdata,
              struct iatt *postparent)
{
    CS_REPLY(.buf = buf);
    CS_SETTLE(lookup, inode, buf, xdata, postparent);
    return 0;
}

CS_FOP(lookup, GF_FOP_LOOKUP,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, dict_t *xdata),
       (NULL, NULL, NULL, NULL),
       (CS_LOC(loc)),
       &call->loc, call->xdata)

static int32_t
cs_stat_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
            int32_t op_errno, struct iatt *buf, dict_t *xdata)
{
    CS_REPLY(.buf = buf);
    CS_SETTLE(stat, buf, xdata);
    return 0;
}

CS_FOP(stat, GF_FOP_STAT,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, dict_t *xdata),
       (NULL, NULL),
       (CS_LOC(loc)),
       &call->loc, call->xdata)

static int32_t
cs_fstat_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
             int32_t op_errno, struct iatt *buf, dict_t *xdata)
{
    CS_REPLY(.buf = buf);
    CS_SETTLE(fstat, buf, xdata);
    return 0;
}

CS_FOP(fstat, GF_FOP_FSTAT,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, dict_t *xdata),
       (NULL, NULL),
       (.fd = fd),
       call->fd, call->xdata)

static int32_t
cs_readdirp_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                int32_t op_ret, int32_t op_errno, gf_dirent_t *entries,
                dict_t *xdata)
{
    CS_REPLY(.entries = entries);
    CS_SETTLE(readdirp, entries, xdata);
    return 0;
}

CS_FOP(readdirp, GF_FOP_READDIRP,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, size_t size,
        off_t offset, dict_t *xdata),
       (NULL, NULL),
       (.fd = fd, .size = size, .offset = offset),
       call->fd, call->size, call->offset, call->xdata)

CS_PREPOST_OR_RECHECK_CBK(setattr)
CS_FOP(setattr, GF_FOP_SETATTR,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, struct iatt *stbuf,
        int32_t valid, dict_t *xdata),
       (NULL, NULL, NULL),
       (CS_LOC(loc), .stbuf = *stbuf, .flags = valid),
       &call->loc, &call->stbuf, call->flags, call->xdata)

CS_PREPOST_OR_RECHECK_CBK(fsetattr)
CS_FOP(fsetattr, GF_FOP_FSETATTR,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, struct iatt *stbuf,
        int32_t valid, dict_t *xdata),
       (NULL, NULL, NULL),
       (.fd = fd, .stbuf = *stbuf, .flags = valid),
       call->fd, &call->stbuf, call->flags, call->xdata)

CS_PREPOST_OR_RECHECK_CBK(fsync)
CS_FOP(fsync, GF_FOP_FSYNC,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, int32_t datasync,
        dict_t *xdata),
       (NULL, NULL, NULL),
       (.fd = fd, .flags = datasync),
       call->fd, call->flags, call->xdata)

static int32_t
cs_rename_again(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
                int32_t op_errno, struct iatt *buf, struct iatt *preoldparent,
                struct iatt *postoldparent, struct iatt *prenewparent,
                struct iatt *postnewparent, dict_t *xdata)
{
    STACK_UNWIND_STRICT(rename, frame, op_ret, op_errno, buf, preoldparent,
                        postoldparent, prenewparent, postnewparent, xdata);
    return 0;
}

static int32_t
cs_rename_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
              int32_t op_errno, struct iatt *buf, struct iatt *preoldparent,
              struct iatt *postoldparent, struct iatt *prenewparent,
              struct iatt *postnewparent, dict_t *xdata)
{
    CS_REPLY(.buf = buf);
    CS_SETTLE_OR_RECHECK(rename,
                         fop_rename_cbk_stub(frame, cs_rename_again, op_ret, op_errno, buf, preoldparent,
                                             postoldparent, prenewparent, postnewparent, xdata),
                         buf, preoldparent, postoldparent, prenewparent,
                         postnewparent, xdata);
    return 0;
}

CS_FOP(rename, GF_FOP_RENAME,
       (call_frame_t * frame, xlator_t *this, loc_t *oldloc, loc_t *newloc,
        dict_t *xdata),
       (NULL, NULL, NULL, NULL, NULL, NULL),
       (CS_LOCS(oldloc, newloc)),
       &call->loc, &call->loc2, call->xdata)

/* The stub of a rename's answer has no inode, so that is kept in frame->local. */
static int32_t
cs_link_again(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
              int32_t op_errno, struct iatt *buf, struct iatt *preparent,
              struct iatt *postparent, struct iatt *unused, struct iatt *unused2,
              dict_t *xdata)
{
    inode_t *inode = frame->local;

    frame->local = NULL;
    STACK_UNWIND_STRICT(link, frame, op_ret, op_errno, inode, buf, preparent,
                        postparent, xdata);
    if (inode)
        inode_unref(inode);
    return 0;
}

static call_stub_t *
cs_link_answer(call_frame_t *frame, int32_t op_ret, int32_t op_errno,
               inode_t *inode, struct iatt *buf, struct iatt *preparent,
               struct iatt *postparent, dict_t *xdata)
{
    call_stub_t *stub = fop_rename_cbk_stub(frame, cs_link_again, op_ret,
                                            op_errno, buf, preparent,
                                            postparent, NULL, NULL, xdata);

    if (stub && inode)
        frame->local = inode_ref(inode);
    return stub;
}

static int32_t
cs_link_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
            int32_t op_errno, inode_t *inode, struct iatt *buf,
            struct iatt *preparent, struct iatt *postparent, dict_t *xdata)
{
    CS_REPLY(.buf = buf);
    CS_SETTLE_OR_RECHECK(link,
                         cs_link_answer(frame, op_ret, op_errno, inode, buf, preparent, postparent, xdata),
                         inode, buf, preparent, postparent, xdata);
    return 0;
}

CS_FOP(link, GF_FOP_LINK,
       (call_frame_t * frame, xlator_t *this, loc_t *oldloc, loc_t *newloc,
        dict_t *xdata),
       (NULL, NULL, NULL, NULL, NULL),
       (CS_LOCS(oldloc, newloc)),
       &call->loc, &call->loc2, call->xdata)

static int32_t
cs_setxattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                int32_t op_ret, int32_t op_errno, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(setxattr, xdata);
    return 0;
}

CS_FOP(setxattr, GF_FOP_SETXATTR,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, dict_t *dict,
        int32_t flags, dict_t *xdata),
       (answer),
       (CS_LOC(loc), .xattr = dict, .flags = flags),
       &call->loc, call->xattr, call->flags, call->xdata)

static int32_t
cs_fsetxattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                 int32_t op_ret, int32_t op_errno, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(fsetxattr, xdata);
    return 0;
}

CS_FOP(fsetxattr, GF_FOP_FSETXATTR,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, dict_t *dict,
        int32_t flags, dict_t *xdata),
       (answer),
       (.fd = fd, .xattr = dict, .flags = flags),
       call->fd, call->xattr, call->flags, call->xdata)

static int32_t
cs_removexattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                   int32_t op_ret, int32_t op_errno, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(removexattr, xdata);
    return 0;
}

CS_FOP(removexattr, GF_FOP_REMOVEXATTR,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, const char *name,
        dict_t *xdata),
       (NULL),
       (CS_LOC(loc), .name = name),
       &call->loc, call->name, call->xdata)

static int32_t
cs_fremovexattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                    int32_t op_ret, int32_t op_errno, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(fremovexattr, xdata);
    return 0;
}

CS_FOP(fremovexattr, GF_FOP_FREMOVEXATTR,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, const char *name,
        dict_t *xdata),
       (NULL),
       (.fd = fd, .name = name),
       call->fd, call->name, call->xdata)

static int32_t
cs_getxattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                int32_t op_ret, int32_t op_errno, dict_t *dict, dict_t *xdata)
{
    CS_REPLY(.xattrs = dict);
    CS_SETTLE(getxattr, dict, xdata);
    return 0;
}

CS_FOP(getxattr, GF_FOP_GETXATTR,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, const char *name,
        dict_t *xdata),
       (answer, NULL),
       (CS_LOC(loc), .name = name),
       &call->loc, call->name, call->xdata)

static int32_t
cs_fgetxattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                 int32_t op_ret, int32_t op_errno, dict_t *dict, dict_t *xdata)
{
    CS_REPLY(.xattrs = dict);
    CS_SETTLE(fgetxattr, dict, xdata);
    return 0;
}

CS_FOP(fgetxattr, GF_FOP_FGETXATTR,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, const char *name,
        dict_t *xdata),
       (answer, NULL),
       (.fd = fd, .name = name),
       call->fd, call->name, call->xdata)

struct xlator_fops cs_fops = {
    .readv = cs_readv,
    .writev = cs_writev,
    .truncate = cs_truncate,
    .ftruncate = cs_ftruncate,
    .fallocate = cs_fallocate,
    .discard = cs_discard,
    .zerofill = cs_zerofill,
    .seek = cs_seek,
    .rchecksum = cs_rchecksum,
    .copy_file_range = cs_copy_file_range,
    .open = cs_open,
    .create = cs_create,
    .lookup = cs_lookup,
    .stat = cs_stat,
    .fstat = cs_fstat,
    .readdirp = cs_readdirp,
    .setattr = cs_setattr,
    .fsetattr = cs_fsetattr,
    .fsync = cs_fsync,
    .rename = cs_rename,
    .link = cs_link,
    .setxattr = cs_setxattr,
    .fsetxattr = cs_fsetxattr,
    .removexattr = cs_removexattr,
    .fremovexattr = cs_fremovexattr,
    .getxattr = cs_getxattr,
    .fgetxattr = cs_fgetxattr,
};
