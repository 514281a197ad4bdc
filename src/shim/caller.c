/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Runs operations with the identity of their caller: its process, user, groups, lock owner and time. Each blocks. */
#include "shim.h"

/* The child's answer, for the waiting thread, or for the ticket if the thread has stopped waiting. */
struct cs_outcome {
    struct iatt before;
    struct iatt after;
    int32_t errnum;
    gf_boolean_t arrived;
    void *ticket;
};

/* One lock for all outcomes: these operations are rare, and a lock in the outcome would be freed while it is held. */
static pthread_mutex_t cs_outcomes = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cs_outcome_arrived = PTHREAD_COND_INITIALIZER;

static void
cs_report(call_frame_t *frame, struct cs_outcome *outcome, int32_t op_ret, int32_t op_errno, const struct iatt *before,
          const struct iatt *after)
{
    void *ticket = NULL;
    int32_t errnum = op_ret < 0 ? -op_errno : 0;

    STACK_DESTROY(frame->root);
    pthread_mutex_lock(&cs_outcomes);
    ticket = outcome->ticket;
    if (!ticket) {
        outcome->errnum = errnum;
        if (before)
            outcome->before = *before;
        if (after)
            outcome->after = *after;
        outcome->arrived = _gf_true;
        pthread_cond_broadcast(&cs_outcome_arrived);
    }
    pthread_mutex_unlock(&cs_outcomes);
    if (ticket) {
        free(outcome);
        cs_rs->late(ticket, errnum);
    }
}

static int32_t
cs_caller_prepost_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
                      struct iatt *prebuf, struct iatt *postbuf, dict_t *xdata)
{
    cs_report(frame, cookie, op_ret, op_errno, prebuf, postbuf);
    return 0;
}

static int32_t
cs_caller_open_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno, fd_t *fd,
                   dict_t *xdata)
{
    cs_report(frame, cookie, op_ret, op_errno, NULL, NULL);
    return 0;
}

static int32_t
cs_caller_xattr_cbk(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
                    dict_t *xdata)
{
    cs_report(frame, cookie, op_ret, op_errno, NULL, NULL);
    return 0;
}

/* Waits for at most `seconds`. Returns whether the answer arrived. */
static gf_boolean_t
cs_await(struct cs_outcome *outcome, uint32_t seconds)
{
    struct timespec until = {0};
    gf_boolean_t arrived = _gf_false;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&cs_outcomes);
    while (!outcome->arrived && !pthread_cond_clockwait(&cs_outcome_arrived, &cs_outcomes, CLOCK_MONOTONIC, &until))
        ;
    arrived = outcome->arrived;
    pthread_mutex_unlock(&cs_outcomes);
    return arrived;
}

/* Returns the answer and frees the outcome. */
static int32_t
cs_take(struct cs_outcome *outcome, struct iatt *before, struct iatt *after)
{
    int32_t errnum = outcome->errnum;

    *before = outcome->before;
    *after = outcome->after;
    free(outcome);
    return errnum;
}

/* `wound` records whether STACK_WIND wound the operation, as in fops.c. */
#define CS_WIND_AS_CALLER(cbk, op, first, rest...)                                         \
    STACK_WIND_COOKIE(frame, cbk, outcome, FIRST_CHILD(this), FIRST_CHILD(this)->fops->op, \
                      (wound = _gf_true, first), rest)

