/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* The translator's tables, except for its operations (fops.c), and the host's macros that Rust needs as functions. */
#include "shim.h"

const cs_rs_ops_t *cs_rs;

void
cs_shim_register(const cs_rs_ops_t *ops)
{
    cs_rs = ops;
}

/* Empty: what is known of a file is two numbers in its inode's context, which need not be freed. */
struct xlator_cbks cs_cbks = {0};

static int32_t
cs_dump_private(xlator_t *this)
{
    if (!this->private)
        return 0;
    gf_proc_dump_add_section("xlator.%s.%s.priv", this->type, this->name);
    cs_rs->dump(this);
    return 0;
}

struct xlator_dumpops cs_dumpops = {
    .priv = cs_dump_private,
};

/*
 * glusterd checks `gluster volume set` against this table while the feature is on, and shows the descriptions in
 * `gluster volume set help`. It accepts only names that are compiled into it, so no option can be added here.
 */
volume_option_t cs_options[] = {
    {
        .key = {"cloudsync-storetype"},
        .type = GF_OPTION_TYPE_STR,
        /* .value is filled in glusterd only, see cs_shim_allow_store: a client must mount with any value, so that local
         * files work. */
        .description = "The store that holds the bytes of cold files: amazons3 (any S3 server) or another "
                       "installed plugin.",
        .op_version = {GD_OP_VERSION_5_0},
        .flags = OPT_FLAG_SETTABLE,
        .tags = {"cloudsync"},
    },
    {
        .key = {"cloudsync-remote-read"},
        .type = GF_OPTION_TYPE_BOOL,
        .default_value = "off",
        .description = "Serve reads of a cold file from the store and leave the file cold. Operations that "
                       "change the file still recall it.",
        .op_version = {GD_OP_VERSION_7_0},
        .flags = OPT_FLAG_SETTABLE,
        .tags = {"cloudsync"},
    },
    {
        .key = {"cloudsync-store-id"},
        .type = GF_OPTION_TYPE_STR,
        .description = "Settings of the store as key=value,key=value; for amazons3, see docs/OPTIONS.md.",
        .op_version = {GD_OP_VERSION_7_0},
        .flags = OPT_FLAG_SETTABLE,
        .tags = {"cloudsync"},
    },
    {
        .key = {"cloudsync-product-id"},
        .type = GF_OPTION_TYPE_STR,
        .description = "Settings of recalls and reads as key=value,key=value: recalls, ranges, window, memory, "
                       "connections, rate, reads, local-reads, errnos, keep-free, over-limits, guard-files, guard-bytes, guard-window, "
                       "callers, pins, budget-bytes, budget-window, over-budget, history, abandoned; see docs/OPTIONS.md.",
        .op_version = {GD_OP_VERSION_7_0},
        .flags = OPT_FLAG_SETTABLE,
        .tags = {"cloudsync"},
    },
    {
        .key = {"s3plugin-seckey"},
        .type = GF_OPTION_TYPE_STR,
        .description = "The secret key of the S3 account: the key itself, file:/path or env:NAME. If this and "
                       "keyid are empty, the usual AWS credential providers are used.",
        .op_version = {GD_OP_VERSION_5_0},
        .flags = OPT_FLAG_SETTABLE,
        .tags = {"cloudsync"},
    },
    {
        .key = {"s3plugin-keyid"},
        .type = GF_OPTION_TYPE_STR,
        .description = "The access key id of the S3 account: the id itself, file:/path or env:NAME.",
        .op_version = {GD_OP_VERSION_5_0},
        .flags = OPT_FLAG_SETTABLE,
        .tags = {"cloudsync"},
    },
    {
        .key = {"s3plugin-bucketid"},
        .type = GF_OPTION_TYPE_STR,
        .description = "The bucket, or bucket/prefix.",
        .op_version = {GD_OP_VERSION_5_0},
        .flags = OPT_FLAG_SETTABLE,
        .tags = {"cloudsync"},
    },
    {
        .key = {"s3plugin-hostname"},
        .type = GF_OPTION_TYPE_STR,
        .description = "The S3 server: host or host:port (https), or http://host:port. If empty, Amazon S3 in "
                       "the region in cloudsync-store-id.",
        .op_version = {GD_OP_VERSION_5_0},
        .flags = OPT_FLAG_SETTABLE,
        .tags = {"cloudsync"},
    },
    {.key = {NULL}},
};

int32_t
cs_shim_allow_store(const char *name)
{
    volume_option_t *storetype = &cs_options[0];
    int32_t i;

    /* The last element stays NULL: it ends the list. */
    for (i = 0; i < ZR_OPTION_MAX_ARRAY_SIZE - 1; i++) {
        if (!storetype->value[i]) {
            storetype->value[i] = strdup(name);
            return storetype->value[i] ? 0 : -1;
        }
        if (!strcmp(storetype->value[i], name))
            return 0;
    }
    return -1;
}

