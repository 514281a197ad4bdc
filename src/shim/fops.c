/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * The guarded operations. One pattern for every one of them:
 *
 *   cs_X       the host's entry: puts the arguments into a call stub and hands it to Rust (cs_rs->enter)
 *   cs_X_wind  the stub's function: winds to the child; Rust calls it through call_resume_keep_stub, as often as
 *              it must
 *   cs_X_cbk   the child's answer: Rust looks at it (cs_rs->settle), then it goes up or the stub is parked again
 *
 * frame->local holds Rust's ticket while the operation is below us, and nothing at any other time: the host would
 * give it to mem_put. Operations that are not here pass through by the host's defaults.
 */
#include "shim.h"

#define CS_UNPACK(list...) list

/*
 * Defines cs_<fop> and cs_<fop>_wind. `params` is the operation's parameter list, `blank` what its callback gets
 * beyond op_ret and op_errno when there is no memory, the rest are the arguments.
 *
 * STACK_WIND says nothing when it cannot allocate a frame and does not wind. Its arguments are evaluated only when
 * it does: that is how `wound` tells.
 */
#define CS_FOP(fop, params, blank, first, rest...)                          \
    static int32_t cs_##fop##_wind params                                   \
    {                                                                       \
        gf_boolean_t wound = _gf_false;                                     \
                                                                            \
        STACK_WIND(frame, cs_##fop##_cbk, FIRST_CHILD(this),                \
                   FIRST_CHILD(this)->fops->fop, (wound = _gf_true, first), \
                   rest);                                                   \
        if (!wound)                                                         \
            cs_##fop##_cbk(frame, NULL, this, -1, ENOMEM, CS_UNPACK blank); \
        return 0;                                                           \
    }                                                                       \
                                                                            \
    static int32_t cs_##fop params                                          \
    {                                                                       \
        call_stub_t *stub = fop_##fop##_stub(frame, cs_##fop##_wind, first, \
                                             rest);                         \
                                                                            \
        if (stub)                                                           \
            cs_rs->enter(this, stub);                                       \
        else                                                                \
            cs_##fop##_cbk(frame, NULL, this, -1, ENOMEM, CS_UNPACK blank); \
        return 0;                                                           \
    }

/* The reply of the callback that this stands in. */
#define CS_REPLY(members...)                  \
    cs_reply_t reply = {.op_ret = op_ret,     \
                        .op_errno = op_errno, \
                        .xdata = xdata,       \
                        members}

/* Shows `reply` to Rust and unwinds, unless Rust took the operation again. */
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

/* The same for an operation whose answer may show a stub's attributes: it waits then, as `stub`, until Rust has looked
 * at the file. (The host exports few of its answers' stubs: one of the same shape does.) */
#define CS_SETTLE_OR_LOOK(fop, stub, args...)                                \
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
        if (verdict == CS_LOOK)                                              \
            answer = stub;                                                   \
        if (answer) {                                                        \
            cs_rs->look_again(ticket, answer);                               \
            break;                                                           \
        }                                                                    \
        STACK_UNWIND_STRICT(fop, frame, reply.op_ret, reply.op_errno, args); \
        if (ticket)                                                          \
            cs_rs->release(ticket);                                          \
    } while (0)

/* Defines the callback of an operation that answers with the attributes before and after it. */
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

/* The same, where the attributes may be the stub's. */
#define CS_PREPOST_OR_LOOK_CBK(fop)                                           \
    static int32_t cs_##fop##_again(call_frame_t *frame, void *cookie,        \
                                    xlator_t *this, int32_t op_ret,           \
                                    int32_t op_errno, struct iatt *prebuf,    \
                                    struct iatt *postbuf, dict_t *xdata)      \
    {                                                                         \
        STACK_UNWIND_STRICT(fop, frame, op_ret, op_errno, prebuf, postbuf,    \
                            xdata);                                           \
        return 0;                                                             \
    }                                                                         \
                                                                              \
    static int32_t cs_##fop##_cbk(call_frame_t *frame, void *cookie,          \
                                  xlator_t *this, int32_t op_ret,             \
                                  int32_t op_errno, struct iatt *prebuf,      \
                                  struct iatt *postbuf, dict_t *xdata)        \
    {                                                                         \
        CS_REPLY(.buf = postbuf, .prebuf = prebuf);                           \
        CS_SETTLE_OR_LOOK(fop,                                                \
                          fop_fsync_cbk_stub(frame, cs_##fop##_again, op_ret, \
                                             op_errno, prebuf, postbuf,       \
                                             xdata),                          \
                          prebuf, postbuf, xdata);                            \
        return 0;                                                             \
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

CS_FOP(readv,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, size_t size,
        off_t offset, uint32_t flags, dict_t *xdata),
       (NULL, 0, NULL, NULL, NULL), fd, size, offset, flags, xdata)