/* Runs one operation with a call's arguments. */
static int32_t
cs_do_as_caller(cs_call_t *call, glusterfs_fop_t fop, uint32_t seconds, struct iatt *before, struct iatt *after,
                void **late)
{
    xlator_t *this = call->frame->this;
    call_frame_t *frame = copy_frame(call->frame);
    struct cs_outcome *outcome = calloc(1, sizeof(*outcome));
    gf_boolean_t wound = _gf_false;
    int32_t ret = -ENOMEM;

    if (!frame || !outcome)
        goto out;
    switch (fop) {
        case GF_FOP_TRUNCATE:
            CS_WIND_AS_CALLER(cs_caller_prepost_cbk, truncate, &call->loc, call->offset,
                              call->fop == GF_FOP_OPEN ? NULL : call->xdata);
            break;
        case GF_FOP_FTRUNCATE:
            CS_WIND_AS_CALLER(cs_caller_prepost_cbk, ftruncate, call->fd, call->offset, call->xdata);
            break;
        case GF_FOP_OPEN:
            CS_WIND_AS_CALLER(cs_caller_open_cbk, open, &call->loc, call->flags & ~O_TRUNC, call->fd, call->xdata);
            break;
        default:
            ret = -EOPNOTSUPP;
            break;
    }
    if (!wound)
        goto out;
    if (cs_await(outcome, seconds))
        return cs_take(outcome, before, after);
    *late = outcome;
    return -EINPROGRESS;
out:
    if (frame)
        STACK_DESTROY(frame->root);
    free(outcome);
    return ret;
}

int32_t
cs_shim_call_as_caller(cs_call_t *call, uint32_t seconds, struct iatt *before, struct iatt *after, void **late)
{
    int32_t ret = 0;

    if (call->fop != GF_FOP_OPEN)
        return cs_do_as_caller(call, call->fop, seconds, before, after, late);
    /* With O_TRUNC, replication reports success for an open even if the bricks refused to truncate, and sharding does not
     * truncate. So open and truncate are sent separately; the call's offset is 0. */
    ret = cs_do_as_caller(call, GF_FOP_OPEN, seconds, before, after, late);
    if (ret)
        return ret;
    return cs_do_as_caller(call, GF_FOP_TRUNCATE, seconds, before, after, late);
}

int32_t
cs_shim_leave_call(void *late, void *ticket, struct iatt *before, struct iatt *after)
{
    struct cs_outcome *outcome = late;
    gf_boolean_t arrived = _gf_false;

    pthread_mutex_lock(&cs_outcomes);
    arrived = outcome->arrived;
    if (!arrived)
        outcome->ticket = ticket;
    pthread_mutex_unlock(&cs_outcomes);
    return arrived ? cs_take(outcome, before, after) : -EINPROGRESS;
}

int32_t
cs_shim_set_as_caller(call_frame_t *caller, loc_t *loc, dict_t *dict)
{
    xlator_t *this = caller->this;
    call_frame_t *frame = copy_frame(caller);
    struct cs_outcome *outcome = calloc(1, sizeof(*outcome));
    struct iatt unused = {0};
    gf_boolean_t wound = _gf_false;

    if (!frame || !outcome)
        goto out;
    /* Without the caller's flags for times: setting a mark must not change them. */
    frame->root->flags = 0;
    CS_WIND_AS_CALLER(cs_caller_xattr_cbk, setxattr, loc, dict, 0, NULL);
    if (!wound)
        goto out;
    /* Nothing on a brick delays this operation, so there is no limit. */
    while (!cs_await(outcome, 60))
        ;
    return cs_take(outcome, &unused, &unused);
out:
    if (frame)
        STACK_DESTROY(frame->root);
    free(outcome);
    return -ENOMEM;
}

int32_t
cs_shim_access_as_caller(call_frame_t *caller, xlator_t *child, loc_t *loc, int32_t mask)
{
    call_stack_t *user = caller->root;
    uid_t root = 0;
    pid_t ours = GF_CLIENT_PID_NO_ROOT_SQUASH;
    int32_t ret;

    syncopctx_setfspid(&user->pid);
    syncopctx_setfsuid(&user->uid);
    syncopctx_setfsgid(&user->gid);
    syncopctx_setfsgroups(user->ngrps, user->groups);
    ret = syncop_access(child, loc, mask, NULL, NULL);
    syncopctx_setfspid(&ours);
    syncopctx_setfsuid(&root);
    syncopctx_setfsgid(&root);
    syncopctx_setfsgroups(0, NULL);
    return ret;
}