const void *
cs_shim_host_symbol(void)
{
    return CS_HOST_SYMBOL;
}

uint64_t
cs_shim_host_stamp(void)
{
    return CS_HOST_STAMP;
}

int32_t
cs_shim_is_glusterd(void)
{
    return THIS->ctx && THIS->ctx->process_mode == GF_GLUSTERD_PROCESS;
}

int32_t
cs_shim_notify(xlator_t *this, int32_t event, void *data, ...)
{
    if (this->private && cs_rs->notify(this, event))
        return 0;
    return default_notify(this, event, data);
}

void
cs_shim_parent_down(xlator_t *this)
{
    default_notify(this, GF_EVENT_PARENT_DOWN, NULL);
}

int32_t
cs_shim_mem_acct_init(xlator_t *this)
{
    /* Leaves room for the memory types of plugins, which they number from gf_common_mt_end up, as those of the stock
     * translator do. */
    return xlator_mem_acct_init(this, gf_common_mt_end + 256);
}

int32_t
cs_shim_child_count(xlator_t *this)
{
    xlator_list_t *child;
    int32_t count = 0;

    for (child = this->children; child; child = child->next)
        count++;
    return count;
}

int32_t
cs_shim_pool_new(xlator_t *this)
{
    this->local_pool = mem_pool_new(cs_local_t, 64);
    return this->local_pool ? 0 : -1;
}

xlator_t *
cs_shim_first_child(xlator_t *this)
{
    return FIRST_CHILD(this);
}

xlator_t *
cs_shim_this(void)
{
    return THIS;
}

void
cs_shim_set_this(xlator_t *this)
{
    THIS = this;
}

int32_t
cs_shim_loc_fill(loc_t *loc, inode_t *inode, const unsigned char *gfid)
{
    static const uuid_t nobody;
    char *path = NULL;

    memcpy(loc->gfid, gfid, sizeof(loc->gfid));
    loc->inode = inode_ref(inode);
    /* An inode that is not linked yet has no path, and the host would log an error for the query. */
    if (memcmp(inode->gfid, nobody, sizeof(nobody)) == 0 || inode_path(inode, NULL, &path) < 0 || !path)
        gf_asprintf(&path, "<gfid:%s>", uuid_utoa(loc->gfid));
    loc->path = path;
    return path ? 0 : -1;
}

fd_t *
cs_shim_fd_new(inode_t *inode)
{
    return fd_create(inode, GF_CLIENT_PID_NO_ROOT_SQUASH);
}

void
cs_shim_fd_bind(fd_t *fd)
{
    fd_bind(fd);
}

void
cs_shim_become(void *token)
{
    gf_lkowner_t owner = {0};
    pid_t pid = GF_CLIENT_PID_NO_ROOT_SQUASH;

    uid_t root = 0;

    set_lk_owner_from_ptr(&owner, token);
    syncopctx_setfslkowner(&owner);
    syncopctx_setfspid(&pid);
    syncopctx_setfsuid(&root);
    syncopctx_setfsgid(&root);
    syncopctx_setfsgroups(0, NULL);
}

int32_t
cs_shim_check_name(xlator_t *child, loc_t *loc)
{
    loc_t named = {.parent = inode_parent(loc->inode, 0, NULL)};
    struct iatt found = {0};
    char *path = NULL;
    int32_t ret = -ESTALE;

    /* The inode may have other names: only the current result of inode_path is known to be below this parent. */
    if (named.parent && inode_path(loc->inode, NULL, &path) >= 0 &&
        strcmp(path, loc->path) == 0) {
        named.path = path;
        named.name = strrchr(path, '/') + 1;
        memcpy(named.pargfid, named.parent->gfid, sizeof(named.pargfid));
        named.inode = inode_new(loc->inode->table);
        ret = syncop_lookup(child, &named, &found, NULL, NULL, NULL);
        if (ret == -ENOENT ||
            (ret == 0 && memcmp(found.ia_gfid, loc->gfid, sizeof(loc->gfid)) != 0))
            ret = -ESTALE;
    } else
        GF_FREE(path);
    loc_wipe(&named);
    return ret;
}

int32_t
cs_shim_dict_set(dict_t *dict, const char *key, const char *bytes,
                 size_t length)
{
    char *copy = gf_memdup(bytes, length);

    if (!copy)
        return -1;
    if (dict_set_bin(dict, (char *)key, copy, length) < 0) {
        GF_FREE(copy);
        return -1;
    }
    return 0;
}

void
cs_shim_dict_remove(dict_t *dict, const char *key)
{
    /* Not dict_del, which is inline in 11. */
    dict_deln(dict, (char *)key, strlen(key));
}