CS_PREPOST_CBK(writev)
CS_FOP(writev,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, struct iovec *vector,
        int32_t count, off_t offset, uint32_t flags, struct iobref *iobref,
        dict_t *xdata),
       (NULL, NULL, NULL), fd, vector, count, offset, flags, iobref, xdata)

CS_PREPOST_CBK(truncate)
CS_FOP(truncate,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, off_t offset,
        dict_t *xdata),
       (NULL, NULL, NULL), loc, offset, xdata)

CS_PREPOST_CBK(ftruncate)
CS_FOP(ftruncate,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset,
        dict_t *xdata),
       (NULL, NULL, NULL), fd, offset, xdata)

CS_PREPOST_CBK(fallocate)
CS_FOP(fallocate,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, int32_t mode,
        off_t offset, size_t len, dict_t *xdata),
       (NULL, NULL, NULL), fd, mode, offset, len, xdata)

CS_PREPOST_CBK(discard)
CS_FOP(discard,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset,
        size_t len, dict_t *xdata),
       (NULL, NULL, NULL), fd, offset, len, xdata)

CS_PREPOST_CBK(zerofill)
CS_FOP(zerofill,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset, off_t len,
        dict_t *xdata),
       (NULL, NULL, NULL), fd, offset, len, xdata)

static int32_t
cs_seek_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
            int32_t op_errno, off_t offset, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(seek, offset, xdata);
    return 0;
}

CS_FOP(seek,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset,
        gf_seek_what_t what, dict_t *xdata),
       (0, NULL), fd, offset, what, xdata)

static int32_t
cs_rchecksum_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                 int32_t op_ret, int32_t op_errno, uint32_t weak_checksum,
                 uint8_t *strong_checksum, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(rchecksum, weak_checksum, strong_checksum, xdata);
    return 0;
}

CS_FOP(rchecksum,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, off_t offset,
        int32_t len, dict_t *xdata),
       (0, NULL, NULL), fd, offset, len, xdata)

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

CS_FOP(copy_file_range,
       (call_frame_t * frame, xlator_t *this, fd_t *fd_in, off64_t off_in,
        fd_t *fd_out, off64_t off_out, size_t len, uint32_t flags,
        dict_t *xdata),
       (NULL, NULL, NULL, NULL), fd_in, off_in, fd_out, off_out, len, flags,
       xdata)

static int32_t
cs_open_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
            int32_t op_errno, fd_t *fd, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(open, fd, xdata);
    return 0;
}

CS_FOP(open,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, int32_t flags,
        fd_t *fd, dict_t *xdata),
       (NULL, NULL), loc, flags, fd, xdata)

/* In a rename's shape, which lacks the descriptor: that waits in frame->local. */
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
    CS_SETTLE_OR_LOOK(create,
                      cs_create_answer(frame, op_ret, op_errno, fd, buf, preparent, postparent, xdata),
                      fd, inode, buf, preparent, postparent, xdata);
    return 0;
}

CS_FOP(create,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, int32_t flags,
        mode_t mode, mode_t umask, fd_t *fd, dict_t *xdata),
       (NULL, NULL, NULL, NULL, NULL, NULL), loc, flags, mode, umask, fd, xdata)

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

CS_FOP(lookup,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, dict_t *xdata),
       (NULL, NULL, NULL, NULL), loc, xdata)

static int32_t
cs_stat_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
            int32_t op_errno, struct iatt *buf, dict_t *xdata)
{
    CS_REPLY(.buf = buf);
    CS_SETTLE(stat, buf, xdata);
    return 0;
}

CS_FOP(stat, (call_frame_t * frame, xlator_t *this, loc_t *loc, dict_t *xdata),
       (NULL, NULL), loc, xdata)

static int32_t
cs_fstat_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret,
             int32_t op_errno, struct iatt *buf, dict_t *xdata)
{
    CS_REPLY(.buf = buf);
    CS_SETTLE(fstat, buf, xdata);
    return 0;
}

