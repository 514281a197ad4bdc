/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Shows attributes in replies that a mount does not pass on, and calls operations that no mount uses: it calls the top of
 * a client's graph, as fuse and gfapi do.
 *
 *   answers VOLUME HOST LOG shown PATH       (in a directory of its own)
 *   answers VOLUME HOST LOG rchecksum PATH OFFSET LENGTH
 *   answers VOLUME HOST LOG zerofill PATH OFFSET LENGTH
 *   answers VOLUME HOST LOG create PATH FLAGS (of an existing file, as by a client that does not know it)
 */
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <glusterfs/xlator.h>
#include <glusterfs/syncop.h>
#include "gfapi.h"

/* Exported for gluster's own programs, but declared in no header. */
xlator_t *
glfs_active_subvol(struct glfs *fs);
int
glfs_resolve(struct glfs *fs, xlator_t *subvol, const char *path, loc_t *loc, struct iatt *iatt, int reval);

static xlator_t *top;
static glfs_t *fs;

static void
fail(const char *what, int error)
{
    printf("%s: errno %d\n", what, error < 0 ? -error : error);
    exit(1);
}

static void
need(const char *what, int result)
{
    if (result < 0)
        fail(what, result == -1 ? errno : result);
}

static void
show(const char *what, const struct iatt *iatt)
{
    printf("%s %" PRIu64 " %" PRIu64 "\n", what, iatt->ia_size, iatt->ia_blocks);
}

static loc_t
find(const char *path)
{
    loc_t loc = {
        0,
    };
    struct iatt iatt = {
        0,
    };

    need("resolve", glfs_resolve(fs, top, path, &loc, &iatt, 0));
    show("lookup", &iatt);
    return loc;
}

/* The same file under another name in its directory. */
static loc_t
sibling(const loc_t *loc, const char *path, int inode)
{
    loc_t new = {
        0,
    };

    need("loc", loc_copy(&new, (loc_t *)loc));
    GF_FREE((char *)new.path);
    new.path = gf_strdup(path);
    new.name = strrchr(new.path, '/') + 1;
    if (!inode) {
        inode_unref(new.inode);
        new.inode = NULL;
    }
    return new;
}