int32_t
cs_shim_dict_equals(dict_t *one, dict_t *other)
{
#if CS_HOST_MAJOR > 10
    return are_dicts_equal(one, other, NULL, NULL, NULL);
#else
    return are_dicts_equal(one, other, NULL, NULL);
#endif
}

int32_t
cs_shim_dict_set_iatt(dict_t *dict, const char *key, const struct iatt *iatt)
{
    struct iatt *copy = gf_memdup(iatt, sizeof(*iatt));

    if (!copy)
        return -1;
    if (dict_set_iatt(dict, (char *)key, copy, false) < 0) {
        GF_FREE(copy);
        return -1;
    }
    return 0;
}

gf_dirent_t *
cs_shim_next_entry(gf_dirent_t *entries, gf_dirent_t *entry)
{
    gf_dirent_t *next = entry ? entry->next : entries->next;

    return next == entries ? NULL : next;
}

static int32_t
cs_answered(void *cookie, int32_t op_ret, int32_t op_errno)
{
    struct syncargs *args = cookie;

    args->op_ret = op_ret;
    args->op_errno = op_errno;
    __wake(args);
    return 0;
}

static int32_t
cs_opened(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno, fd_t *fd, dict_t *xdata)
{
    return cs_answered(cookie, op_ret, op_errno);
}

static int32_t
cs_removed(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno, dict_t *xdata)
{
    return cs_answered(cookie, op_ret, op_errno);
}

static int32_t
cs_nothing_written(call_frame_t *frame, void *cookie, xlator_t *this, int32_t op_ret, int32_t op_errno,
                   struct iatt *prebuf, struct iatt *postbuf, dict_t *xdata)
{
    return cs_answered(cookie, op_ret, op_errno);
}

/* The bricks update those times that a frame asks for, to the frame's. The host's syncop functions have no way to the frame; their
 * macro creates it before it evaluates the operation's arguments. */
static void
cs_accessed(call_frame_t *frame, const struct iatt *accessed)
{
    if (!accessed)
        return;
    frame->root->flags |= MDATA_ATIME;
    frame->root->ctime.tv_sec = accessed->ia_atime;
    frame->root->ctime.tv_nsec = accessed->ia_atime_nsec;
}

static void
cs_changed(call_frame_t *frame)
{
    frame->root->flags |= MDATA_CTIME;
    timespec_now_realtime(&frame->root->ctime);
}

int32_t
cs_shim_open(xlator_t *child, loc_t *loc, fd_t *fd, const struct iatt *accessed)
{
    struct syncargs args = {0}, *waiting = &args;

    SYNCOP(child, waiting, cs_opened, child->fops->open, (cs_accessed(frame, accessed), loc), O_RDWR, fd, NULL);
    return args.op_ret < 0 ? -args.op_errno : 0;
}

int32_t
cs_shim_write_nothing(xlator_t *child, fd_t *fd, dict_t *xdata, const struct iatt *accessed)
{
    struct iovec nothing = {.iov_base = "", .iov_len = 0};
    struct syncargs args = {0}, *waiting = &args;
    struct iobref *iobref = iobref_new();

    if (!iobref)
        return -ENOMEM;
    SYNCOP(child, waiting, cs_nothing_written, child->fops->writev, (cs_accessed(frame, accessed), fd), &nothing, 1, 0, 0,
           iobref, xdata);
    iobref_unref(iobref);
    return args.op_ret < 0 ? -args.op_errno : 0;
}

int32_t
cs_shim_remove_as_change(xlator_t *child, fd_t *fd, const char *name)
{
    struct syncargs args = {0}, *waiting = &args;

    SYNCOP(child, waiting, cs_removed, child->fops->fremovexattr, (cs_changed(frame), fd), name, NULL);
    return args.op_ret < 0 ? -args.op_errno : 0;
}

int32_t
cs_shim_lock(xlator_t *child, const char *domain, loc_t *loc, uint32_t how)
{
    /* The whole file, as the stock translator locks it. */
    struct gf_flock flock = {.l_type = how == CS_UNLOCK ? F_UNLCK : F_WRLCK};

    return syncop_inodelk(child, domain, loc, F_SETLK, &flock, NULL, NULL);
}

int32_t
cs_shim_read(xlator_t *child, fd_t *fd, void *bytes, uint32_t size, off_t offset)
{
    struct iovec *pieces = NULL;
    struct iobref *iobref = NULL;
    int32_t count = 0;
    int32_t ret = syncop_readv(child, fd, size, offset, 0, &pieces, &count, &iobref, NULL, NULL, NULL);

    if (ret > 0)
        iov_unload(bytes, pieces, count);
    GF_FREE(pieces);
    if (iobref)
        iobref_unref(iobref);
    return ret;
}

void
cs_shim_dump(const char *key, const char *value)
{
    gf_proc_dump_write((char *)key, "%s", value);
}