CS_FOP(fstat, (call_frame_t * frame, xlator_t *this, fd_t *fd, dict_t *xdata),
       (NULL, NULL), fd, xdata)

static int32_t
cs_readdirp_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                int32_t op_ret, int32_t op_errno, gf_dirent_t *entries,
                dict_t *xdata)
{
    CS_REPLY(.entries = entries);
    CS_SETTLE(readdirp, entries, xdata);
    return 0;
}

CS_FOP(readdirp,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, size_t size,
        off_t offset, dict_t *xdata),
       (NULL, NULL), fd, size, offset, xdata)

CS_PREPOST_OR_LOOK_CBK(setattr)
CS_FOP(setattr,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, struct iatt *stbuf,
        int32_t valid, dict_t *xdata),
       (NULL, NULL, NULL), loc, stbuf, valid, xdata)

CS_PREPOST_OR_LOOK_CBK(fsetattr)
CS_FOP(fsetattr,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, struct iatt *stbuf,
        int32_t valid, dict_t *xdata),
       (NULL, NULL, NULL), fd, stbuf, valid, xdata)

CS_PREPOST_OR_LOOK_CBK(fsync)
CS_FOP(fsync,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, int32_t datasync,
        dict_t *xdata),
       (NULL, NULL, NULL), fd, datasync, xdata)

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
    CS_SETTLE_OR_LOOK(rename,
                      fop_rename_cbk_stub(frame, cs_rename_again, op_ret, op_errno, buf, preoldparent,
                                          postoldparent, prenewparent, postnewparent, xdata),
                      buf, preoldparent, postoldparent, prenewparent,
                      postnewparent, xdata);
    return 0;
}

CS_FOP(rename,
       (call_frame_t * frame, xlator_t *this, loc_t *oldloc, loc_t *newloc,
        dict_t *xdata),
       (NULL, NULL, NULL, NULL, NULL, NULL), oldloc, newloc, xdata)

/* In a rename's shape, which lacks the inode: that waits in frame->local. */
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
    CS_SETTLE_OR_LOOK(link,
                      cs_link_answer(frame, op_ret, op_errno, inode, buf, preparent, postparent, xdata),
                      inode, buf, preparent, postparent, xdata);
    return 0;
}

CS_FOP(link,
       (call_frame_t * frame, xlator_t *this, loc_t *oldloc, loc_t *newloc,
        dict_t *xdata),
       (NULL, NULL, NULL, NULL, NULL), oldloc, newloc, xdata)

static int32_t
cs_setxattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                int32_t op_ret, int32_t op_errno, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(setxattr, xdata);
    return 0;
}

CS_FOP(setxattr,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, dict_t *dict,
        int32_t flags, dict_t *xdata),
       (NULL), loc, dict, flags, xdata)

static int32_t
cs_fsetxattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                 int32_t op_ret, int32_t op_errno, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(fsetxattr, xdata);
    return 0;
}

CS_FOP(fsetxattr,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, dict_t *dict,
        int32_t flags, dict_t *xdata),
       (NULL), fd, dict, flags, xdata)

static int32_t
cs_removexattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                   int32_t op_ret, int32_t op_errno, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(removexattr, xdata);
    return 0;
}

CS_FOP(removexattr,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, const char *name,
        dict_t *xdata),
       (NULL), loc, name, xdata)

static int32_t
cs_fremovexattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                    int32_t op_ret, int32_t op_errno, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(fremovexattr, xdata);
    return 0;
}

CS_FOP(fremovexattr,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, const char *name,
        dict_t *xdata),
       (NULL), fd, name, xdata)

static int32_t
cs_getxattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                int32_t op_ret, int32_t op_errno, dict_t *dict, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(getxattr, dict, xdata);
    return 0;
}

CS_FOP(getxattr,
       (call_frame_t * frame, xlator_t *this, loc_t *loc, const char *name,
        dict_t *xdata),
       (NULL, NULL), loc, name, xdata)

static int32_t
cs_fgetxattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this,
                 int32_t op_ret, int32_t op_errno, dict_t *dict, dict_t *xdata)
{
    CS_REPLY();
    CS_SETTLE(fgetxattr, dict, xdata);
    return 0;
}

CS_FOP(fgetxattr,
       (call_frame_t * frame, xlator_t *this, fd_t *fd, const char *name,
        dict_t *xdata),
       (NULL, NULL), fd, name, xdata)

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