/* The result of an operation without a syncop function. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t signal;
    int done, result, error;
    uint32_t weak;
    struct iatt after;
} waited = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

static int
finish(call_frame_t *frame, int result, int error)
{
    STACK_DESTROY(frame->root);
    pthread_mutex_lock(&waited.lock);
    waited.done = 1;
    waited.result = result;
    waited.error = error;
    pthread_cond_signal(&waited.signal);
    pthread_mutex_unlock(&waited.lock);
    return 0;
}

static void
await(const char *what)
{
    pthread_mutex_lock(&waited.lock);
    while (!waited.done)
        pthread_cond_wait(&waited.signal, &waited.lock);
    waited.done = 0;
    pthread_mutex_unlock(&waited.lock);
    if (waited.result < 0)
        fail(what, waited.error);
}

static int
rename_done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t result, int32_t error, struct iatt *iatt, struct iatt *preold, struct iatt *postold, struct iatt *prenew, struct iatt *postnew, dict_t *xdata)
{
    if (iatt)
        waited.after = *iatt;
    return finish(frame, result, error);
}

static int
rchecksum_done(call_frame_t *frame, void *cookie, xlator_t *this, int32_t result, int32_t error, uint32_t weak, uint8_t *strong, dict_t *xdata)
{
    waited.weak = weak;
    return finish(frame, result, error);
}

static fd_t *
open_file(loc_t *loc)
{
    fd_t *fd = fd_create(loc->inode, getpid());

    need("open", syncop_open(top, loc, O_RDWR, fd, NULL, NULL));
    fd_bind(fd);
    return fd;
}

static void
shown(const char *path)
{
    struct iatt one = {
        0,
    };
    struct iatt two = {
        0,
    };
    loc_t loc = find(path);
    fd_t *fd = open_file(&loc);
    char other[4096];

    need("stat", syncop_stat(top, &loc, &one, NULL, NULL));
    show("stat", &one);
    need("fstat", syncop_fstat(top, fd, &one, NULL, NULL));
    show("fstat", &one);

    struct iatt want = {
        .ia_mtime = 1500000000,
        .ia_atime = 1500000000,
    };
    int times = GF_SET_ATTR_MTIME | GF_SET_ATTR_ATIME;
    need("setattr", syncop_setattr(top, &loc, &want, times, &one, &two, NULL, NULL));
    show("setattr-before", &one);
    show("setattr-after", &two);
    want.ia_mtime++;
    need("fsetattr", syncop_fsetattr(top, fd, &want, times, &one, &two, NULL, NULL));
    show("fsetattr-before", &one);
    show("fsetattr-after", &two);
    need("fsync", syncop_fsync(top, fd, 0, &one, &two, NULL, NULL));
    show("fsync-before", &one);
    show("fsync-after", &two);

    dict_t *attribute = dict_new();
    dict_t *answer = NULL;
    need("dict", dict_set_static_bin(attribute, "user.colour", "blue", 4));
    need("setxattr", syncop_setxattr(top, &loc, attribute, 0, NULL, &answer));
    if (answer && !dict_get_iatt(answer, "virt-gf-poststat", &one))
        show("setxattr-after", &one);
    need("fsetxattr", syncop_fsetxattr(top, fd, attribute, 0, NULL, &answer));
    if (answer && !dict_get_iatt(answer, "virt-gf-poststat", &one))
        show("fsetxattr-after", &one);

    snprintf(other, sizeof(other), "%s.link", path);
    loc_t link = sibling(&loc, other, 1);
    need("link", syncop_link(top, &loc, &link, &one, NULL, NULL));
    show("link", &one);
    need("unlink", syncop_unlink(top, &link, NULL, NULL));
    need("stat after unlink", syncop_stat(top, &loc, &one, NULL, NULL));
    show("unlink-then-stat", &one);

    snprintf(other, sizeof(other), "%s.moved", path);
    loc_t moved = sibling(&loc, other, 0);
    call_frame_t *frame = create_frame(top, top->ctx->pool);
    STACK_WIND(frame, rename_done, top, top->fops->rename, &loc, &moved, NULL);
    await("rename");
    show("rename", &waited.after);
}

static void
checksum(const char *path, off_t offset, int length)
{
    loc_t loc = find(path);
    fd_t *fd = open_file(&loc);
    call_frame_t *frame = create_frame(top, top->ctx->pool);

    /* open-behind delays the open, and does not implement this operation. */
    need("fsync", syncop_fsync(top, fd, 0, NULL, NULL, NULL, NULL));
    STACK_WIND(frame, rchecksum_done, top, top->fops->rchecksum, fd, offset, length, NULL);
    await("rchecksum");
    printf("weak %" PRIu32 "\n", waited.weak);
}

static void
zerofill(const char *path, off_t offset, off_t length)
{
    loc_t loc = find(path);
    struct iatt iatt = {
        0,
    };

    need("zerofill", syncop_zerofill(top, open_file(&loc), offset, length, NULL, NULL));
    need("stat", syncop_stat(top, &loc, &iatt, NULL, NULL));
    show("zerofill-then-stat", &iatt);
}

static void
create(const char *path, int flags)
{
    char *copy = strdup(path);
    loc_t parent = find(dirname(copy));
    loc_t loc = {
        .path = gf_strdup(path),
        .inode = inode_new(parent.inode->table),
        .parent = parent.inode,
    };
    struct iatt iatt = {
        0,
    };
    uuid_t gfid = {7};
    dict_t *xdata = dict_new();
    fd_t *fd = NULL;

    loc.name = strrchr(loc.path, '/') + 1;
    memcpy(loc.pargfid, parent.inode->gfid, sizeof(uuid_t));
    fd = fd_create(loc.inode, getpid());
    need("dict", dict_set_gfuuid(xdata, "gfid-req", gfid, false));
    printf("create %d\n", -syncop_create(top, &loc, flags | O_CREAT, 0644, fd, &iatt, xdata, NULL));
}

int
main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    const char *what = argv[4], *path = argv[5];
    off_t first = argc > 6 ? atoll(argv[6]) : 0;
    off_t second = argc > 7 ? atoll(argv[7]) : 0;

    fs = client(argv[1], argv[2], argv[3]);
    top = glfs_active_subvol(fs);
    THIS = top;
    if (!strcmp(what, "shown"))
        shown(path);
    else if (!strcmp(what, "rchecksum"))
        checksum(path, first, (int)second);
    else if (!strcmp(what, "zerofill"))
        zerofill(path, first, second);
    else if (!strcmp(what, "create"))
        create(path, (int)first);
    /* Closing gfapi takes ten seconds and is not tested here. */
    fflush(stdout);
    _exit(0);
}
